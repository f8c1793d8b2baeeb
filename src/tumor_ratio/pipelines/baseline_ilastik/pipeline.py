"""The pipeline baseline_ilastik."""

from __future__ import annotations

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from tumor_ratio.approaches import tail
from tumor_ratio.approaches.ilastik import NAME as APPROACH
from tumor_ratio.pipelines.baseline_ilastik import figures, nodes

SHARED_INPUTS = {*tail.SHARED_INPUTS, "tiles", "pair_quality"}


def create_pipeline(_approaches: Sequence[str] = ()) -> Pipeline:
    """From strokes or ilastik projects to ratios by pixel classes, and predictions from H&E.

    Datasets are those of the namespace `ilastik`; nodes carry the tag `approach.ilastik`.
    """
    params = "params:options"
    template = Pipeline(
        [
            Node(
                nodes.draw_strokes,
                ["cohort", "tiles", "pair_quality", "folds", params],
                "strokes",
                name="draw_strokes",
            ),
            Node(
                nodes.train_he_forest,
                ["cohort", "strokes", params],
                "he_forest",
                name="train_he_forest",
            ),
            Node(
                nodes.train_ihc_forest,
                ["cohort", "strokes", params],
                "ihc_forest",
                name="train_ihc_forest",
            ),
            Node(
                nodes.choose_regions,
                ["patches", "pair_quality", "folds", params],
                "chosen_patches",
                name="choose_regions",
            ),
            Node(
                nodes.classify_he,
                ["cohort", "chosen_patches", "he_forest", params],
                "slide_he_classes",
                name="classify_he",
            ),
            Node(
                nodes.classify_ihc,
                ["cohort", "chosen_patches", "ihc_forest", params],
                "slide_ihc_classes",
                name="classify_ihc",
            ),
            Node(
                nodes.measure_ihc,
                ["slide_ihc_classes", "ihc_forest", params],
                "ihc_ratios",
                name="measure_ihc",
            ),
            Node(
                nodes.estimate_he,
                [
                    "slide_he_classes",
                    "chosen_patches",
                    "ratio_labels",
                    "folds",
                    "he_forest",
                    params,
                ],
                ["predictions", "he_shares", "share_maps", "account"],
                name="estimate_he",
            ),
            Node(
                nodes.assemble_model,
                ["cohort", "patches", "folds", "he_forest", "share_maps", params],
                "slide_model",
                name="assemble_model",
            ),
            Node(
                nodes.compare_sections,
                [
                    "chosen_patches",
                    "pair_quality",
                    "he_shares",
                    "ihc_ratios",
                    "predictions",
                    "ratio_labels",
                    "folds",
                    "he_forest",
                    params,
                ],
                "agreement",
                name="compare_sections",
            ),
            Node(
                figures.show_examples,
                [
                    "cohort",
                    "chosen_patches",
                    "ratio_labels",
                    "folds",
                    "he_forest",
                    "ihc_forest",
                    params,
                ],
                "gallery",
                name="show_examples",
            ),
            Node(
                figures.show_importance,
                ["he_forest", "ihc_forest"],
                "feature_importance",
                name="show_importance",
            ),
            Node(
                figures.show_distributions,
                [
                    "chosen_patches",
                    "he_shares",
                    "ihc_ratios",
                    "predictions",
                    "ratio_labels",
                    "folds",
                    "he_forest",
                    "ihc_forest",
                    params,
                ],
                "ratio_distributions",
                name="show_distributions",
            ),
        ]
    )
    return Pipeline(
        template + tail.create_tail("slide_model"),
        namespace=APPROACH,
        inputs=SHARED_INPUTS,
        parameters={params: f"params:{APPROACH}"},
        tags=[f"approach.{APPROACH}"],
    )
