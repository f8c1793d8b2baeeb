"""The pipeline baseline_ilastik: pixel classification as biologists know it."""

from tumor_ratio.pipelines.baseline_ilastik.pipeline import create_pipeline

__all__ = ["create_pipeline"]
