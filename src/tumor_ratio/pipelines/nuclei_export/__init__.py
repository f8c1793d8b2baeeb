"""Nuclei for QuPath."""

from tumor_ratio.pipelines.nuclei_export.pipeline import create_pipeline

__all__ = ["create_pipeline"]
