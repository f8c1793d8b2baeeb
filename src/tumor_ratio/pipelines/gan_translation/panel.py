"""The same tiles after every epoch, so that one can watch a training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tumor_ratio.atomic import written_whole
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.models.cyclegan.translation import translate
from tumor_ratio.models.devices import Compute
from tumor_ratio.reporting.stamps import SYNTHETIC_STAIN
from tumor_ratio.reporting.synthetic_mark import marked

SHOWN_PX = 384
GAP_PX = 4


class TranslatedPanel:
    """Pictures of a few tiles: H&E, its translation, the neighbouring Ki-67 section.

    Parameters
    ----------
    pictures : (H, W, 3) uint8 H&E and Ki-67 of each tile.
    compute : what to translate with.
    stamps : sentences that go into the files' description, after the mark.
    """

    def __init__(
        self,
        pictures: Sequence[tuple[RgbImage, RgbImage]],
        compute: Compute,
        stamps: Sequence[str],
    ) -> None:
        self.pictures, self.compute, self.stamps = list(pictures), compute, stamps
        self._latest: RgbImage | None = None

    def translate(self, generator: Any) -> None:
        """Keep the panel as this generator makes it."""
        rows = [
            _row([he, marked(translate(generator, he, self.compute)), ihc])
            for he, ihc in self.pictures
        ]
        gap = np.full((GAP_PX, rows[0].shape[1], 3), 255, dtype=np.uint8)
        self._latest = np.concatenate([part for row in rows for part in (row, gap)][:-1])

    def write(self, path: Path) -> bool:
        """Write what was kept as a PNG, once; whether there was anything."""
        if self._latest is None:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as temporary, temporary.open("wb") as stream:
            text = PngInfo()
            text.add_text("Description", " ".join([f"{SYNTHETIC_STAIN}.", *self.stamps]))
            Image.fromarray(self._latest).save(stream, format="PNG", pnginfo=text)
        self._latest = None
        return True


def middle_of(rgb: RgbImage, side_px: int = SHOWN_PX) -> RgbImage:
    """The middle of a picture, at most `side_px` wide and high, on multiples of 4 px."""
    height, width = (min(side, side_px) // 4 * 4 or side for side in rgb.shape[:2])
    top, left = (rgb.shape[0] - height) // 2, (rgb.shape[1] - width) // 2
    return np.ascontiguousarray(rgb[top : top + height, left : left + width])


def _row(pictures: Sequence[RgbImage]) -> RgbImage:
    gap = np.full((pictures[0].shape[0], GAP_PX, 3), 255, dtype=np.uint8)
    return np.concatenate([part for each in pictures for part in (each, gap)][:-1], axis=1)
