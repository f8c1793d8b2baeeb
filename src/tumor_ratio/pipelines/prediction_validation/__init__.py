"""How far ratios, areas, foci and intervals for new slides are from the truth, on phantoms."""

from tumor_ratio.pipelines.prediction_validation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
