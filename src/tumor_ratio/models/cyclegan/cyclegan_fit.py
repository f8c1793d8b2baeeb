"""Train a CycleGAN from options and two sources of images."""

from __future__ import annotations

from pathlib import Path

from tumor_ratio.errors import ConfigurationError
from tumor_ratio.models.cyclegan.checkpoint_files import load_networks
from tumor_ratio.models.cyclegan.collapse import collapse
from tumor_ratio.models.cyclegan.cyclegan_training import CycleGanTraining, GeneratorMetric
from tumor_ratio.models.cyclegan.learning_rate import learning_rate_share
from tumor_ratio.models.cyclegan.networks import CycleGan
from tumor_ratio.models.cyclegan.options import CycleGanOptions
from tumor_ratio.models.cyclegan.unpaired_images import UnpairedImages
from tumor_ratio.models.devices import resolve_compute
from tumor_ratio.models.patch_source import PatchSource
from tumor_ratio.models.training import OnEpoch, Trained, train
from tumor_ratio.models.training_options import OptimizerOptions, TrainingOptions


def fit_cyclegan(
    options: CycleGanOptions,
    domain_a: PatchSource,
    domain_b: PatchSource,
    folder: Path,
    *,
    title: str,
    initial: Path | None = None,
    metric: GeneratorMetric | None = None,
    on_epoch: OnEpoch | None = None,
) -> tuple[CycleGan, Trained]:
    """Train, continuing from the checkpoints in `folder`.

    Parameters
    ----------
    options : see there.
    domain_a, domain_b : training images; their numbers and sizes may differ.
    folder : for checkpoints.
    title : names the training in messages.
    initial : folder with `latest_net_G_A.pth` and the other three, to start from.
    metric : of G_A on validation slides; the epoch of the least `METRIC` is kept. Without it the
        last epoch is.
    on_epoch : see `training.OnEpoch`.

    Returns
    -------
    CycleGan, Trained
        With the best epoch's weights, in evaluation mode; and the history.

    Raises
    ------
    ConfigurationError
        If the generator cannot take the images' size.
    ModelUnavailableError
        If `initial` cannot be loaded.
    TumorRatioError
        If a domain is empty, an image is smaller than the crop, or see `training.train`: a
        generator that collapses before any epoch was good is an error, later it ends the training.
    """
    compute = resolve_compute(options.compute)
    gan = CycleGan(options.networks, seed=options.seed)
    multiple_px = gan.G_A.multiple_px
    if options.images.crops and options.images.crop_size % multiple_px:
        raise ConfigurationError(
            f"{options.networks.netG} takes sides that are multiples of {multiple_px} px, "
            f"and crop_size is {options.images.crop_size}",
            "change `crop_size` or `netG`",
        )
    if initial is not None:
        load_networks(gan, initial)
    images = UnpairedImages(domain_a, domain_b, options, multiple_px=multiple_px)
    trainable = CycleGanTraining(gan, images, options, compute, metric)
    n_batches = images.n_batches()
    trained = train(
        trainable,
        _loop_options(options),
        compute,
        folder,
        title=title,
        on_epoch=on_epoch,
        schedule=lambda step: learning_rate_share(options, step // n_batches + 1),
        ending=lambda record: collapse(record, options.collapse_threshold),
    )
    if options.average > 0:
        gan.take_average()
    return gan, trained


def _loop_options(options: CycleGanOptions) -> TrainingOptions:
    """The loop's view; AdamW without decay is the reference's Adam."""
    return TrainingOptions(
        epochs=options.epochs,
        batch_size=options.batch_size,
        seed=options.seed,
        optimizer=OptimizerOptions("adamw", learning_rate=options.lr, beta1=options.beta1),
        compute=options.compute,
    )
