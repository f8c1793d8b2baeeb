"""Training of the small StarDist: augmentation, early stop, thresholds, scores, model folder."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from tumor_ratio.errors import ModelUnavailableError
from tumor_ratio.models.progress import TrainingProgress
from tumor_ratio.models.segmentation import CARD_FILE
from tumor_ratio.models.stardist_model import (
    CONFIG_FILE,
    THRESHOLDS_FILE,
    StarDistSegmenter,
    import_stardist,
)
from tumor_ratio.models.stardist_options import StarDistOptions

RgbTile = NDArray[np.uint8]
LabelTile = NDArray[np.int32]
WEIGHTS_FILE = "weights_best.h5"
PROBABILITIES = (0.3, 0.4, 0.5, 0.6, 0.7)
OVERLAPS = (0.15, 0.3, 0.45)
IOUS = (0.3, 0.5, 0.7)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledTiles:
    """Images with the nuclei in them.

    Parameters
    ----------
    images : (H, W, 3) uint8 each.
    labels : (H, W) int32 each, 0 background.
    """

    images: Sequence[RgbTile]
    labels: Sequence[LabelTile]


def train_segmenter(
    train: LabelledTiles,
    validation: LabelledTiles,
    tests: Mapping[str, LabelledTiles],
    options: StarDistOptions,
    folder: Path,
    description: dict[str, Any],
    initial: Path | None = None,
) -> dict[str, Any]:
    """Train, choose the thresholds, score on tiles never used, and write the model folder.

    Parameters
    ----------
    train : tiles at least 64 px a side, all of one size divisible by 2 ** (unet_depth + 1).
    validation : choose the epoch and the two thresholds.
    tests : only scored, each by itself; images of any size.
    options : see `StarDistOptions`.
    folder : written: `config.json`, `thresholds.json`, `weights_best.h5`, `card.json`.
    description : what the card says of data, licence and limits.
    initial : folder of a model of the same architecture, whose weights training begins with; else
        they are drawn.

    Returns
    -------
    dict
        The card; "initial" is the earlier model's, where there is one.

    Raises
    ------
    ModelUnavailableError
        If the initial model cannot be loaded, or is built otherwise.
    """
    tf, stardist_models = import_stardist()
    shown_on = sys.stdout
    tf.keras.utils.set_random_seed(options.seed)  # StarDist's sampler draws from numpy's global RNG
    side = train.images[0].shape[0]
    config = stardist_models.Config2D(
        axes="YXC",
        n_channel_in=3,
        n_rays=options.n_rays,
        grid=(2, 2),
        unet_n_depth=options.unet_depth,
        unet_n_filter_base=options.filters,
        net_conv_after_unet=options.features,
        train_patch_size=(side, side),
        train_batch_size=options.batch_size,
        train_learning_rate=options.learning_rate,
        train_epochs=options.epochs,
        train_steps_per_epoch=max(1, len(train.images) // options.batch_size),
        train_reduce_lr=None,
        train_tensorboard=False,
        train_foreground_only=0.0,
    )
    started = time.monotonic()
    progress = TrainingProgress("nuclei network", options.epochs, config.train_steps_per_epoch, 0)
    with progress, contextlib.redirect_stdout(io.StringIO()):
        model = stardist_models.StarDist2D(config, basedir=None)
        earlier = _take_weights(model, initial) if initial else None
        model.prepare_for_training()
        model.callbacks.append(
            tf.keras.callbacks.EarlyStopping(
                monitor="val_loss", patience=options.patience, restore_best_weights=True
            )
        )
        model.callbacks.append(
            tf.keras.callbacks.LearningRateScheduler(lambda epoch: _learning_rate(epoch, options))
        )
        model.callbacks.append(_progress_callback(tf, progress, shown_on))
        rng = np.random.default_rng(options.seed)
        history = model.train(
            [_inverted(image) for image in train.images],
            list(train.labels),
            validation_data=([_inverted(i) for i in validation.images], list(validation.labels)),
            augmenter=lambda image, labels: augment(image, labels, rng),
            seed=options.seed,
        )
    losses = [float(loss) for loss in history.history["val_loss"]]
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / CONFIG_FILE, dict(vars(model.config)))
    _write_json(folder / THRESHOLDS_FILE, {"prob": 0.5, "nms": 0.4})
    model.keras_model.save_weights(str(folder / WEIGHTS_FILE))
    thresholds = choose_thresholds(StarDistSegmenter(folder, folder / WEIGHTS_FILE), validation)
    _write_json(folder / THRESHOLDS_FILE, thresholds)
    card: dict[str, Any] = {
        "name": folder.name,
        "mpp": options.mpp,
        "input": "RGB, 8 bits, as (255 - value) / 255; no per-image normalisation",
        "architecture": "StarDist 2D",
        "parameters": int(model.keras_model.count_params()),
        "options": dataclasses.asdict(options),
        "training": {
            "n_train": len(train.images),
            "n_validation": len(validation.images),
            "n_test": {name: len(test.images) for name, test in tests.items()},
            "epochs_run": len(losses),
            "best_validation_loss": min(losses),
        },
        **description,
        **({"initial": earlier} if earlier else {}),
    }
    _write_json(folder / CARD_FILE, card)
    segmenter = StarDistSegmenter(folder, folder / WEIGHTS_FILE)
    card["scores"] = {name: score_segmenter(segmenter, test) for name, test in tests.items()}
    _write_json(folder / CARD_FILE, card)
    logger.info(
        "nuclei model trained in %.0f s: F1 on held-out images %s",
        time.monotonic() - started,
        ", ".join(f"{scores['f1_at_iou_0_5']:.3f} ({n})" for n, scores in card["scores"].items()),
    )
    return card


def _take_weights(model: Any, folder: Path) -> dict[str, Any]:
    """Give a StarDist model an earlier one's weights; the earlier one's card."""
    try:
        model.keras_model.load_weights(str(folder / WEIGHTS_FILE))
        card = json.loads((folder / CARD_FILE).read_text())
    except (OSError, ValueError) as error:
        raise ModelUnavailableError(
            f"training cannot begin with {folder} ({str(error).splitlines()[0]})",
            "give a model folder of the same architecture as nuclei_training.initial, or ''",
        ) from error
    return dict(card)


def choose_thresholds(segmenter: StarDistSegmenter, tiles: LabelledTiles) -> dict[str, float]:
    """Probability and overlap thresholds with the best F1, averaged over IoU 0.3, 0.5 and 0.7.

    Returns
    -------
    dict
        `prob` and `nms`, as in StarDist's `thresholds.json`; of equals the first.
    """
    from stardist.matching import matching_dataset

    predicted = [segmenter.predict(image, "ihc") for image in tiles.images]
    best, best_score = {"prob": PROBABILITIES[0], "nms": OVERLAPS[0]}, -1.0
    for probability in PROBABILITIES:
        for overlap in OVERLAPS:
            found = [
                segmenter.instances(*maps, labels.shape, (probability, overlap)).labels
                for maps, labels in zip(predicted, tiles.labels, strict=True)
            ]
            results = matching_dataset(
                list(tiles.labels), found, thresh=IOUS, by_image=False, show_progress=False
            )
            score = float(np.mean([result.f1 for result in results]))
            if score > best_score:
                best, best_score = {"prob": probability, "nms": overlap}, score
    return best


def score_segmenter(segmenter: StarDistSegmenter, tiles: LabelledTiles) -> dict[str, float]:
    """Agreement with labelled tiles: counts over all tiles at an IoU of 0.5, F1 at 0.7 as well.

    Returns
    -------
    dict
        `precision_at_iou_0_5`, `recall_at_iou_0_5`, `f1_at_iou_0_5`, `panoptic_quality_at_iou_0_5`,
        `mean_matched_iou`, `f1_at_iou_0_7`, `area_ratio` (found over true nuclear area),
        `n_nuclei`.
    """
    from stardist.matching import matching_dataset

    found = [segmenter.segment(image, "ihc").labels for image in tiles.images]
    result, strict = matching_dataset(
        list(tiles.labels), found, thresh=(0.5, 0.7), by_image=False, show_progress=False
    )
    true_area = sum(int((labels > 0).sum()) for labels in tiles.labels)
    found_area = sum(int((labels > 0).sum()) for labels in found)
    return {
        "precision_at_iou_0_5": float(result.precision),
        "recall_at_iou_0_5": float(result.recall),
        "f1_at_iou_0_5": float(result.f1),
        "panoptic_quality_at_iou_0_5": float(result.panoptic_quality),
        "mean_matched_iou": float(result.mean_matched_score),
        "f1_at_iou_0_7": float(strict.f1),
        "area_ratio": found_area / true_area if true_area else float("nan"),
        "n_nuclei": float(result.n_true),
    }


def augment(
    image: NDArray[np.float32], labels: LabelTile, rng: np.random.Generator
) -> tuple[NDArray[np.float32], LabelTile]:
    """One random variant of an inverted tile: orientation, stain, background, focus, noise.

    Parameters
    ----------
    image : (S, S, 3) float32, light taken away, in [0, 1].
    labels : (S, S) int.
    rng : advanced.

    Returns
    -------
    image, labels : of the same shapes; the image stays in [0, 1].
    """
    turns = int(rng.integers(4))
    image, labels = np.rot90(image, turns), np.rot90(labels, turns)
    if rng.random() < 0.5:
        image, labels = image[::-1], labels[::-1]
    density = -np.log(np.clip(1 - image, np.float32(1 / 256), 1))
    # One factor for all stain, one a channel (stain vectors differ between laboratories).
    density *= (rng.uniform(0.7, 1.4) * rng.uniform(0.88, 1.12, size=3)).astype(np.float32)
    density += np.float32(rng.uniform(0, 0.07))
    pixels = 1 - np.exp(-density)
    if rng.random() < 0.25:
        pixels = gaussian_filter(pixels, sigma=(*[float(rng.uniform(0.3, 0.8))] * 2, 0))
    noise = rng.standard_normal(pixels.shape, dtype=np.float32)
    pixels += noise * np.float32(rng.uniform(0, 0.02))
    return np.clip(pixels, 0, 1), np.ascontiguousarray(labels)


def _inverted(image: RgbTile) -> NDArray[np.float32]:
    return np.asarray((255 - image) / 255, dtype=np.float32)


def _learning_rate(epoch: int, options: StarDistOptions) -> float:
    """Half a cosine, from the full rate to a fiftieth."""
    share = 0.5 * (1 + np.cos(np.pi * epoch / options.epochs))
    return float(options.learning_rate * (0.02 + 0.98 * share))


def _progress_callback(tf: Any, progress: TrainingProgress, shown_on: TextIO) -> Any:
    """Keras's steps and epochs as a progress bar and lines; Keras's own lines are not shown."""
    began, losses = [time.monotonic()], [np.inf]

    def epoch_done(epoch: int, logs: dict[str, float]) -> None:
        record = {
            "epoch": epoch + 1,
            "seconds": time.monotonic() - began[-1],
            "train_loss": logs["loss"],
            "val_loss": logs["val_loss"],
        }
        with contextlib.redirect_stdout(shown_on):
            progress.epoch_done(record, best=logs["val_loss"] < min(losses))
        began.append(time.monotonic())
        losses.append(logs["val_loss"])

    return tf.keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: progress.step_done(), on_epoch_end=epoch_done
    )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
