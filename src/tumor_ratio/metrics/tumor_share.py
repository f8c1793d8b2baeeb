"""From a ratio to the tumor's share of nuclear area, where the labelling of both kinds is known.

With f the tumor's share of the area of nuclei, l the labelling of tumor nuclei and b that of all
others, both as shares of area, a ratio by area is R = f l + (1 - f) b.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple


class ShareRange(NamedTuple):
    """A share with the range that it is known to lie in: 0 <= lower <= value <= upper <= 1."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Labellings:
    """Which share of the area of nuclei is labelled, in tumor and elsewhere.

    Parameters
    ----------
    tumor : of tumor nuclei.
    other : of all other nuclei.

    Raises
    ------
    ValueError
        If a range is not ordered within [0, 1], or the tumor's does not lie above the other as a
        whole: somewhere in them no ratio would tell tumor from the rest.
    """

    tumor: ShareRange
    other: ShareRange

    def __post_init__(self) -> None:
        for name, each in (("tumor", self.tumor), ("other", self.other)):
            if not 0 <= each.lower <= each.value <= each.upper <= 1:
                raise ValueError(
                    f"the labelling of {name} nuclei, {each.value:g}, must lie in its range, "
                    f"{each.lower:g} to {each.upper:g}, and that within 0 to 1"
                )
        if not self.tumor.lower > self.other.upper:
            raise ValueError(
                f"the range of tumor labelling must lie above that of other nuclei, and "
                f"{self.tumor.lower:g} is not above {self.other.upper:g}; narrow them, or give none"
            )


def tumor_share(ratio: float, tumor: float, other: float) -> float:
    """The tumor's share of the area of nuclei, f = (R - b) / (l - b).

    Parameters
    ----------
    ratio : R, labelled over all nuclei by area.
    tumor, other : l and b, with l above b.

    Returns
    -------
    float
        Not cut to [0, 1]: the mean over noisy ratios is right only so. Outside where the ratio is
        under b or over l; NaN where it is.
    """
    return (ratio - other) / (tumor - other)


def tumor_share_bounds(ratio: float, labellings: Labellings) -> tuple[float, float]:
    """Smallest and largest share over both ranges, not cut to [0, 1].

    The derivative of f by l has the sign of b - R, whatever l is, and that by b the sign of R - l,
    whatever b is. So f is monotone in each and its extremes lie on corners of the ranges.
    """
    corners = [
        tumor_share(ratio, tumor, other)
        for tumor, other in product(labellings.tumor[1:], labellings.other[1:])
    ]
    return min(corners), max(corners)
