"""What finds nuclei, behind one small interface; nothing here imports TensorFlow.

A segmenter works at its own resolution: the caller reads pixels at `Segmenter.mpp`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.errors import ModelUnavailableError

SHIPPED = "shipped"
FLUORESCENCE = "2D_versatile_fluo"
SHIPPED_FOLDER = Path(__file__).parent / "weights" / "nuclei_v3"
MODEL_FILES = ("config.json", "thresholds.json")
CARD_FILE = "card.json"
"""Where it is there, it says at which pixel size the model works."""
WEIGHT_FILES = ("weights_best.h5", "weights_last.h5", "nuclei.weights.h5")

StainKind = Literal["ihc", "he", "single_stain"]


@dataclass(frozen=True)
class Segmentation:
    """Nuclei of one image, in the order of their labels.

    Parameters
    ----------
    labels : (H, W) int32
        0 is background; nucleus `i` (counted from 0) has the label `i + 1`.
    core : (H, W) bool
        Whether the pixel lies in the inner third of its nucleus, away from the rim.
    x_px, y_px : (N,) float64
        Centroids of the labelled pixels, in image pixels: 0.5 is the middle of the first pixel.
    area_px : (N,) int64
        Number of labelled pixels, at least 1.
    score : (N,) float32
        The network's probability that the nucleus is one, in [0, 1].
    center_px : (N, 2) float32
        x and y of the point that the outline's radii start from.
    radii_px : (N, R) float32
        From there to the outline, at equal angles from 0 on, towards growing y. Where two outlines
        overlap, `labels` give the pixels to one of them.
    """

    labels: NDArray[np.int32]
    core: NDArray[np.bool_]
    x_px: NDArray[np.float64]
    y_px: NDArray[np.float64]
    area_px: NDArray[np.int64]
    score: NDArray[np.float32]
    center_px: NDArray[np.float32]
    radii_px: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.x_px)


class Segmenter(Protocol):
    """Finds nuclei in images of stained tissue."""

    @property
    def mpp(self) -> float:
        """Micrometres a pixel of the images that `segment` takes."""
        ...

    @property
    def margin_px(self) -> int:
        """How much image a nucleus needs around its centroid to come out as in the whole image."""
        ...

    @property
    def stride_px(self) -> int:
        """Blocks whose origins are multiples of this see the same pixel lattice."""
        ...

    def segment(self, rgb: NDArray[np.uint8], stain: StainKind) -> Segmentation:
        """Nuclei of one image.

        Parameters
        ----------
        rgb : (H, W, 3) uint8 at `mpp`; at most about 1024 px a side keeps memory bounded.
        stain : what the image shows; networks of one channel choose the channel by it.
        """
        ...


@dataclass(frozen=True)
class SegmenterRef:
    """A chosen segmenter as a small value that travels to worker processes.

    Parameters
    ----------
    choice : `shipped`, `2D_versatile_fluo`, or the path of a local model folder.
    digest : hash of the model's files, so that other weights give other fingerprints.
    """

    choice: str
    digest: str

    def __fingerprint__(self) -> str:
        """What results depend on: the model's content, not its place."""
        return self.digest


def locate_segmenter(choice: str) -> SegmenterRef:
    """Check that a segmenter can be had, without loading it.

    Raises
    ------
    ModelUnavailableError
        If the folder is missing or incomplete, or the download is impossible.
    """
    digest = hashlib.sha256()
    for file in model_files(choice):
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return SegmenterRef(choice=choice, digest=digest.hexdigest()[:16])


def model_files(choice: str) -> list[Path]:
    """All that a segmenter consists of; errors as of `model_folder`."""
    folder = model_folder(choice)
    card = [CARD_FILE] if (folder / CARD_FILE).is_file() else []
    return [folder / name for name in (*MODEL_FILES, *card, _weights_in(folder).name)]


def model_folder(choice: str) -> Path:
    """The folder with the model's files; fetches `2D_versatile_fluo` where it is not at hand yet.

    Raises
    ------
    ModelUnavailableError
        If the folder is missing or incomplete, or the download is impossible.
    """
    if choice == FLUORESCENCE:
        from tumor_ratio.models.stardist_download import fetch_pretrained

        return fetch_pretrained(FLUORESCENCE)
    folder = SHIPPED_FOLDER if choice == SHIPPED else Path(choice).expanduser()
    if not folder.is_dir():
        raise ModelUnavailableError(
            f"nuclei model '{choice}': no such folder ({folder})",
            f"give '{SHIPPED}', '{FLUORESCENCE}' or the path of a StarDist model folder as "
            "nuclei_model.choice",
        )
    missing = [name for name in MODEL_FILES if not (folder / name).is_file()]
    if missing:
        raise ModelUnavailableError(
            f"nuclei model '{choice}': {folder} lacks {', '.join(missing)}",
            "a StarDist model folder holds config.json, thresholds.json and weights_best.h5",
        )
    _weights_in(folder)
    return folder


def _weights_in(folder: Path) -> Path:
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    raise ModelUnavailableError(
        f"nuclei model: {folder} has no weights ({', '.join(WEIGHT_FILES)})",
        "train one with `kedro run --pipelines=nuclei_training`",
    )


@lru_cache(maxsize=2)
def open_segmenter(reference: SegmenterRef | str) -> Segmenter:
    """Load a segmenter; kept for the life of the process.

    Parameters
    ----------
    reference : from `locate_segmenter`, or the bare choice.

    Raises
    ------
    ModelUnavailableError
        As `locate_segmenter`; also if the files cannot be loaded.
    """
    from tumor_ratio.models.stardist_model import StarDistSegmenter

    choice = reference if isinstance(reference, str) else reference.choice
    folder = model_folder(choice)
    return StarDistSegmenter(folder, _weights_in(folder))
