"""The user's own H&E slides with a finished model."""

from tumor_ratio.pipelines.prediction.pipeline import create_pipeline

__all__ = ["create_pipeline"]
