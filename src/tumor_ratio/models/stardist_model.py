"""StarDist at inference: a small U-Net that predicts star-convex polygons.

Schmidt et al. 2018, MICCAI, arXiv 1806.03535. Only `stardist_*` modules import TensorFlow. The
network runs here without StarDist's own tiling: blocks of any size go through one traced function,
then non-maximum suppression (compiled in the stardist package) and polygon drawing.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from threadpoolctl import threadpool_limits

from tumor_ratio.errors import ModelUnavailableError
from tumor_ratio.imaging.channels import darkest_channel
from tumor_ratio.models.native_notices import without_notices
from tumor_ratio.models.segmentation import CARD_FILE, Segmentation, StainKind
from tumor_ratio.models.star_polygons import draw_stars

DEFAULT_MPP = 0.5
"""Of models without a card: where QuPath runs StarDist's pretrained models."""
CONFIG_FILE = "config.json"
THRESHOLDS_FILE = "thresholds.json"
LARGEST_NUCLEUS_UM = 24.0
BLANK_LEVEL = 200
"""A pixel, averaged 4 x 4, is blank when its darkest channel reaches this."""
PEAK_SHARE = 0.9
"""Of the highest probability among a pixel's neighbours: a pixel with less is no centre."""
MIN_NUCLEUS_UM2 = 4.0
"""Smaller objects are debris: a 6 um lymphocyte shows 28 um2, its cap cut at 1 um depth 16."""

logger = logging.getLogger(__name__)


