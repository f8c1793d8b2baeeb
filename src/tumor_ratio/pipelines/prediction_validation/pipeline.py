"""The pipeline prediction_validation: registered, not part of a plain `kedro run`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from tumor_ratio.pipelines.prediction_validation import nodes


def create_pipeline(**_: object) -> Pipeline:
    """From a finished model to its errors on new phantoms; `prediction_model` says which model."""
    params = "params:prediction_validation"
    return Pipeline(
        [
            Node(
                nodes.plan_validation,
                ["cohort", params],
                "validation_plan",
                name="plan_validation",
            ),
            Node(
                nodes.validate_slides,
                [
                    "validation_plan",
                    "prediction_model",
                    "params:nuclei_model",
                    "params:segmentation",
                    params,
                ],
                "validation_slides",
                name="validate_slides",
            ),
            Node(
                nodes.score_validation,
                ["validation_slides", "prediction_model", params],
                [
                    "validation_slide_table",
                    "validation_areas",
                    "validation_curves",
                    "validation_foci",
                    "validation_intervals",
                    "validation_metrics",
                ],
                name="score_validation",
            ),
            Node(
                nodes.tell_validation,
                [
                    "validation_slide_table",
                    "validation_areas",
                    "validation_foci",
                    "validation_intervals",
                    "prediction_model",
                ],
                "validation_text",
                name="tell_validation",
            ),
            Node(
                nodes.draw_validation,
                [
                    "validation_slide_table",
                    "validation_areas",
                    "validation_curves",
                    "validation_intervals",
                    "prediction_model",
                ],
                "validation_figure",
                name="draw_validation",
            ),
        ],
        tags="prediction_validation",
    )
