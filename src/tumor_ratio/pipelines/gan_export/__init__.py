"""The pipeline gan_export: tiles for a CycleGAN that is trained elsewhere."""

from tumor_ratio.pipelines.gan_export.pipeline import create_pipeline

__all__ = ["create_pipeline"]
