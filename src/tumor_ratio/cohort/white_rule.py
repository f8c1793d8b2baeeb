"""The study's white cleaning: how much glass a tile may show."""

from __future__ import annotations

from pydantic import Field

from tumor_ratio.params import Params


class WhiteLimits(Params):
    """Largest white share of each stain's tiles."""

    max_he_white: float = Field(0.4, ge=0, le=1)
    """H&E tiles with a larger white share are dropped; the study's value."""
    max_ihc_white: float = Field(0.6, ge=0, le=1)
    """IHC tiles with a larger white share are dropped; the study's value."""

    def reasons(self, he_white: float, ihc_white: float) -> list[str]:
        """Reasons against a tile; the share of a missing side is NaN and is no reason."""
        shares = (("H&E", he_white, self.max_he_white), ("IHC", ihc_white, self.max_ihc_white))
        return [
            f"white {stain} {white:.2f} > {limit:.2f}"
            for stain, white, limit in shares
            if white > limit
        ]
