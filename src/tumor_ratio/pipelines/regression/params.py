"""Parameters of an approach: what its network is, what it learns from, and how."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from tumor_ratio.models.option_checks import contradictions
from tumor_ratio.models.prediction_options import PredictionOptions
from tumor_ratio.models.regressor_options import (
    BackboneOptions,
    HeadOptions,
    LossOptions,
    NormalisationName,
)
from tumor_ratio.models.training_options import TrainingOptions
from tumor_ratio.params import ChangesNoResult, Params


class SamplingParams(Params):
    """Which patches of the training and validation slides are used."""

    upper_edges: tuple[float, ...] = (0.10, 0.20, 1.0)
    """Bins of the ratio; a ratio on an edge belongs to the bin above it, 1 to the last."""
    per_bin: tuple[int, ...] | None = (200, 200, 100)
    """Most training patches a slide in each bin; None takes all. By default the study's."""
    validation_per_slide: int | None = Field(default=300, ge=1)
    """Most validation patches a slide, whatever their ratio; None takes all."""
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _bins(self) -> SamplingParams:
        edges = list(self.upper_edges)
        if not edges or edges != sorted(set(edges)) or edges[0] <= 0 or edges[-1] != 1:
            raise ValueError(f"upper_edges increase, from above 0 to 1; not {self.upper_edges}")
        if self.per_bin is not None and (len(self.per_bin) != len(edges) or min(self.per_bin) < 0):
            raise ValueError(f"per_bin has a number, at least 0, for each of {len(edges)} bins")
        return self


class LearningParams(Params):
    """What a trained network depends on beside its patches; the defaults are the study's."""

    label_method: str = "nucleus"
    """The method whose ratios are learned (`label_method` of the ratio labels)."""
    protocol: str = "holdout"
    """The protocol whose folds say which slides train."""
    backbone: BackboneOptions = BackboneOptions()
    head: HeadOptions = HeadOptions()
    normalisation: NormalisationName = "cohort"
    """How colours reach the network; see there."""
    loss: LossOptions = LossOptions()
    training: TrainingOptions = TrainingOptions()
    context: float = Field(default=1.0, ge=1, le=8)
    """How much wider than the patch the network looks, at pixels as much coarser; the ratio that is
    learned and answered stays the patch's."""
    ensemble: int = Field(default=1, ge=1, le=20)
    """Trainings that differ in their seeds; their mean answers."""
    cache_mb: Annotated[int, ChangesNoResult()] = Field(default=512, ge=0)
    """Megabytes of patches kept in memory while training."""

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        augmentation = self.training.augmentation
        found = [*contradictions(self.backbone, self.head, self.loss, augmentation, self.context)]
        if found:
            raise ValueError("; ".join(found))
        return self


class RegressionParams(LearningParams):
    """One approach."""

    sampling: SamplingParams = SamplingParams()
    prediction: PredictionOptions = PredictionOptions()
    """Device, precision, threads and flips of prediction; training has its own compute options."""

    def learning(self) -> LearningParams:
        """The part that a training depends on: other settings must not train anew."""
        return LearningParams(**{name: getattr(self, name) for name in LearningParams.model_fields})
