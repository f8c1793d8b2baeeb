"""The section of the report with the original study's table and what it is worth."""

from __future__ import annotations

import numpy as np

from tumor_ratio.metrics.agreement import BIN_NAMES
from tumor_ratio.pipelines.evaluation.agreement_figures import picture_of
from tumor_ratio.reporting.figures.confusion import draw_confusion
from tumor_ratio.reporting.html_report import Block, Section, Table
from tumor_ratio.reporting.study import (
    STUDY_CAVEATS,
    STUDY_CONFUSIONS,
    STUDY_ROWS,
    majority_summary,
    majority_verdict,
)

CONSTANT = "always the lowest bin"


def study_section() -> Section:
    """What the original study reported, its confusion matrices and its caveats."""
    intro = (
        "For orientation only: real human seminoma slides, other regions, other labels. These "
        "numbers are no yardstick for the ones above."
    )
    verdicts = [majority_verdict(name, counts) for name, counts in STUDY_CONFUSIONS.items()]
    said = [majority_summary(STUDY_CONFUSIONS), *verdicts]
    caveats = [caveat for caveat in STUDY_CAVEATS if caveat not in verdicts]
    matrices = {name: np.array(counts, float) for name, counts in STUDY_CONFUSIONS.items()}
    measured = next(iter(matrices.values())).sum(axis=1)
    matrices[CONSTANT] = np.stack([measured, *np.zeros((2, len(measured)))], axis=1)
    shown = [
        picture_of(draw_confusion({name: matrix}, BIN_NAMES), f"{name}: the study’s test patches.")
        for name, matrix in matrices.items()
    ]
    table = Table(("approach", "accuracy", "MSE", "MAE"), [tuple(row) for row in STUDY_ROWS], 2)
    return Section(
        "study",
        "What the original study reported",
        [
            Block("", [intro], table, notes=caveats),
            Block("Do its networks beat the most frequent bin?", said, pictures=shown),
        ],
    )
