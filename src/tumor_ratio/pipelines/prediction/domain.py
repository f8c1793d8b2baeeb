"""Whether a slide is of the kind the model learned from, as far as anyone has declared it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

FIELDS = ("species", "organ", "stain")
MIN_CALIBRATION_SLIDES = 9


def domain_warning(declared: Mapping[str, str], trained: Mapping[str, Sequence[str]]) -> str:
    """What speaks against using the model on a slide.

    Parameters
    ----------
    declared : species, organ and stain protocol of the slide; empty or absent where unknown.
    trained : the same of the training slides, from the model's card; empty where unknown.

    Returns
    -------
    str
        One line; empty where all three are declared and among the training's. Upper and lower case
        do not count. An empty warning is no proof that the model is valid for the slide.
    """
    complaints = []
    for name in FIELDS:
        value, known = (declared.get(name) or "").strip(), list(trained.get(name) or ())
        if not value:
            complaints.append(f"{name} undeclared")
        elif not known:
            complaints.append(f"{name} of the training slides undeclared")
        elif value.lower() not in {entry.lower() for entry in known}:
            complaints.append(f"{name} '{value}' is not the training's ({', '.join(known)})")
    return "; ".join(complaints)


def interval_reason(warning: str, n_calibration_slides: int) -> str:
    """Why a prediction carries no interval.

    Parameters
    ----------
    warning : from `domain_warning`.
    n_calibration_slides : slides that served neither training nor the choice of an epoch or map.
    """
    reasons = []
    if n_calibration_slides < MIN_CALIBRATION_SLIDES:
        reasons.append(
            f"{n_calibration_slides} calibration slides, fewer than {MIN_CALIBRATION_SLIDES}"
        )
    if warning:
        reasons.append(warning)
    return "interval withheld: " + "; ".join(reasons)
