"""Training of the nuclei network on labelled phantom tiles."""

from tumor_ratio.pipelines.nuclei_training.pipeline import create_pipeline

__all__ = ["create_pipeline"]
