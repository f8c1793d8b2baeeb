"""What necrosis, background DAB, defocus and the like do to the label and to each approach."""

from tumor_ratio.pipelines.stress.pipeline import create_pipeline

__all__ = ["create_pipeline"]
