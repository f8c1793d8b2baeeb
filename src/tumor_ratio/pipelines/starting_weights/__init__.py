"""The starting weights that ship with the package, made of finished trainings."""

from tumor_ratio.pipelines.starting_weights.pipeline import create_pipeline

__all__ = ["create_pipeline"]
