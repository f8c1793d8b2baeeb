"""Nuclei of both sections and the tumor ratios measured on them."""

from tumor_ratio.pipelines.ground_truth.pipeline import create_pipeline

__all__ = ["create_pipeline"]
