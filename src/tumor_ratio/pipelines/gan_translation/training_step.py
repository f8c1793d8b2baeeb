"""Training a CycleGAN on squares of both stains, as one step."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tumor_ratio.approaches.cyclegan import NAME as APPROACH
from tumor_ratio.cohort.frame_readers import SectionInFrame
from tumor_ratio.cohort.origin import training_origin
from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.datasets import tracking
from tumor_ratio.errors import TumorRatioError
from tumor_ratio.imaging.patches import PatchReader
from tumor_ratio.imaging.regions import iter_regions
from tumor_ratio.labelling.declaration_checks import Section
from tumor_ratio.labelling.segmentation import segment_slide
from tumor_ratio.pipelines.gan_translation.measuring import Measuring
from tumor_ratio.pipelines.gan_translation.params import GanLearningParams
from tumor_ratio.reporting.stamps import SYNTHETIC_STAIN, TrainingData
from tumor_ratio.steps import step

if TYPE_CHECKING:
    from tumor_ratio.models.training import OnEpoch
    from tumor_ratio.pipelines.gan_translation.panel import TranslatedPanel
    from tumor_ratio.pipelines.gan_translation.validation_ratios import HeldOutTile

CARD = "card.json"
CHECKPOINTS = "checkpoints"
PANEL = "panel"
PANEL_TILES = 3
REFERENCE = "ihc_measured"
ELSEWHERE = "unpaired tiles of both stains, trained elsewhere"


@dataclasses.dataclass(frozen=True)
class GivenNetworks:
    """Networks that a training starts from.

    Parameters
    ----------
    folder : with `latest_net_G_A.pth` and the other three.
    data : what they were trained on.
    """

    folder: Path
    data: TrainingData


@step(name="train_cyclegan", version=1, uses=[segment_slide])
def train_cyclegan(
    pairs: tuple[SlidePair, ...],
    squares: pd.DataFrame,
    patches: pd.DataFrame,
    params: GanLearningParams,
    measuring: Measuring,
    initial: GivenNetworks | None,
    *,
    folder: Path,
    on_epoch: OnEpoch | None = None,
    panel: str = PANEL,
) -> dict[str, Any]:
    """Train both generators, or go on with a training that was killed.

    Parameters
    ----------
    pairs : the slides of the squares.
    squares : `schemas.TranslationSquares`: what is trained on, and the validation tiles.
    patches : labelled patches of the validation tiles: `schemas.Regions` and `tumor_ratio`.
    params : what to train, and how.
    measuring : how the translations of the validation tiles are measured.
    initial : networks to start from.
    folder : of this very training. It gets `latest_net_G_A.pth` and so on, and the panel of every
        epoch.
    on_epoch : told of every epoch.
    panel : where the panels are among the run's artifacts.

    Returns
    -------
    dict
        The model card.

    Raises
    ------
    ConfigurationError, ModelUnavailableError
        If the networks cannot be built; before anything is trained.
    SlideError
        If a slide cannot be read.
    TumorRatioError
        If a generator collapses before any epoch was good, or the training diverges.
    """
    # torch takes seconds to import and is of no use to the other steps of this package.
    from tumor_ratio.models.checkpoints import CheckpointFolder
    from tumor_ratio.models.cyclegan.checkpoint_files import write_networks
    from tumor_ratio.models.cyclegan.cyclegan_fit import fit_cyclegan
    from tumor_ratio.models.devices import resolve_compute
    from tumor_ratio.pipelines.gan_translation.panel import TranslatedPanel
    from tumor_ratio.pipelines.gan_translation.validation_ratios import TranslatedRatios, read_tiles

    compute = resolve_compute(params.gan.compute)
    by_split = dict(iter(squares.groupby("split")))
    tiles = read_tiles(pairs, by_split["validation"], patches, params.mpp)
    ratios = TranslatedRatios(tiles, params.mpp, measuring, compute)
    origin = training_origin(pairs, *([initial.data] if initial else []))
    pictures = TranslatedPanel(
        [_pictures(t, params.mpp) for t in tiles[:PANEL_TILES]], compute, origin["stamps"]
    )

    def figures(generator: Any) -> Mapping[str, float]:
        pictures.translate(generator)
        return ratios(generator)

    gan, trained = fit_cyclegan(
        params.gan,
        _domain("he", pairs, by_split["train"], params),
        _domain("ihc", pairs, by_split["train"], params),
        folder / CHECKPOINTS,
        title=APPROACH,
        initial=initial.folder if initial else None,
        metric=figures,
        on_epoch=_with_panel(pictures, folder / PANEL, panel, on_epoch),
    )
    write_networks(gan, folder)
    CheckpointFolder(folder / CHECKPOINTS).remove()
    best = trained.history[trained.best_epoch - 1]
    return {
        "approach": APPROACH,
        "mpp": params.mpp,
        "reference": REFERENCE,
        "protocol": params.protocol,
        "label_method": params.label_method,
        "supervision": _supervision(len(by_split["train"]), params, initial),
        **origin,
        "slides": {name: sorted(rows["slide_id"].unique()) for name, rows in by_split.items()},
        "options": dataclasses.asdict(params.gan),
        "best_epoch": trained.best_epoch,
        "epochs": len(trained.history),
        "ended": trained.ended,
        "seconds": round(sum(record["seconds"] for record in trained.history), 1),
        "metrics": {name: value for name, value in best.items() if name.startswith("val_")},
        "device": compute.device,
        "precision": compute.precision,
        "threads": compute.threads,
    }


@step(name="import_generator", version=1)
def adopt_generator(
    checkpoint: Path,
    data: TrainingData,
    params: GanLearningParams,
    *,
    folder: Path,
    on_epoch: OnEpoch | None = None,
) -> dict[str, Any]:
    """Take over a generator that was trained elsewhere.

    Parameters
    ----------
    checkpoint : a `latest_net_G_A.pth` of this project or of the PyTorch reference.
    data : what it was trained on.
    params : `mpp` is the pixel size of the images that it was trained on.
    folder : gets `latest_net_G_A.pth`.
    on_epoch : not called.

    Returns
    -------
    dict
        The model card.

    Raises
    ------
    ModelUnavailableError
        If it cannot be read, or is no generator.
    """
    from tumor_ratio.models.cyclegan.checkpoint_files import (
        checkpoint_path,
        load_generator,
        write_network,
    )
    from tumor_ratio.models.cyclegan.recognition import describe

    generator = load_generator(checkpoint, setting=f"{APPROACH}.checkpoint")
    write_network(generator, checkpoint_path(folder, "G_A"))
    return {
        "approach": APPROACH,
        "mpp": params.mpp,
        "reference": REFERENCE,
        "protocol": params.protocol,
        "label_method": params.label_method,
        "supervision": ELSEWHERE,
        **training_origin((), data),
        "network": describe(generator.state_dict()),
        "checkpoint": checkpoint.name,
    }


def _supervision(n_squares: int, params: GanLearningParams, initial: GivenNetworks | None) -> str:
    """What the networks were told; tables show what stands before the semicolon."""
    drawn = ", drawn by their ratio" if params.squares.ratio_edges else ""
    told = (
        f"{n_squares} squares of both stains{drawn}, paired by their local DAB"
        if params.gan.paired
        else f"{n_squares} unpaired squares of both stains{drawn}"
    )
    before = f"{_taught(initial)}, then " if initial else ""
    return f"{before}{told}; its epoch was chosen by region ratios of validation slides"


def _taught(initial: GivenNetworks) -> str:
    """What given networks learned from, where a card beside them says it."""
    try:
        card = json.loads((initial.folder / CARD).read_text(encoding="utf-8"))
        return str(card["trained_on"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"given networks ({initial.data})"


def _domain(
    section: Section, pairs: tuple[SlidePair, ...], squares: pd.DataFrame, params: GanLearningParams
) -> PatchReader:
    """One stain's images: both stains are cut at the same places."""
    readers = {pair.slide_id: SectionInFrame(pair, section) for pair in pairs}
    # What would be resized is read in that size at once: large squares take seconds to decode.
    size_px = round(params.squares.size_px * params.squares.mpp / params.mpp)
    regions = [
        dataclasses.replace(each, size_px=size_px, mpp=params.mpp) for each in iter_regions(squares)
    ]
    return PatchReader(readers, regions, params.cache_mb / 2)


def _pictures(tile: HeldOutTile, mpp: float) -> tuple[Any, Any]:
    from tumor_ratio.pipelines.gan_translation.panel import middle_of

    region = tile.tile
    try:
        ihc = tile.pair.read_ihc_at(region.x_px, region.y_px, tile.rgb.shape[0], mpp)
    except TumorRatioError:  # a panel is no reason to train nothing
        ihc = tile.rgb * 0 + 255
    return middle_of(tile.rgb), middle_of(ihc)


def _with_panel(
    panel: TranslatedPanel, folder: Path, published: str, on_epoch: OnEpoch | None
) -> Callable[..., None]:
    """`on_epoch` that also writes the panel, and publishes it."""

    def told(metrics: dict[str, float], epoch: int) -> None:
        path = folder / f"epoch_{epoch:04d} {SYNTHETIC_STAIN}.png"
        if panel.write(path):
            tracking.log_artifact(path, published)
        if on_epoch is not None:
            on_epoch(metrics, epoch)

    return told
