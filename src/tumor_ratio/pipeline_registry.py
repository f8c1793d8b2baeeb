"""The pipelines by name, in the order of the story."""

from __future__ import annotations

from collections.abc import Sequence

from kedro.pipeline import Pipeline

from tumor_ratio.approaches import registry
from tumor_ratio.approaches.contract import load
from tumor_ratio.pipelines import (
    data_processing,
    evaluation,
    gan_export,
    gan_translation,
    ground_truth,
    label_validation,
    nuclei_export,
    nuclei_training,
    prediction,
    prediction_validation,
    starting_weights,
    stress,
)

ON_REQUEST = (
    "gan_load_sizes",
    "gan_export",
    "nuclei_training",
    "label_validation",
    "nuclei_export",
    "prediction",
    "prediction_validation",
    "starting_weights",
    "stress",
)
"""Registered, but not part of a plain `kedro run`."""

DEFAULT_APPROACHES = registry.default_approaches()


def register_pipelines() -> dict[str, Pipeline]:
    """All pipelines, for the approaches of a plain run; see `pipelines_of`."""
    return pipelines_of(DEFAULT_APPROACHES)


def pipelines_of(approaches: Sequence[str]) -> dict[str, Pipeline]:
    """All pipelines; `__default__` is the main job from slide pairs to the report.

    Each is a namespace of its nodes, so that kedro-viz shows it as one box; datasets and parameters
    keep their names.

    Parameters
    ----------
    approaches : what the main job runs and compares, in the order in which it shows them. The names
        of the pipelines do not depend on it.
    """
    kinds, left_out = {}, set()
    for spec in registry.all_specs():
        own = registry.served(spec, approaches)
        create_pipeline = load(spec.create_pipeline)
        # A kind that nothing chose is left out of the main job, but can be run on request.
        kinds[spec.pipeline] = create_pipeline(own or (() if spec.others else spec.names))
        if not own:
            left_out.add(spec.pipeline)
    plain = {
        "data_processing": data_processing.create_pipeline(),
        "ground_truth": ground_truth.create_pipeline(),
        **kinds,
        "evaluation": evaluation.create_pipeline(approaches),
        "gan_load_sizes": gan_translation.create_load_size_pipeline(),
        "nuclei_training": nuclei_training.create_pipeline(),
        "label_validation": label_validation.create_pipeline(),
        "nuclei_export": nuclei_export.create_pipeline(),
        "gan_export": gan_export.create_pipeline(),
        "prediction": prediction.create_pipeline(),
        "prediction_validation": prediction_validation.create_pipeline(),
        "starting_weights": starting_weights.create_pipeline(),
        "stress": stress.create_pipeline(approaches),
    }
    pipelines = {
        name: Pipeline(pipeline, namespace=name, prefix_datasets_with_namespace=False)
        for name, pipeline in plain.items()
    }
    main_job = [p for name, p in pipelines.items() if name not in {*ON_REQUEST, *left_out}]
    return {"__default__": sum(main_job, Pipeline([])), **pipelines}
