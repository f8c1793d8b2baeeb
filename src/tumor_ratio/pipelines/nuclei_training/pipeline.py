"""The pipeline nuclei_training: registered, not part of a plain `kedro run`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from tumor_ratio.pipelines.nuclei_training import nodes


def create_pipeline() -> Pipeline:
    """From labelled tiles to a StarDist model folder with its card."""
    return Pipeline(
        [
            Node(
                nodes.make_tiles,
                "params:nuclei_training",
                "nuclei_tiles",
                name="make_nuclei_tiles",
            ),
            Node(
                nodes.train_nuclei_model,
                ["nuclei_tiles", "params:nuclei_training"],
                "nuclei_model_card",
                name="train_nuclei_model",
            ),
        ],
        tags="nuclei_training",
    )
