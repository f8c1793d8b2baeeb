"""The pipeline gan_translation: virtual Ki-67 from H&E with a CycleGAN."""

from tumor_ratio.pipelines.gan_translation.pipeline import (
    create_load_size_pipeline,
    create_pipeline,
)

__all__ = ["create_load_size_pipeline", "create_pipeline"]
