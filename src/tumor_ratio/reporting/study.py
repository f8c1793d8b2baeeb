"""What the original study reported, and why its rows cannot be compared.

Numbers as in the study's report; the confusion matrices behind the caveats are in the author's
public notebook (github.com/yunjiang2020/cv_project_he2ihc).
"""

from __future__ import annotations

from typing import Final, NamedTuple


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

STUDY_CAVEATS: Final = (
    "“Accuracy” means two things in this table (bins, and shares within a tolerance), and tile "
    "sizes and test sets differ: the rows cannot be compared with each other, nor with the results "
    "above.",
    "Always answering the lowest bin scores 887/1200 = 0.739 on the networks’ test patches: better "
    "than the ResNet18, and the ViT’s lead over it is two patches. Their balanced accuracies, "
    "0.335 and 0.336, are chance.",
    "There was no validation set: the best epoch was picked on the test slides (4 of 49).",
    "The labels there are D / (D + H) from two separated channels; where the hematoxylin channel "
    "also finds positive nuclei they count twice, which puts a ceiling of about 0.5 on the ratio.",
)
