"""One template, carried out once an approach in a namespace of its own."""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence
from functools import partial, update_wrapper
from typing import Any

from kedro.pipeline import Node, Pipeline

from tumor_ratio.pipelines.regression import nodes

APPROACHES = ("resnet18", "efficientnet_lite0", "lite0_vit")
"""What a plain `kedro run` trains, unless the configuration's `approaches` says otherwise. Any name
will do whose configuration block names a backbone; names with a meaning of their own are in
`tumor_ratio.models.regressor_options.BACKBONES`."""

SHIPPED = (*APPROACHES, "levit_128s", "resnet18_bins", "resnet18_study", "vit_b16_study")
"""Approaches that conf/base describes; a run need not train them all."""

SHARED_INPUTS = {
    "calibration_areas",
    "cohort",
    "slide_appearance",
    "patches",
    "pair_quality",
    "ihc_nuclei",
    "ratio_labels",
    "folds",
}


def create_pipeline(approaches: Sequence[str] = APPROACHES, **_: object) -> Pipeline:
    """Assemble regression.

    Parameters
    ----------
    approaches : the namespaces. `resnet18` reads the parameters `resnet18`, writes
        `resnet18.training_patches`, `resnet18.models`, `resnet18.slide_predictions`,
        `resnet18.predictions`, `resnet18.account` and `resnet18.new_slide_calibration`, and its
        nodes carry the tag `approach.resnet18`.
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
            Node(nodes.describe_approach, "models", "account", name="describe_approach"),
            Node(
                nodes.calibrate_for_new_slides,
                [
                    "cohort",
                    "patches",
                    "ratio_labels",
                    "folds",
                    "predictions",
                    "calibration_areas",
                    "slide_appearance",
                    "models",
                    "params:options",
                ],
                "new_slide_calibration",
                name="calibrate_for_new_slides",
            ),
        ]
    )
    return Pipeline(
        template,
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
