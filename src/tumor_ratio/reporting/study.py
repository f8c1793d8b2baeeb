"""What the original study reported, and why its rows cannot be compared.

Numbers as in the study's report; the confusion matrices behind the caveats are in the author's
public notebook (github.com/yunjiang2020/cv_project_he2ihc).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest


class StudyRow(NamedTuple):
    """One row of the study's table, as reported."""

    approach: str
    accuracy: str
    mse: str
    mae: str


STUDY_ROWS: Final = (
    StudyRow("original paper, ResNet18, 3 classes", "0.79 (bins)", "-", "-"),
    StudyRow(
        "ilastik, 206 tile pairs", "0.7524 / 0.8447 / 0.9272 (within 0.05 / 0.1 / 0.2)",
        "0.0084", "0.0455",
    ),
    StudyRow("CycleGAN, load size 4096", "0.60 (bins)", "-", "0.13"),
    StudyRow("ResNet18", "0.7250 (bins)", "0.01293", "0.07842"),
    StudyRow("ViT-B/16", "0.7408 (bins)", "0.01258", "0.07591"),
)  # fmt: skip

STUDY_CONFUSIONS: Final[dict[str, tuple[tuple[int, ...], ...]]] = {
    "ResNet18": ((859, 28, 0), (279, 11, 0), (23, 0, 0)),
    "ViT-B/16": ((886, 1, 0), (287, 3, 0), (21, 2, 0)),
}
"""Test patches by measured bin (rows: 0-0.2, 0.2-0.5, 0.5-1) and predicted bin (columns)."""


def majority_verdict(name: str, confusion: ArrayLike) -> str:
    """In words: does a classifier beat always answering the most frequent bin?

    Parameters
    ----------
    name : of the classifier.
    confusion : (K, K) counts by measured (row) and predicted (column) bin, not all 0.

    Returns
    -------
    str
        One sentence with both accuracies, the difference in patches, and the balanced accuracy
        beside chance, 1 / (bins measured).

    Raises
    ------
    ValueError
        If the matrix is not square, or holds nothing.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.sum() <= 0:
        raise ValueError(f"a confusion matrix is square and counts something, not {counts.shape}")
    total, hits, measured = counts.sum(), np.diag(counts).sum(), counts.sum(axis=1)
    lead = round(hits - measured.max())
    present = measured > 0
    balanced = float((np.diag(counts)[present] / measured[present]).mean())
    patches = f"{abs(lead)} patch" + ("es" if abs(lead) != 1 else "")
    verdict = (
        f"beats it by {patches}"
        if lead > 0
        else (f"falls short of it by {patches}" if lead < 0 else "equals it")
    )
    return (
        f"{name}: accuracy {hits / total:.4f} in {total:.0f} patches; always answering the most "
        f"frequent bin scores {measured.max() / total:.4f}, so the network {verdict}. Its balanced "
        f"accuracy is {balanced:.3f}, where chance is {1 / present.sum():.3f}."
    )


def majority_summary(confusions: Mapping[str, ArrayLike]) -> str:
    """In words, of all classifiers: does any beat always answering the most frequent bin?

    A classifier beats it where an exact McNemar test (McNemar, Psychometrika 1947; 12: 153) of the
    patches that one of both has right says so at 0.05 and the classifier has more of them.

    Parameters
    ----------
    confusions : (K, K) counts by measured (row) and predicted (column) bin, by classifier.
    """
    found = []
    beaten = []
    for name, confusion in confusions.items():
        counts = np.asarray(confusion, dtype=np.int64)
        bin_ = int(counts.sum(axis=1).argmax())
        won = int(np.trace(counts) - counts[bin_, bin_])
        lost = int(counts[bin_].sum() - counts[bin_, bin_])
        p = float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
        if p < 0.05 and won > lost:
            beaten.append(name)
        found.append(
            f"{name} wins {won} patches from it and loses {lost} (exact McNemar p {p:.2g})"
        )
    verdict = (
        f"{', '.join(beaten)} beat the most frequent bin"
        if beaten
        else "none of these networks beats the most frequent bin"
    )
    return (
        f"Taken together, {verdict}: {'; '.join(found)}. Patches of few slides are not "
        "independent, so these p-values are too small rather than too large."
    )


STUDY_CAVEATS: Final = (
    "“Accuracy” means two things in this table (bins, and shares within a tolerance), and tile "
    "sizes and test sets differ: the rows cannot be compared with each other, nor with the results "
    "above.",
    *(majority_verdict(name, counts) for name, counts in STUDY_CONFUSIONS.items()),
    "There was no validation set: the best epoch was picked on the test slides (4 of 49).",
    "The labels there are D / (D + H) from two separated channels; where the hematoxylin channel "
    "also finds positive nuclei they count twice, which puts a ceiling of about 0.5 on the ratio.",
)
