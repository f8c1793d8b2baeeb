"""Networks that learn the ratio from H&E patches, one template with a namespace an approach."""

from tumor_ratio.pipelines.regression.pipeline import create_pipeline

__all__ = ["create_pipeline"]
