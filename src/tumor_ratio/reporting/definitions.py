"""How the report's numbers are defined, in the reader's words."""

from __future__ import annotations

from typing import Final

DEFINITIONS: Final = (
    (
        "tumor ratio",
        "Area of Ki-67-positive nuclei over the area of all nuclei whose centroid lies in the "
        "region. It is not the tumor’s area: Ki-67 marks proliferating nuclei. Undefined, and "
        "counted as such, with fewer than the minimum number of nuclei.",
    ),
    (
        "ihc_measured",
        "The ratio measured on the neighbouring Ki-67 section: nuclei found by a network, "
        "positive by their DAB density. What the networks learn from and are scored by.",
    ),
    (
        "ihc_true, he_true",
        "Phantoms only: the ratio of the nuclei that were drawn, on the Ki-67 section and on "
        "the H&E section itself.",
    ),
    (
        "selected, admitted",
        "Selected regions lie in tiles that the pairing rules kept; those rules look at the IHC "
        "slide, which a new slide does not have. Admitted regions are all that H&E alone lets "
        "through.",
    ),
    (
        "MAE, MSE, within",
        "Mean absolute and mean squared error of the ratio, and the share of regions within "
        "0.05, 0.1 or 0.2: the mean over slides of the mean over the slide’s regions.",
    ),
    (
        "interval",
        "Student’s t over slides, with one degree of freedom less than there are slides; for what "
        "is no mean over slides with the jackknife’s standard error. The slide (the case, where "
        "several slides share one) is the unit of independence; few slides make wide intervals.",
    ),
    (
        "bin accuracy",
        "Share of regions predicted in the right one of the bins 0-0.2, 0.2-0.5 and 0.5-1. Most "
        "regions lie in the lowest bin, so it says nothing without the majority bin’s.",
    ),
    (
        "balanced accuracy",
        "Mean over the measured bins of the share predicted in them; a constant answer scores "
        "one over the number of bins that occur. Every slide weighs the same.",
    ),
    (
        "bias, limits of agreement",
        "Mean of predicted minus measured, and that mean plus and minus 1.96 standard deviations "
        "(Bland and Altman).",
    ),
    (
        "R², CCC, ICC(2,1)",
        "R² is the squared error against the variance of the measured ratios (not a squared "
        "correlation, and below 0 if worse than their mean); Lin’s concordance and the "
        "intraclass correlation ask for equal values, not only for a line. Every slide weighs "
        "the same.",
    ),
    (
        "correlation within, between",
        "Within: inside slides, whatever lies between them. Between: of slide ratios. That of "
        "all regions mixes both. Undefined for a constant.",
    ),
    (
        "tile ratio, slide ratio",
        "Mean of a tile’s or slide’s regions weighted by their nuclear area, on IHC for the "
        "measured and on H&E for the predicted ratio.",
    ),
    (
        "gain",
        "The training median’s loss minus the approach’s, with an interval paired by slide (for "
        "the MSE: the training mean’s).",
    ),
    (
        "oracle, skill",
        "The oracle knows the true ratio of the H&E section in and around the region and "
        "learned from other slides what the neighbouring section then shows; its loss is the "
        "ceiling. Skill is the approach’s gain over the oracle’s: not clipped, and undefined "
        "unless the interval of the oracle’s gain lies above 0. On real slides the truth is "
        "unknown and no skill is claimed.",
    ),
    (
        "paired comparison",
        "Difference in MAE on the same slides, with its interval; the p-value is the share of "
        "all ways to flip the slides’ signs (with more than 32 slides, of 99,999 random ones) that "
        "differ as much, adjusted by Holm’s method for the number of pairs. Four slides cannot "
        "give less than 0.125.",
    ),
    (
        "raw, calibrated",
        "Calibrated predictions went through a monotone map fitted on validation slides; raw "
        "ones did not.",
    ),
)
