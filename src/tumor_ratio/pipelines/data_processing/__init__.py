"""Slides, tiles and their selection, patches."""

from tumor_ratio.pipelines.data_processing.pipeline import create_pipeline

__all__ = ["create_pipeline"]
