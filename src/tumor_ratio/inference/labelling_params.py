"""The labelling of tumor and of other nuclei, as a user gives it."""

from __future__ import annotations

from typing import Any, Self

from pydantic import field_validator, model_validator

from tumor_ratio.metrics.tumor_share import Labellings, ShareRange
from tumor_ratio.params import Params

FORM = "three numbers with spaces between them: best value, lowest, highest, as in '0.5 0.4 0.6'"


class LabellingParams(Params):
    """What must be known for a tumor's area to follow from a ratio; both or none.

    Text, since the command line splits lists at their commas.
    """

    tumor_labelling: str = ""
    """Share of the *area* of tumor nuclei that is labelled: best value, lowest and highest, as in
    `0.5 0.4 0.6`. With `other_labelling` a tumor area is given."""
    other_labelling: str = ""
    """The same of all other nuclei; its whole range lies below that of tumor."""

    @field_validator("tumor_labelling", "other_labelling", mode="before")
    @classmethod
    def _text(cls, given: Any) -> Any:
        if isinstance(given, int | float):  # a number alone is no text on the command line
            raise ValueError(f"{given} has no range; give {FORM}")
        return given

    @model_validator(mode="after")
    def _usable(self) -> Self:
        _ = self.labellings
        return self

    @property
    def labellings(self) -> Labellings | None:
        """Both labellings; None where none is given.

        Raises
        ------
        ValueError
            If one alone is given, or they cannot be used. Never of a validated object.
        """
        tumor, other = self.tumor_labelling.strip(), self.other_labelling.strip()
        if not tumor and not other:
            return None
        if not tumor or not other:
            missing = "other_labelling" if tumor else "tumor_labelling"
            raise ValueError(f"`{missing}` is missing: give both labellings, or none")
        return Labellings(
            _share_range("tumor_labelling", tumor), _share_range("other_labelling", other)
        )


def _share_range(name: str, text: str) -> ShareRange:
    try:
        return ShareRange(*(float(part) for part in text.split()))
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` is '{text}'; give {FORM}") from error
