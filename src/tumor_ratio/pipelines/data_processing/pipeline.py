"""From slide files to chosen tiles and patches."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from tumor_ratio.pipelines.data_processing import nodes


def create_pipeline(**_: object) -> Pipeline:
    """Assemble data_processing."""
    return Pipeline(
        [
            Node(nodes.plan_cohort, "params:cohort", "cohort_plan", name="plan_cohort"),
            Node(
                nodes.prepare_slides,
                ["cohort_plan", "params:cohort"],
                "slides",
                name="prepare_slides",
            ),
            Node(nodes.gather_cohort, ["cohort_plan", "slides"], "cohort", name="gather_cohort"),
            Node(nodes.describe_slides, "cohort", "slide_appearance", name="describe_slides"),
            Node(nodes.make_tiles, ["cohort", "params:tiles"], "tiles", name="make_tiles"),
            Node(
                nodes.score_tiles,
                ["cohort", "tiles", "params:tile_scores", "params:tile_selection"],
                "tile_scores",
                name="score_tiles",
            ),
            Node(
                nodes.select_tiles,
                ["tiles", "tile_scores", "exclusions", "params:tile_selection"],
                "tile_quality",
                name="select_tiles",
            ),
            Node(
                nodes.draw_contact_sheet,
                ["cohort", "tiles", "tile_quality", "params:contact_sheet"],
                "contact_sheet",
                name="draw_contact_sheet",
            ),
            Node(
                nodes.cut_patches,
                ["cohort", "tiles", "tile_quality", "params:patches"],
                "patches",
                name="cut_patches",
            ),
        ],
    )
