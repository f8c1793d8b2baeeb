"""The pipeline label_validation: registered, not part of a plain `kedro run`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from tumor_ratio.pipelines.label_validation import nodes


def create_pipeline() -> Pipeline:
    """From annotated tiles and phantoms to how far each label method is from the truth."""
    return Pipeline(
        [
            Node(
                nodes.prepare_tiles,
                "params:label_validation",
                "validation_tiles",
                name="prepare_validation_tiles",
            ),
            Node(
                nodes.measure_tiles,
                [
                    "validation_tiles",
                    "params:nuclei_model",
                    "params:segmentation",
                    "params:ratio_labels",
                ],
                ["label_comparison", "validation_nuclei"],
                name="measure_validation_tiles",
            ),
            Node(
                nodes.summarise_methods,
                "label_comparison",
                "label_methods",
                name="summarise_label_methods",
            ),
            Node(
                nodes.draw_methods,
                "label_comparison",
                "label_methods_figure",
                name="draw_label_methods",
            ),
            Node(
                nodes.draw_nuclei,
                ["validation_tiles", "validation_nuclei", "params:label_validation"],
                "validation_overlays",
                name="draw_validation_nuclei",
            ),
        ],
        tags="label_validation",
    )
