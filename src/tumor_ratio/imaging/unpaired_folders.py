"""Tiles in the folders that CycleGAN's reference reads: trainA, trainB, testA, testB.

Tiles on disk are an export for other tools, or come from them; nothing here is a stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from tumor_ratio.atomic import folder_written_whole, write_json
from tumor_ratio.errors import TumorRatioError
from tumor_ratio.imaging.readers import RgbImage, on_white

Domain = Literal["A", "B"]
Split = Literal["train", "test"]

FOLDERS = ("trainA", "trainB", "testA", "testB")
ABOUT = "about.json"
"""Beside the folders: the stamps, and the number of tiles by folder."""
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".tif", ".tiff", ".webp"})
EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})


def export_unpaired(
    tiles: Iterable[tuple[Domain, Split, str, RgbImage]],
    folder: Path,
    stamps: Sequence[str] = (),
) -> dict[str, int]:
    """Write tiles as PNG files into the four folders, and `ABOUT` beside them; all, or none.

    Parameters
    ----------
    tiles : domain, split, name without suffix, (H, W, 3) uint8; taken one at a time.
    folder : its final place. An earlier export there is replaced; other content is refused.
    stamps : sentences that travel with every file as its text "Description", and in `ABOUT`; pixels
        are left as they are, since networks learn from them.

    Returns
    -------
    dict
        Number of tiles by folder name.

    Raises
    ------
    TumorRatioError
        If `folder` holds anything but such an export.
    ValueError
        If a name is used twice in a folder or is no plain file name, a domain or split is unknown,
        or a tile is not 8-bit RGB.
    DiskFullError
        If there is no room; an earlier export is then untouched.
    """
    _check_replaceable(folder)
    counts = dict.fromkeys(FOLDERS, 0)
    text = PngInfo()
    if stamps:
        text.add_text("Description", " ".join(stamps))
    with folder_written_whole(folder) as temporary:
        for name in FOLDERS:
            (temporary / name).mkdir()
        for domain, split, name, rgb in tiles:
            _check_tile(domain, split, name, rgb)
            path = temporary / f"{split}{domain}" / f"{name}.png"
            if path.exists():
                raise ValueError(f"two tiles of {path.parent.name} are named '{name}'")
            Image.fromarray(rgb).save(path, compress_level=1, pnginfo=text)
            counts[path.parent.name] += 1
        write_json(temporary / ABOUT, {"stamps": list(stamps), "tiles": counts})
    return counts


@dataclass(frozen=True)
class ImageFolder:
    """Images of a folder and those below it, in the order of their names.

    They may differ in size: they are read together only where they do not.

    Parameters
    ----------
    folder : for messages.
    paths : at least one.
    """

    folder: Path
    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, indices: Sequence[int] | NDArray[np.intp]) -> NDArray[np.uint8]:
        """(B, H, W, 3) uint8 pixels of some images, in the order asked for.

        Gray images become RGB; transparent ones are laid on white.

        Raises
        ------
        TumorRatioError
            If a file is no 8-bit image, or the images asked for differ in size.
        """
        images = [read_image(self.paths[int(index)]) for index in indices]
        if len({image.shape for image in images}) > 1:
            raise TumorRatioError(
                f"images of {self.folder} differ in size and are asked for together",
                "ask for one at a time",
            )
        return np.stack(images)


def open_unpaired(folder: Path, split: Split) -> tuple[ImageFolder, ImageFolder]:
    """Domains A and B of one split.

    Raises
    ------
    TumorRatioError
        If a domain's folder is missing or holds no image.
    """
    return _open_domain(folder / f"{split}A"), _open_domain(folder / f"{split}B")


def read_image(path: Path) -> RgbImage:
    """An 8-bit image file as (H, W, 3) uint8; gray becomes RGB, transparency is laid on white.

    Raises
    ------
    TumorRatioError
        If it is no readable 8-bit image.
    """
    remedy = "export it again as 8-bit RGB, or remove it"
    try:
        with Image.open(path) as image:
            if image.mode not in EIGHT_BIT_MODES:
                raise TumorRatioError(f"{path} is not an 8-bit image (mode {image.mode})", remedy)
            if image.has_transparency_data:
                return on_white(image.convert("RGBA"))
            return np.array(image.convert("RGB"))
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0]
        raise TumorRatioError(f"{path} cannot be read as an image: {reason}", remedy) from error


def _open_domain(folder: Path) -> ImageFolder:
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
    if not paths:
        what = "holds no image" if folder.is_dir() else "does not exist"
        raise TumorRatioError(
            f"{folder} {what}: unpaired translation needs images of both domains",
            f"put {', '.join(sorted(SUFFIXES))} files there",
        )
    return ImageFolder(folder, tuple(paths))


def _check_replaceable(folder: Path) -> None:
    if folder.exists() and not {path.name for path in folder.iterdir()} <= {*FOLDERS, ABOUT}:
        raise TumorRatioError(
            f"{folder} holds more than an export of unpaired tiles", "name an empty folder"
        )


def _check_tile(domain: str, split: str, name: str, rgb: RgbImage) -> None:
    if f"{split}{domain}" not in FOLDERS:
        raise ValueError(f"there is no folder {split}{domain}, only {', '.join(FOLDERS)}")
    if not name or name.startswith(".") or Path(name).name != name or "\\" in name:
        raise ValueError(f"'{name}' is no plain file name")
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"tile '{name}' is {rgb.shape} {rgb.dtype}, not (H, W, 3) uint8")
