"""The pipeline gan_export: registered, not part of a plain `kedro run`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from tumor_ratio.approaches.cyclegan import NAME as APPROACH
from tumor_ratio.pipelines.gan_export import nodes


def create_pipeline() -> Pipeline:
    """From the squares that a CycleGAN trains on to the folders that its reference reads."""
    return Pipeline(
        [
            Node(
                nodes.export_tiles,
                [
                    "cohort",
                    f"{APPROACH}.squares",
                    "tiles",
                    "pair_quality",
                    "folds",
                    "params:gan_export",
                ],
                f"{APPROACH}.unpaired_tiles",
                name="export_tiles",
            ),
        ],
        tags="gan_export",
    )
