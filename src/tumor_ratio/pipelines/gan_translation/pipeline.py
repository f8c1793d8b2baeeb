"""The pipeline gan_translation."""

from __future__ import annotations

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from tumor_ratio.approaches import tail
from tumor_ratio.approaches.cyclegan import NAME as APPROACH
from tumor_ratio.pipelines.gan_translation import figures, load_sizes, nodes

SHARED_INPUTS = {*tail.SHARED_INPUTS, "tiles", "pair_quality", "ihc_nuclei", "he_nuclei"}
PARAMS = "params:options"
MODEL, SEGMENTATION, RATIOS = (
    "params:nuclei_model",
    "params:segmentation",
    "params:ratio_labels",
)
SHARED_PARAMETERS = {PARAMS: f"params:{APPROACH}", **{n: n for n in (MODEL, SEGMENTATION, RATIOS)}}


def create_pipeline(_approaches: Sequence[str] = ()) -> Pipeline:
    """From squares of both stains to virtual Ki-67 slides, their ratios, and predictions.

    Datasets are those of the namespace `cyclegan`; nodes carry the tag `approach.cyclegan`.
    """
    template = Pipeline(
        [
            Node(
                nodes.choose_squares,
                [
                    "cohort",
                    "tiles",
                    "patches",
                    "pair_quality",
                    "ihc_nuclei",
                    "ratio_labels",
                    "folds",
                    PARAMS,
                ],
                "squares",
                name="choose_squares",
            ),
            Node(
                nodes.train,
                [
                    "cohort",
                    "squares",
                    "patches",
                    "pair_quality",
                    "ratio_labels",
                    MODEL,
                    SEGMENTATION,
                    RATIOS,
                    PARAMS,
                ],
                "model",
                name="train",
            ),
            Node(
                nodes.translate,
                ["cohort", "tiles", "patches", "folds", "model", PARAMS],
                "virtual_slides",
                name="translate",
            ),
            Node(
                nodes.measure,
                ["cohort", "tiles", "patches", "virtual_slides", MODEL, SEGMENTATION],
                "virtual_nuclei",
                name="measure",
            ),
            Node(
                nodes.estimate,
                [
                    "cohort",
                    "patches",
                    "pair_quality",
                    "virtual_nuclei",
                    "ratio_labels",
                    "folds",
                    "model",
                    RATIOS,
                    PARAMS,
                ],
                ["virtual_ratios", "predictions", "calibration", "account"],
                name="estimate",
            ),
            Node(
                nodes.assemble_model,
                [
                    "cohort",
                    "tiles",
                    "patches",
                    "folds",
                    "model",
                    "calibration",
                    MODEL,
                    SEGMENTATION,
                    RATIOS,
                    PARAMS,
                ],
                "slide_model",
                name="assemble_model",
            ),
            Node(
                nodes.score,
                [
                    "cohort",
                    "tiles",
                    "pair_quality",
                    "he_nuclei",
                    "ihc_nuclei",
                    "virtual_slides",
                    "virtual_nuclei",
                    "virtual_ratios",
                    "patches",
                    "ratio_labels",
                    "folds",
                    "model",
                    PARAMS,
                ],
                ["translation_scores", "translation_metrics"],
                name="score",
            ),
            Node(
                figures.show_translations,
                [
                    "cohort",
                    "tiles",
                    "pair_quality",
                    "virtual_slides",
                    "virtual_nuclei",
                    "ihc_nuclei",
                    "ratio_labels",
                    "folds",
                    "model",
                    PARAMS,
                ],
                "gallery",
                name="show_translations",
            ),
        ]
    )
    return Pipeline(
        template + tail.create_tail("slide_model"),
        namespace=APPROACH,
        inputs=SHARED_INPUTS,
        parameters=SHARED_PARAMETERS,
        tags=[f"approach.{APPROACH}"],
    )


def create_load_size_pipeline() -> Pipeline:
    """From the same squares to CycleGANs at several load sizes, side by side.

    Nodes carry the tag `approach.cyclegan_load_sizes`; each load size gets a child run.
    """
    template = Pipeline(
        [
            Node(
                load_sizes.compare,
                [
                    "cohort",
                    "squares",
                    "tiles",
                    "patches",
                    "pair_quality",
                    "ratio_labels",
                    "folds",
                    MODEL,
                    SEGMENTATION,
                    RATIOS,
                    PARAMS,
                ],
                "load_size_models",
                name="compare_load_sizes",
            ),
            Node(
                load_sizes.tabulate,
                "load_size_models",
                ["load_size_scores", "load_size_metrics"],
                name="tabulate",
            ),
        ]
    )
    return Pipeline(
        template + tail.create_tail("slide_model"),
        namespace=APPROACH,
        inputs=SHARED_INPUTS - {"calibration_areas", "slide_appearance", "ihc_nuclei", "he_nuclei"},
        parameters=SHARED_PARAMETERS,
        tags=[f"approach.{load_sizes.SWEEP}"],
    )
