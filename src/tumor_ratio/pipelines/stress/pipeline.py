"""The pipeline stress: registered, not part of a plain `kedro run`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from tumor_ratio.pipelines.stress import nodes


def create_pipeline(approaches: Sequence[str]) -> Pipeline:
    """From the models of a finished run to what each factor of stress does to them.

    Parameters
    ----------
    approaches : names whose `<approach>.first_model` is put under stress: the one for new slides,
        of the holdout or of a cross-validation's first fold.
    """
    params = "params:stress"
    models = {name: f"{name}.first_model" for name in approaches}
    with warnings.catch_warnings():
        # Kedro warns of dots in names that a node outside their namespace reads, as these must.
        warnings.filterwarnings("ignore", message="One or more dataset names contain '.'")
        return Pipeline(
            [
                Node(nodes.plan_stress, ["cohort", params], "stress_plan", name="plan_stress"),
                Node(
                    nodes.fit_stress_baselines,
                    ["patches", "pair_quality", "references", "patch_features", "folds", params],
                    "stress_baselines",
                    name="fit_stress_baselines",
                ),
                Node(
                    nodes.measure_stress,
                    {
                        "stress_plan": "stress_plan",
                        "stress_baselines": "stress_baselines",
                        "nuclei_model": "params:nuclei_model",
                        "segmentation": "params:segmentation",
                        "params": params,
                        **models,
                    },
                    "stress_slides",
                    name="measure_stress",
                ),
                Node(
                    nodes.score_stress,
                    {"stress_slides": "stress_slides", "params": params, **models},
                    ["stress_scores", "stress_rankings", "stress_metrics"],
                    name="score_stress",
                ),
                Node(
                    nodes.draw_stress,
                    {"stress_scores": "stress_scores", **models},
                    "stress_changes",
                    name="draw_stress",
                ),
            ],
            tags="stress",
        )
