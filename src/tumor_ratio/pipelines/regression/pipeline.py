"""One template, carried out once an approach in a namespace of its own."""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence
from functools import partial, update_wrapper
from typing import Any

from kedro.pipeline import Node, Pipeline

from tumor_ratio.approaches import tail
from tumor_ratio.pipelines.regression import nodes

SHARED_INPUTS = {*tail.SHARED_INPUTS, "pair_quality", "ihc_nuclei"}


def create_pipeline(approaches: Sequence[str]) -> Pipeline:
    """Assemble regression.

    Parameters
    ----------
    approaches : the namespaces. `mine` reads the parameters `mine`, writes
        `mine.training_patches`, `mine.models`, `mine.slide_predictions`,
        `mine.predictions`, `mine.account` and `mine.new_slide_calibration`, and its
        nodes carry the tag `approach.mine`.
    """
    return sum((create_approach(approach) for approach in approaches), Pipeline([]))


def create_approach(approach: str) -> Pipeline:
    """Sample, train, predict and calibrate one approach."""
    template = Pipeline(
        [
            Node(
                nodes.sample_patches,
                ["patches", "pair_quality", "ratio_labels", "folds", "params:options"],
                "training_patches",
                name="sample_patches",
            ),
            Node(
                nodes.sample_parts,
                ["cohort", "ihc_nuclei", "training_patches", "params:options"],
                "training_parts",
                name="sample_parts",
            ),
            Node(
                _of_approach(nodes.train, approach),
                ["cohort", "training_patches", "training_parts", "params:options"],
                "models",
                name="train",
            ),
            Node(
                nodes.predict,
                ["cohort", "patches", "folds", "models", "params:options"],
                "slide_predictions",
                name="predict",
            ),
            Node(
                nodes.calibrate,
                ["slide_predictions", "models"],
                "predictions",
                name="calibrate",
            ),
            Node(tail.describe_approach, "models", "account", name="describe_approach"),
        ]
    )
    return Pipeline(
        template + tail.create_tail("models"),
        namespace=approach,
        inputs=SHARED_INPUTS,
        parameters={"params:options": f"params:{approach}"},
        tags=[f"approach.{approach}"],
    )


def _of_approach(node_function: Callable[..., Any], approach: str) -> Callable[..., Any]:
    """Tell a node its approach, keeping the name and the annotations that Kedro reads.

    Kedro makes typed parameters of a node's annotations, and finds them through the function's own
    module, which a bare partial hides.
    """
    bound = partial(node_function, approach=approach)
    hints = typing.get_type_hints(node_function)
    update_wrapper(bound, node_function)
    del bound.__dict__["__wrapped__"]
    bound.__annotations__ = hints
    return bound
