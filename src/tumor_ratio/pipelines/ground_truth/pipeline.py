"""The pipeline ground_truth."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from tumor_ratio.pipelines.ground_truth import nodes


def create_pipeline() -> Pipeline:
    """From tiles to ratio labels, folds and patch features."""
    segmentation = ["cohort", "tiles", "tile_quality", "params:nuclei_model", "params:segmentation"]
    return Pipeline(
        [
            Node(nodes.segment_ihc, segmentation, "ihc_nuclei", name="segment_ihc"),
            Node(nodes.segment_he, segmentation, "he_nuclei", name="segment_he"),
            Node(
                nodes.judge_pairs,
                [
                    "cohort",
                    "tiles",
                    "tile_quality",
                    "ihc_nuclei",
                    "he_nuclei",
                    "params:pair_quality",
                ],
                "pair_quality",
                name="judge_pairs",
            ),
            Node(
                nodes.judge_stainings,
                ["cohort", "ihc_nuclei", "params:ratio_labels"],
                "slide_stainings",
                name="judge_stainings",
            ),
            Node(
                nodes.gather_stainings,
                "slide_stainings",
                "staining_quality",
                name="gather_stainings",
            ),
            Node(
                nodes.measure_ratios,
                [
                    "cohort",
                    "tiles",
                    "patches",
                    "ihc_nuclei",
                    "pair_quality",
                    "params:ratio_labels",
                ],
                "slide_ratio_labels",
                name="measure_ratios",
            ),
            Node(
                nodes.measure_otherwise,
                [
                    "cohort",
                    "tiles",
                    "patches",
                    "pair_quality",
                    "params:nuclei_model",
                    "params:compared_labels",
                ],
                "slide_compared_labels",
                name="measure_otherwise",
            ),
            Node(
                nodes.gather_labels,
                ["slide_ratio_labels", "slide_compared_labels"],
                "ratio_labels",
                name="gather_labels",
            ),
            Node(
                nodes.split_slides,
                ["cohort", "ratio_labels", "patches", "params:split"],
                "folds",
                name="split_slides",
            ),
            Node(
                nodes.measure_areas,
                ["cohort", "patches", "folds"],
                "calibration_areas",
                name="measure_areas",
            ),
            Node(
                nodes.describe_patches,
                ["cohort", "patches", "he_nuclei"],
                "slide_patch_features",
                name="describe_patches",
            ),
            Node(
                nodes.gather_patch_features,
                "slide_patch_features",
                "patch_features",
                name="gather_patch_features",
            ),
        ],
        tags="ground_truth",
    )
