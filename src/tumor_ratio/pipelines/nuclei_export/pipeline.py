"""The pipeline nuclei_export: registered, not part of a plain `kedro run`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from tumor_ratio.pipelines.nuclei_export import nodes


def create_pipeline() -> Pipeline:
    """From the nuclei that ground_truth found to one GeoJSON a slide and section."""
    return Pipeline(
        [
            Node(
                nodes.export_ihc,
                ["cohort", "ihc_nuclei"],
                "ihc_nuclei_geojson",
                name="export_ihc_nuclei",
            ),
            Node(
                nodes.export_he,
                ["cohort", "he_nuclei"],
                "he_nuclei_geojson",
                name="export_he_nuclei",
            ),
        ],
        tags="nuclei_export",
    )
