"""Predicted beside measured values, with what is needed to weigh slides and cases the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class PairedValues:
    """Values of regions, tiles or slides (rows), grouped in slides, and these in cases.

    The case (an animal, a patient) is the unit of independence; where each slide is a case of its
    own, that is the slide. A case's slides weigh the same in it, a slide's rows the same in the
    slide, and repeats of a cross-validation are rows of their slide.

    Parameters
    ----------
    predicted, measured : (N,) finite.
    slide : (N,) int, place of the row's slide, from 0 without gaps.
    case_of_slide : (S,) int, place of the slide's case, from 0 without gaps.
    """

    predicted: FloatArray
    measured: FloatArray
    slide: IntArray
    case_of_slide: IntArray

    @classmethod
    def of_codes(
        cls, predicted: FloatArray, measured: FloatArray, slide: IntArray, case: IntArray
    ) -> PairedValues:
        """From (N,) codes of slides and cases that may leave gaps."""
        slides = np.flatnonzero(np.bincount(slide)) if slide.size else np.zeros(0, np.int64)
        place = np.zeros(int(slides[-1]) + 1 if slides.size else 0, np.int64)
        place[slides] = np.arange(slides.size)
        of_slide = np.zeros(slides.size, np.int64)
        of_slide[place[slide]] = case
        _, case_of_slide = np.unique(of_slide, return_inverse=True)
        return cls(predicted, measured, place[slide], case_of_slide.astype(np.int64))

    def __len__(self) -> int:
        return len(self.predicted)

    @property
    def n_slides(self) -> int:
        """Slides with at least one row."""
        return len(self.case_of_slide)

    @property
    def n_cases(self) -> int:
        """Units of independence."""
        return int(self.case_of_slide.max()) + 1 if len(self.case_of_slide) else 0

    @cached_property
    def case(self) -> IntArray:
        """(N,) place of the row's case."""
        return self.case_of_slide[self.slide]

    @cached_property
    def rows(self) -> IntArray:
        """(S,) rows of each slide."""
        return np.bincount(self.slide, minlength=self.n_slides).astype(np.int64)

    @cached_property
    def slide_weights(self) -> FloatArray:
        """(S,) weight of each of the slide's rows; a case's rows sum to 1."""
        slides = np.bincount(self.case_of_slide, minlength=self.n_cases)
        return 1.0 / (self.rows * slides[self.case_of_slide])

    @cached_property
    def weights(self) -> FloatArray:
        """(N,) weight of each row."""
        return self.slide_weights[self.slide]

    def case_means(self, values: FloatArray) -> FloatArray:
        """(C,) mean over the case's slides of the mean over the slide's rows.

        Parameters
        ----------
        values : (N,) one number a row, finite.
        """
        return self.over_cases(self.slide_means(values))

    def slide_means(self, values: FloatArray) -> FloatArray:
        """(S,) mean over the slide's rows."""
        return np.bincount(self.slide, values, self.n_slides) / self.rows

    def over_cases(self, slide_values: FloatArray) -> FloatArray:
        """Means over the slides of each case that has a defined one.

        Parameters
        ----------
        slide_values : (S,) one number a slide; NaN where a slide has none.
        """
        used = np.isfinite(slide_values)
        cases = self.case_of_slide[used]
        count = np.bincount(cases, minlength=self.n_cases)
        total = np.bincount(cases, slide_values[used], self.n_cases)
        return total[count > 0] / count[count > 0]

    def only(self, rows: NDArray[np.bool_]) -> PairedValues:
        """The values of some rows; slides without any of them fall away."""
        return PairedValues.of_codes(
            self.predicted[rows], self.measured[rows], self.slide[rows], self.case[rows]
        )
