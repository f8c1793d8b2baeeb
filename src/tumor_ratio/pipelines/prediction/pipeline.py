"""From slide files and a finished model to ratios, areas, foci and animals."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from tumor_ratio.pipelines.prediction import nodes


def create_pipeline(**_: object) -> Pipeline:
    """Assemble prediction; the catalog's `prediction_model` says which model serves."""
    return Pipeline(
        [
            Node(
                nodes.plan_new_slides,
                ["params:prediction", "prediction_model"],
                ["new_plan", "skipped_files"],
                name="plan_new_slides",
            ),
            Node(
                nodes.open_new_slides,
                ["new_plan", "params:prediction"],
                "new_slides",
                name="open_new_slides",
            ),
            Node(
                nodes.predict_slides,
                ["new_slides", "prediction_model", "params:prediction"],
                "slide_region_ratios",
                name="predict_slides",
            ),
            Node(
                nodes.summarise_slides,
                ["slide_region_ratios", "new_slides", "prediction_model", "params:prediction"],
                "slide_summaries",
                name="summarise_slides",
            ),
            Node(
                nodes.gather_ratios,
                ["slide_summaries", "slide_region_ratios", "new_plan", "prediction_model"],
                [
                    "region_ratios",
                    "slide_ratios",
                    "focus_table",
                    "rich_area_curve",
                    "animal_table",
                    "group_table",
                ],
                name="gather_ratios",
            ),
            Node(
                nodes.write_cohort_page,
                [
                    "slide_summaries",
                    "animal_table",
                    "group_table",
                    "prediction_failures",
                    "new_plan",
                    "skipped_files",
                    "params:prediction",
                ],
                "prediction_page",
                name="write_cohort_page",
            ),
        ],
        tags="prediction",
    )
