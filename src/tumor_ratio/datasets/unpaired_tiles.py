"""Tiles of two domains in the folders that CycleGAN's reference reads, exported all or none."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence, Sized
from pathlib import Path
from typing import Any, Protocol, get_args, runtime_checkable

from kedro.io import AbstractDataset

from tumor_ratio.atomic import remove_unfinished
from tumor_ratio.datasets.errors import NotMadeYetError
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.unpaired_folders import (
    FOLDERS,
    Domain,
    ImageFolder,
    Split,
    export_unpaired,
    open_unpaired,
)
from tumor_ratio.progress import progress
from tumor_ratio.reporting.stamps import RESEARCH_USE

logger = logging.getLogger(__name__)

Tile = tuple[Domain, Split, str, RgbImage]
Opened = dict[Split, tuple[ImageFolder, ImageFolder]]


@runtime_checkable
class Stamped(Protocol):
    """Tiles that know what they are of."""

    @property
    def stamps(self) -> Sequence[str]:
        """Sentences that every exported file carries."""


class UnpairedTilesDataset(AbstractDataset[Iterable[Tile], Opened]):
    """The folders trainA, trainB, testA and testB of stamped PNG files.

    Saving takes tiles one at a time, writes them beside `path` and renames the folder when the last
    one is written: whatever stops it leaves an earlier export as it was. Loading opens both domains
    of both splits.

    Parameters
    ----------
    path : the folder of the four folders; it holds nothing else.
    pipeline : the pipeline that exports, for the message where there is no export.
    metadata : for kedro-viz and other tools.
    """

    def __init__(
        self,
        path: str,
        pipeline: str = "gan_export",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._path = Path(path)
        self._pipeline = pipeline
        self.metadata = metadata

    def save(self, data: Iterable[Tile]) -> None:
        """Write the tiles in place of an earlier export.

        Parameters
        ----------
        data : domain, split, name without suffix, (H, W, 3) uint8. Where it has a length, that many
            tiles at most, progress is shown. Its `stamps`, if it has any, go into every file, else
            `RESEARCH_USE`.

        Raises
        ------
        TumorRatioError
            If the folder holds anything but an export; whatever `data` raises.
        DiskFullError
            If there is no room; the earlier export stays.
        """
        remove_unfinished(self._path.parent)
        stamps = data.stamps if isinstance(data, Stamped) else (RESEARCH_USE,)
        counts = export_unpaired(_with_progress(data, self._path.name), self._path, stamps)
        told = ", ".join(f"{number} in {name}" for name, number in counts.items())
        logger.info("%s: %s tiles", self._path, told)

    def load(self) -> Opened:
        """Domains A and B by split; images are read when they are asked for.

        Raises
        ------
        NotMadeYetError
            If there is no export; the message names the pipeline to run.
        TumorRatioError
            If one of the folders holds no image.
        """
        if not self._exists():
            raise NotMadeYetError(self._path, "the export of unpaired tiles", self._pipeline)
        return {split: open_unpaired(self._path, split) for split in get_args(Split)}

    def _exists(self) -> bool:
        return all((self._path / name).is_dir() for name in FOLDERS)

    def _describe(self) -> dict[str, Any]:
        return {"path": self._path.as_posix()}


def _with_progress(tiles: Iterable[Tile], title: str) -> Iterator[Tile]:
    if not isinstance(tiles, Sized):
        yield from tiles
        return
    with progress(title, len(tiles)) as done:
        for tile in tiles:
            yield tile
            done()
