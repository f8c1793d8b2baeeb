"""How far each way to label a Ki-67 tile is from the truth."""

from tumor_ratio.pipelines.label_validation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
