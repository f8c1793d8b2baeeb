"""Which nuclei model is used: found, named by its content, and opened."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tumor_ratio.errors import ModelUnavailableError
from tumor_ratio.models.segmentation import CARD_FILE, Segmenter

SHIPPED = "shipped"
FLUORESCENCE = "2D_versatile_fluo"
SHIPPED_FOLDER = Path(__file__).parent / "weights" / "nuclei_v3"
MODEL_FILES = ("config.json", "thresholds.json")
WEIGHT_FILES = ("weights_best.h5", "weights_last.h5", "nuclei.weights.h5")


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
