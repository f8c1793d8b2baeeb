"""The pipelines by name, in the order of the story."""

from __future__ import annotations

from collections.abc import Sequence

from kedro.pipeline import Pipeline

from tumor_ratio.pipelines import (
    baseline_ilastik,
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
    regression,
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

PIPELINES_OF = {
    baseline_ilastik.APPROACH: "baseline_ilastik",
    gan_translation.APPROACH: "gan_translation",
}
"""Approaches with a pipeline of their own; every other one is a network of `regression`."""

DEFAULT_APPROACHES = (*PIPELINES_OF, *regression.APPROACHES)


class _Chosen:
    approaches: tuple[str, ...] = DEFAULT_APPROACHES


def choose_approaches(approaches: Sequence[str]) -> bool:
    """From now on register pipelines for these approaches.

    Parameters
    ----------
    approaches : what the main job runs and compares, in the order in which it shows them.

    Returns
    -------
    bool
        Whether that is another choice than before: pipelines registered earlier are out of date.
    """
    changed = _Chosen.approaches != tuple(approaches)
    _Chosen.approaches = tuple(approaches)
    return changed


def register_pipelines() -> dict[str, Pipeline]:
    """All pipelines; `__default__` is the main job from slide pairs to the report.

    Each is a namespace of its nodes, so that kedro-viz shows it as one box; datasets and parameters
    keep their names.
    """
    approaches = _Chosen.approaches
    networks = [name for name in approaches if name not in PIPELINES_OF]
    plain = {
        "data_processing": data_processing.create_pipeline(),
        "ground_truth": ground_truth.create_pipeline(),
        "baseline_ilastik": baseline_ilastik.create_pipeline(),
        "gan_translation": gan_translation.create_pipeline(),
        "regression": regression.create_pipeline(networks),
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
    left_out = {name for approach, name in PIPELINES_OF.items() if approach not in approaches}
    main_job = [p for name, p in pipelines.items() if name not in {*ON_REQUEST, *left_out}]
    return {"__default__": sum(main_job, Pipeline([])), **pipelines}
