"""The pipelines by name, in the order of the story."""

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
    regression,
    stress,
)

ON_REQUEST = (
    "gan_load_sizes",
    "gan_export",
    "nuclei_training",
    "label_validation",
    "nuclei_export",
    "prediction",
    "stress",
)
"""Registered, but not part of a plain `kedro run`."""


def register_pipelines() -> dict[str, Pipeline]:
    """All pipelines; `__default__` is the main job from slide pairs to the report.

    Each is a namespace of its nodes, so that kedro-viz shows it as one box; datasets and parameters
    keep their names.
    """
    plain = {
        "data_processing": data_processing.create_pipeline(),
        "ground_truth": ground_truth.create_pipeline(),
        "baseline_ilastik": baseline_ilastik.create_pipeline(),
        "gan_translation": gan_translation.create_pipeline(),
        "regression": regression.create_pipeline(regression.APPROACHES),
        "evaluation": evaluation.create_pipeline(
            (baseline_ilastik.APPROACH, gan_translation.APPROACH, *regression.APPROACHES)
        ),
        "gan_load_sizes": gan_translation.create_load_size_pipeline(),
        "nuclei_training": nuclei_training.create_pipeline(),
        "label_validation": label_validation.create_pipeline(),
        "nuclei_export": nuclei_export.create_pipeline(),
        "gan_export": gan_export.create_pipeline(),
        "prediction": prediction.create_pipeline(),
        "stress": stress.create_pipeline(regression.APPROACHES),
    }
    pipelines = {
        name: Pipeline(pipeline, namespace=name, prefix_datasets_with_namespace=False)
        for name, pipeline in plain.items()
    }
    main_job = [pipeline for name, pipeline in pipelines.items() if name not in ON_REQUEST]
    return {"__default__": sum(main_job, Pipeline([])), **pipelines}
