"""Node of evaluation that compares approaches in pairs."""

from __future__ import annotations

import pandas as pd

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.metrics.paired_comparison import compare_pairs
from tumor_ratio.pipelines.evaluation.figures import stamps_of
from tumor_ratio.pipelines.evaluation.params import EvaluationParams
from tumor_ratio.schemas import PairedComparisons


def compare_in_pairs(
    cohort: Cohort,
    compared_regions: pd.DataFrame,
    approaches: pd.DataFrame,
    params: EvaluationParams,
) -> pd.DataFrame:
    """Each model against each other, the constant and the ridge, with intervals and exact tests."""
    found = compare_pairs(compared_regions, approaches, confidence=params.confidence)
    table = pd.DataFrame(PairedComparisons.validate(found))
    table.attrs["stamp"] = list(stamps_of(cohort))
    return table
