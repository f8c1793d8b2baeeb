"""Options of a regressor that cannot hold together."""

from __future__ import annotations

from collections.abc import Iterator

from tumor_ratio.models.regressor_options import BackboneOptions, HeadOptions, LossOptions
from tumor_ratio.models.training_options import AugmentationOptions

LIKELIHOODS = ("cross_entropy", "beta_binomial")


def contradictions(
    backbone: BackboneOptions,
    head: HeadOptions,
    loss: LossOptions,
    augmentation: AugmentationOptions,
    context: float,
) -> Iterator[str]:
    """What speaks against the options together, in one line each that says what to set.

    Parameters
    ----------
    backbone, head, loss, augmentation : see there.
    context : how much wider than the patch the network looks.
    """
    yield from _of_the_loss(head, loss)
    yield from _of_bins(head, loss)
    if loss.parts:
        yield from _of_parts(head, loss, augmentation, context)
    yield from _of_the_backbone(backbone, loss, augmentation)


def _of_the_backbone(
    backbone: BackboneOptions, loss: LossOptions, augmentation: AugmentationOptions
) -> Iterator[str]:
    pooling = backbone.pooling.name
    if backbone.frozen and pooling == "backbone" and loss.parts:
        yield "backbone.frozen keeps one vector of features a patch: set loss.parts: 0"
    if pooling == "mean_spread" and loss.parts:
        yield "backbone.pooling.name: mean_spread keeps one vector a patch: set loss.parts: 0"
    if backbone.frozen and backbone.copies == 1 and augmentation.varies:
        yield (
            "backbone.frozen computes features once, without augmentation: set backbone.copies to "
            "2 or more, or training.augmentation.flips: none and leave the others at 0"
        )
    if backbone.copies > 1 and not augmentation.varies:
        yield (
            "backbone.copies varies patches by training.augmentation, which changes nothing: set "
            "backbone.copies: 1, or name an augmentation"
        )


def _of_the_loss(head: HeadOptions, loss: LossOptions) -> Iterator[str]:
    if loss.name in LIKELIHOODS and not head.bounded:
        yield f"loss.name: {loss.name} needs head.bounded: true"
    if loss.name == "beta_binomial" and loss.weighted:
        yield "loss.name: beta_binomial weighs patches by their nuclei: set loss.weighted: false"


def _of_bins(head: HeadOptions, loss: LossOptions) -> Iterator[str]:
    if loss.name == "bin_cross_entropy" and not head.bins:
        yield "loss.name: bin_cross_entropy needs head.bins"
    if not head.bins:
        if loss.class_weights != "none":
            yield "loss.class_weights needs head.bins"
        return
    if loss.name != "bin_cross_entropy":
        yield "head.bins needs loss.name: bin_cross_entropy"
    if head.bounded or head.start_at_mean:
        yield "head.bins ends in probabilities: set head.bounded and head.start_at_mean to false"


def _of_parts(
    head: HeadOptions, loss: LossOptions, augmentation: AugmentationOptions, context: float
) -> Iterator[str]:
    if head.bins:
        yield "head.bins classifies whole patches: set loss.parts: 0"
    if loss.name == "interval":
        yield "parts have no intervals: set loss.parts: 0, or another loss.name than interval"
    if context != 1:
        yield "with context, the network's map is not the patch's: set loss.parts: 0"
    if augmentation.rotation_degrees or augmentation.scale_jitter:
        yield (
            "parts are flipped and turned by quarters only: set loss.parts: 0, or "
            "training.augmentation.rotation_degrees and scale_jitter to 0"
        )
