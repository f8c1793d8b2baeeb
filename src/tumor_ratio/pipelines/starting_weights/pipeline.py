"""The pipeline starting_weights: registered, not part of a plain `kedro run`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from tumor_ratio.approaches.cyclegan import NAME as CYCLEGAN
from tumor_ratio.approaches.network import STARTING_WEIGHTS
from tumor_ratio.pipelines.starting_weights import nodes


def create_pipeline() -> Pipeline:
    """From trained models to folders that ship: a ResNet18 and a CycleGAN."""
    params = ["cohort_plan", "params:starting_weights"]
    return Pipeline(
        [
            Node(
                nodes.ship_regressor,
                [f"{STARTING_WEIGHTS}.models", *params],
                "shipped_resnet18",
                name="ship_resnet18",
            ),
            Node(
                nodes.ship_cyclegan,
                [f"{CYCLEGAN}.model", *params],
                "shipped_cyclegan",
                name="ship_cyclegan",
            ),
        ],
        tags="starting_weights",
    )
