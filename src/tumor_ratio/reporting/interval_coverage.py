"""How often the intervals of the comparison hold the truth, as simulated.

Produced by `python -m benchmarks intervals`, which simulates 1000 comparisons for each number; the
settings and the other intervals that were tried are in docs/evaluation.md.
"""

from __future__ import annotations

from typing import Final

NOMINAL: Final = 0.95

COVERAGE: Final[dict[str, dict[int, float]]] = {
    "MAE (Student’s t over slides)": {4: 0.946, 12: 0.923, 49: 0.949},
    "share within 0.2 (Student’s t over slides)": {4: 0.751, 12: 0.798, 49: 0.887},
    "CCC (jackknife t over slides)": {4: 0.917, 12: 0.925, 49: 0.943},
    "R² (jackknife t over slides)": {4: 0.953, 12: 0.931, 49: 0.946},
    "Pearson (jackknife t over slides)": {4: 0.895, 12: 0.905, 49: 0.941},
}
"""Share of simulations whose 95 % interval held the truth, by figure and number of slides."""

REGIONS_INDEPENDENT: Final = (0.19, 0.36)
"""Lowest and highest coverage where regions are taken as independent: why slides are counted."""


def coverage_note() -> str:
    """The statement that goes with the intervals."""
    shares = COVERAGE["share within 0.2 (Student’s t over slides)"]
    others = (found for found in COVERAGE.values() if found is not shares)
    lowest = min(value for found in others for value in found.values())
    mae = COVERAGE["MAE (Student’s t over slides)"]
    held = ", ".join(f"{share:.3f} with {slides} slides" for slides, share in mae.items())
    low, high = REGIONS_INDEPENDENT
    return (
        f"In simulations a 95 % interval of the MAE held the truth in a share of {held}; the "
        f"lowest of all figures was {lowest:.3f}, so with few slides read 95 % as about 90 %. But "
        "shares near 1, such as of regions within 0.2, are skewed: theirs hold "
        f"{shares[4]:.2f} to {shares[49]:.2f}. Were "
        f"regions taken as independent, it would hold {low:.2f} to {high:.2f} of the time."
    )