def import_stardist() -> tuple[Any, Any]:
    """TensorFlow and `stardist.models`, imported quietly, with the process' share of threads.

    TensorFlow takes as many threads as `TF_NUM_INTRAOP_THREADS` or else `OMP_NUM_THREADS` says:
    with several worker processes, cores / workers each.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors are shown
    with without_notices(), contextlib.redirect_stderr(io.StringIO()):
        import tensorflow as tf
        from stardist import models as stardist_models
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS") or os.environ.get("OMP_NUM_THREADS")
    if threads and threads.isdigit():
        # Refused once TensorFlow runs: then an earlier caller has set it.
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(int(threads))
            tf.config.threading.set_inter_op_parallelism_threads(1)
    return tf, stardist_models


class StarDistSegmenter:
    """A StarDist model folder as a `tumor_ratio.models.segmentation.Segmenter`.

    Parameters
    ----------
    folder : with `config.json`, `thresholds.json` and, for models trained here, `card.json`.
    weights : the weights file.

    Raises
    ------
    ModelUnavailableError
        If the files do not make a model of one or three input channels.
    """

    def __init__(self, folder: Path, weights: Path) -> None:
        tf, stardist_models = import_stardist()
        try:
            config = json.loads((folder / CONFIG_FILE).read_text())
            thresholds = json.loads((folder / THRESHOLDS_FILE).read_text())
            with contextlib.redirect_stdout(io.StringIO()):
                model = stardist_models.StarDist2D(stardist_models.Config2D(**config), basedir=None)
            model.keras_model.load_weights(str(weights))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelUnavailableError(
                f"nuclei model in {folder} cannot be loaded ({str(error).splitlines()[0]})",
                "give the folder of a StarDist 2D model",
            ) from error
        channels = int(model.config.n_channel_in)
        if channels not in (1, 3):
            raise ModelUnavailableError(
                f"nuclei model in {folder} takes {channels} channels", "1 or 3 are supported"
            )
        card_path = folder / CARD_FILE
        self.card: dict[str, Any] = json.loads(card_path.read_text()) if card_path.is_file() else {}
        self.mpp = float(self.card.get("mpp", DEFAULT_MPP))
        self.channels = channels
        self._model = model
        self._thresholds = (float(thresholds["prob"]), float(thresholds["nms"]))
        self._grid = tuple(int(step) for step in model.config.grid)
        self._divisor = max(int(step) for step in model._axes_div_by("YX"))
        network = model.keras_model
        self._predict = tf.function(
            lambda pixels: network(pixels, training=False),
            input_signature=[tf.TensorSpec([None, None, None, channels], tf.float32)],
        )

    @property
    def stride_px(self) -> int:
        """Blocks whose origins are multiples of this see the same pixel lattice."""
        return self._divisor

    @property
    def margin_px(self) -> int:
        """Half the network's view plus the largest nucleus, rounded up to `stride_px`."""
        depth = int(self._model.config.unet_n_depth)
        grid = max(self._grid)
        convolutions = int(self._model.config.unet_n_conv_per_depth)
        # Two passes (down and up) through each scale, one at the bottom, one after the U-Net.
        view = convolutions * grid + grid
        view += sum(2 * convolutions * grid * 2**level for level in range(depth))
        view += convolutions * grid * 2**depth
        needed = view + LARGEST_NUCLEUS_UM / 2 / self.mpp
        return int(-(-needed // self._divisor) * self._divisor)

    def segment(self, rgb: NDArray[np.uint8], stain: StainKind) -> Segmentation:
        """Nuclei of one image; see `tumor_ratio.models.segmentation.Segmenter.segment`."""
        height, width = rgb.shape[:2]
        if is_blank(rgb):
            return _no_nuclei(height, width, int(self._model.config.n_rays))
        return self.instances(*self.predict(rgb, stain), (height, width), self._thresholds)

    def predict(
        self, rgb: NDArray[np.uint8], stain: StainKind
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What the network says of an image (H, W, 3).

        Returns
        -------
        probability : (h, w) float32 on the network's grid, that a nucleus covers the pixel.
        distance : (h, w, rays) float32, from there to the nucleus' border, in image pixels.
        """
        height, width = rgb.shape[:2]
        pixels = self._input(rgb, stain)
        padded = np.pad(pixels, ((0, -height % self._divisor), (0, -width % self._divisor), (0, 0)))
        probability, distance = (part.numpy()[0] for part in self._predict(padded[None]))
        return probability[..., 0], distance

    def _input(self, rgb: NDArray[np.uint8], stain: StainKind) -> NDArray[np.float32]:
        """What the network sees: light taken away, so that padding by 0 is white glass."""
        inverted = np.asarray((255 - rgb) / np.float32(255), dtype=np.float32)
        if self.channels == 3:
            return inverted
        # The study's inverted blue band for single stains. In a real mixture red tells hematoxylin
        # from eosin, and green sees hematoxylin and DAB about alike.
        band = inverted[..., {"single_stain": 2, "he": 0, "ihc": 1}[stain]]
        low, high = np.percentile(band, (1, 99.8))
        # An almost empty image must not have its noise stretched into nuclei.
        scaled = (band - low) / max(high - low, 0.15)
        return np.asarray(scaled[..., None], dtype=np.float32)

    def instances(
        self,
        probability: NDArray[np.float32],
        distance: NDArray[np.float32],
        shape: tuple[int, int],
        thresholds: tuple[float, float],
    ) -> Segmentation:
        """Nuclei in the network's answer.

        Parameters
        ----------
        probability, distance : from `predict`.
        shape : of the image, (H, W).
        thresholds : least probability; largest share of overlap between two nuclei.
        """
        from stardist.nms import non_maximum_suppression_inds

        threshold, overlap = thresholds
        # Only what is near a peak is a candidate: a nucleus' other pixels would be suppressed,
        # and comparing all their polygons takes longer than the network does.
        peaks = probability >= PEAK_SHARE * maximum_filter(probability, size=3, mode="nearest")
        rows, columns = np.nonzero((probability > threshold) & peaks)
        score = probability[rows, columns]
        order = np.argsort(-score, kind="stable")
        rows, columns, score = rows[order], columns[order], score[order]
        points = np.stack([rows * self._grid[0], columns * self._grid[1]], axis=1).astype(np.int32)
        rays = np.maximum(distance[rows, columns], 1e-3)
        if len(points) == 0:
            return _no_nuclei(*shape, rays.shape[1])
        # Its OpenMP threads spin: beside other work on the same cores they take 20 times as long.
        with threadpool_limits(limits=1, user_api="openmp"):
            kept = non_maximum_suppression_inds(
                rays, points, scores=score, thresh=np.float32(overlap), verbose=0
            )
        kept = np.flatnonzero(kept)
        labels, core = draw_stars(points[kept], rays[kept], shape)
        labels, large = _without_debris(labels, len(kept), MIN_NUCLEUS_UM2 / self.mpp**2)
        kept = kept[large]
        return _described(labels, core & (labels > 0), score[kept], points[kept], rays[kept])


def is_blank(rgb: NDArray[np.uint8]) -> bool:
    """Whether an image shows nothing as dark as the palest nucleus.

    The darkest channel is averaged over 4 x 4 pixels first, so that noise does not count.
    """
    darkest = darkest_channel(rgb)
    height, width = (side - side % 4 for side in darkest.shape)
    if height == 0 or width == 0:
        return bool((darkest >= BLANK_LEVEL).all())
    cells = darkest[:height, :width].reshape(height // 4, 4, width // 4, 4)
    return bool((cells.mean(axis=(1, 3), dtype=np.float32) >= BLANK_LEVEL).all())


def _without_debris(
    labels: NDArray[np.int32], n_objects: int, min_area_px: float
) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """The label image without small objects, renumbered; and the index of each that stays."""
    area = np.bincount(labels.ravel(), minlength=n_objects + 1)[1:]
    large = area >= max(min_area_px, 1)
    renumbered = np.concatenate([[0], np.where(large, np.cumsum(large), 0)]).astype(np.int32)
    return renumbered[labels], np.flatnonzero(large)


def _described(
    labels: NDArray[np.int32],
    core: NDArray[np.bool_],
    score: NDArray[np.float32],
    points: NDArray[np.int32],
    rays: NDArray[np.float32],
) -> Segmentation:
    """Labels with centroids and areas; points are (row, column) of the pixels rays start from."""
    rows, columns = np.nonzero(labels)
    index = labels[rows, columns] - 1
    area = np.bincount(index, minlength=len(score))
    with np.errstate(invalid="ignore", divide="ignore"):
        x_px = np.bincount(index, weights=columns, minlength=len(score)) / area + 0.5
        y_px = np.bincount(index, weights=rows, minlength=len(score)) / area + 0.5
    return Segmentation(
        labels=labels,
        core=core,
        x_px=x_px,
        y_px=y_px,
        area_px=area.astype(np.int64),
        score=score.astype(np.float32),
        center_px=points[:, ::-1].astype(np.float32) + np.float32(0.5),
        radii_px=rays.astype(np.float32),
    )


def _no_nuclei(height: int, width: int, n_rays: int) -> Segmentation:
    return _described(
        np.zeros((height, width), dtype=np.int32),
        np.zeros((height, width), dtype=np.bool_),
        np.zeros(0, np.float32),
        np.zeros((0, 2), np.int32),
        np.zeros((0, n_rays), np.float32),
    )
