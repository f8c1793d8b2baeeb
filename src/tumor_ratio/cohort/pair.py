"""Slide pairs: an H&E section and its neighbouring IHC section as one object, and their cohort."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.regions import Region
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.imaging.transform import Transform
from tumor_ratio.imaging.warping import read_mapped

DataKind = Literal["phantom", "real"]
MetaValue = str | float | None

META_FIELDS = (
    "animal_id",
    "group",
    "organ",
    "species",
    "stain",
    "block",
    "section_index",
    "section_spacing_um",
    "thickness_um",
    "marker",
    "marker_meaning",
)
"""What a cohort may know of a pair beside its images; numbers for the three in the middle."""


@dataclass(frozen=True)
class SlidePair:
    """One case's H&E slide and the IHC slide of the next section; one of them may be missing.

    Parameters
    ----------
    slide_id, case_id : names of the pair and of the case (patient, animal) it comes from.
    he, ihc : the slides; at least one.
    transform : from the H&E slide to the IHC slide, micrometres.
    data_kind : "phantom" for synthetic images, "real" otherwise.
    meta : what is known beside the images, see `META_FIELDS`; None where unknown.
    truth_dir : folder of a phantom's true nuclei; only evaluation reads it.
    """

    slide_id: str
    case_id: str
    he: Slide | None
    ihc: Slide | None
    transform: Transform = field(default_factory=Transform.identity)
    data_kind: DataKind = "real"
    meta: dict[str, MetaValue] = field(default_factory=dict)
    truth_dir: Path | None = None

    def __post_init__(self) -> None:
        if self.he is None and self.ihc is None:
            raise SlideError(self.slide_id, "neither an H&E nor an IHC slide", "name one of them")

    @property
    def frame(self) -> Slide:
        """The slide whose level-0 pixels are the pair's coordinates: H&E, or IHC without H&E."""
        slide = self.he if self.he is not None else self.ihc
        assert slide is not None
        return slide

    def read_he(self, region: Region) -> RgbImage:
        """Read a region of the H&E slide.

        Returns
        -------
        (size_px, size_px, 3) uint8

        Raises
        ------
        SlideError
            If there is no H&E slide or it cannot be read.
        """
        return self.read_he_at(region.x_px, region.y_px, region.size_px, region.mpp)

    def read_he_at(
        self, x_px: float, y_px: float, size_px: int | tuple[int, int], mpp: float
    ) -> RgbImage:
        """Read a rectangle of the H&E slide; see `Slide.read`.

        Raises
        ------
        SlideError
            If there is no H&E slide or it cannot be read.
        """
        if self.he is None:
            raise SlideError(self.slide_id, "has no H&E slide", "give he_path in the manifest")
        return self.he.read(x_px, y_px, size_px, mpp)

    def read_ihc(self, region: Region) -> RgbImage:
        """Read the tissue of a region on the IHC slide, resampled into the pair's frame.

        Returns
        -------
        (size_px, size_px, 3) uint8
            White where the region maps outside the IHC slide.

        Raises
        ------
        SlideError
            If there is no IHC slide or it cannot be read.
        """
        return self.read_ihc_at(region.x_px, region.y_px, region.size_px, region.mpp)

    def read_ihc_at(
        self, x_px: float, y_px: float, size_px: int | tuple[int, int], mpp: float
    ) -> RgbImage:
        """Read the tissue of a rectangle of the frame on the IHC slide; see `read_ihc`.

        Parameters
        ----------
        x_px, y_px : top-left corner in the frame's level-0 pixels.
        size_px : pixels of the result: a side, or (width, height).
        mpp : micrometres per pixel of the result.

        Returns
        -------
        (H, W, 3) uint8

        Raises
        ------
        SlideError
            If there is no IHC slide or it cannot be read.
        """
        if self.ihc is None:
            raise SlideError(self.slide_id, "has no IHC slide", "give ihc_path in the manifest")
        if self.he is None:
            return self.ihc.read(x_px, y_px, size_px, mpp)
        corner_um = (x_px * self.he.mpp, y_px * self.he.mpp)
        return read_mapped(self.ihc, self.transform, corner_um, size_px, mpp)

    def ihc_to_frame_px(self, xy_ihc_px: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Map points (N, 2) from level-0 pixels of the IHC slide to those of the frame.

        Raises
        ------
        SlideError
            If there is no IHC slide.
        """
        if self.ihc is None:
            raise SlideError(self.slide_id, "has no IHC slide", "give ihc_path in the manifest")
        points = np.asarray(xy_ihc_px, dtype=np.float64).reshape(-1, 2)
        if self.he is None:
            return points.copy()
        return self.transform.inverse(points * self.ihc.mpp) / self.he.mpp

    def to_record(self) -> dict[str, Any]:
        """Describe the pair in plain values, for JSON."""
        return {
            "slide_id": self.slide_id,
            "case_id": self.case_id,
            "he": None if self.he is None else self.he.to_record(),
            "ihc": None if self.ihc is None else self.ihc.to_record(),
            "transform": self.transform.to_record(),
            "data_kind": self.data_kind,
            "meta": dict(self.meta),
            "truth_dir": None if self.truth_dir is None else str(self.truth_dir),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> SlidePair:
        """Rebuild what `to_record` described; further keys are ignored, no file is touched."""
        truth_dir = record.get("truth_dir")
        return cls(
            slide_id=str(record["slide_id"]),
            case_id=str(record["case_id"]),
            he=None if record["he"] is None else Slide.from_record(record["he"]),
            ihc=None if record["ihc"] is None else Slide.from_record(record["ihc"]),
            transform=Transform.from_record(record["transform"]),
            data_kind=record["data_kind"],
            meta=dict(record["meta"]),
            truth_dir=None if truth_dir is None else Path(truth_dir),
        )


@dataclass(frozen=True)
class Cohort:
    """The slide pairs of a run, in the order of their plan.

    Parameters
    ----------
    pairs : each with its own `slide_id`.
    source : where they came from, "phantom", "manifest" or "zenodo".
    """

    pairs: tuple[SlidePair, ...]
    source: str

    def __post_init__(self) -> None:
        names = [pair.slide_id for pair in self.pairs]
        if len(set(names)) != len(names):
            raise ValueError("a cohort names each slide once")

    def __iter__(self) -> Iterator[SlidePair]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, slide_id: str) -> SlidePair:
        """Return the pair of that name; KeyError where there is none."""
        for pair in self.pairs:
            if pair.slide_id == slide_id:
                return pair
        raise KeyError(slide_id)

    def to_record(self) -> dict[str, Any]:
        """Describe the cohort in plain values, for JSON."""
        return {"source": self.source, "pairs": [pair.to_record() for pair in self.pairs]}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Cohort:
        """Rebuild what `to_record` described; no file is touched."""
        return cls(
            tuple(SlidePair.from_record(pair) for pair in record["pairs"]), str(record["source"])
        )
