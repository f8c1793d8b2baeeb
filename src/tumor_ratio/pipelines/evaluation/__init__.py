"""How well every approach agrees with the references, and the report on it."""

from tumor_ratio.pipelines.evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
