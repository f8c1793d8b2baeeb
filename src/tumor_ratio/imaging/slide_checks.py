"""Judging a slide file before it is used: who reads it, is it whole, is its pixel size known."""

from __future__ import annotations

import errno
import math
import stat
from pathlib import Path

from openslide import OpenSlide

from tumor_ratio.imaging.opening import forget_reader, open_reader
from tumor_ratio.imaging.readers import Reader, UnreadableError, one_line
from tumor_ratio.imaging.tiff_checks import DAMAGED, check_size, judge_tiff

MIN_MPP, MAX_MPP = 0.05, 20.0
MIN_SIDE_PX = 16
PROBE_PX = 32
ANISOTROPY = 0.02
UM_AT_ONE_FOLD = 10.0
"""Scanners have 0.5 um/px with an objective of 20x and 0.25 with one of 40x."""
GIVE_MPP = (
    "set he_mpp or ihc_mpp (whichever the slide is) in the manifest, or for one slide or a folder "
    "to predict prediction.mpp"
)


def choose_reader(path: Path) -> Reader:
    """Open a slide file with the library that serves it best.

    Returns
    -------
    Reader
        OpenSlide's where it opens and decodes the file; tifffile's for OME-TIFF and for the TIFFs
        that OpenSlide refuses or misreads; Pillow's for small images.

    Raises
    ------
    UnreadableError
        If there is no such file, or none of them can read it.
    """
    _check_file(path)
    try:
        with path.open("rb") as file:
            is_tiff = file.read(4) in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}
    except PermissionError as error:
        raise _not_allowed() from error
    if is_tiff:
        return _tiff_reader(path)
    try:
        reader = open_reader(path, "openslide")
        check_size(*reader.levels[0][:2])
        return reader
    except UnreadableError:
        raise
    except Exception as refusal:
        try:
            return open_reader(path, "pillow")
        except UnreadableError:
            raise
        except Exception:
            raise UnreadableError(
                f"not an image that OpenSlide, tifffile or Pillow can open ({one_line(refusal)})",
                "check that it is a whole-slide image and was copied whole",
            ) from refusal


def slide_identity(path: Path) -> str:
    """What is the same for all names of one slide, of a file that `choose_reader` opens.

    Of DICOM the series, since each of its files opens as the whole slide; else the file, links
    followed.

    Raises
    ------
    OSError
        If the file is gone.
    """
    if OpenSlide.detect_format(path) == "dicom":
        with OpenSlide(path) as slide:
            series = slide.properties.get("dicom.SeriesInstanceUID")
        if series:
            return f"dicom series {series}"
    status = path.stat()
    return f"file {status.st_dev} {status.st_ino}"


def probe(reader: Reader, path: Path) -> None:
    """Decode both ends of every level.

    Raises
    ------
    UnreadableError
        If one cannot be decoded: the file is truncated, damaged or uses an unknown compression.
    """
    for index, (width, height, _) in enumerate(reader.levels):
        side = (min(PROBE_PX, width), min(PROBE_PX, height))
        for corner in {(0, 0), (width - side[0], height - side[1])}:
            try:
                reader.read_level(index, *corner, *side)
            except UnreadableError:
                forget_reader(path)
                raise
            except Exception as error:
                forget_reader(path)
                raise UnreadableError(
                    f"level {index} cannot be decoded at {corner} ({one_line(error)}): truncated, "
                    "damaged or an unknown compression",
                    DAMAGED,
                ) from error


def believable_mpp(
    claimed_mpp: tuple[float, float] | None, mpp: float | None, magnification: float | None = None
) -> float:
    """Micrometres per pixel: the given one, else the file's where it can be believed.

    Parameters
    ----------
    claimed_mpp : of the file, in x and y.
    mpp : the given one.
    magnification : of the objective, by which a message suggests what to give.

    Raises
    ------
    UnreadableError
        If neither serves; the remedy names the manifest's columns and prediction's setting.
    """
    if mpp is not None:
        if not MIN_MPP <= mpp <= MAX_MPP:
            raise UnreadableError(f"a pixel size of {mpp:g} um is not believable", GIVE_MPP)
        return float(mpp)
    if claimed_mpp is None or not all(map(math.isfinite, claimed_mpp)):
        raise UnreadableError("no pixel size in the file", _give_mpp(magnification))
    x, y = claimed_mpp
    if not (min(x, y) >= MIN_MPP and max(x, y) <= MAX_MPP):
        raise UnreadableError(
            f"the file claims {x:g} x {y:g} um/px, which is not believable "
            f"({MIN_MPP:g} to {MAX_MPP:g})",
            _give_mpp(magnification),
        )
    if abs(x - y) > ANISOTROPY * max(x, y):
        raise UnreadableError(
            f"the file claims pixels of {x:g} x {y:g} um, which are not square", GIVE_MPP
        )
    return (x + y) / 2


def _give_mpp(magnification: float | None) -> str:
    if not magnification or not 1 <= magnification <= 100:
        return GIVE_MPP
    usual = UM_AT_ONE_FOLD / magnification
    return f"{GIVE_MPP}; its objective of {magnification:g}x usually gives {usual:g} um/px"


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise UnreadableError("no such file", "correct the path") from None
    except PermissionError as error:
        raise _not_allowed() from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnreadableError(
                "a symbolic link that leads back to itself", "link to the slide's own file"
            ) from error
        raise
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableError("a folder, not a file", "correct the path")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError("a device or pipe, not a file", "correct the path")
    if status.st_size == 0:
        raise UnreadableError("the file is empty", DAMAGED)


def _not_allowed() -> UnreadableError:
    return UnreadableError(
        "no permission to read the file", "give your account the right to read it and its folders"
    )


def _tiff_reader(path: Path) -> Reader:
    """Reader of a TIFF.

    OpenSlide reads the formats of scanners, and the generic TIFFs that it understands as tifffile
    does; the others it would open, too, but only their first plane, 16 bits cut to 8, or pixels in
    the wrong order.
    """
    facts = judge_tiff(path)
    is_generic = OpenSlide.detect_format(path) in {None, "generic-tiff"}
    if not is_generic and not facts.is_ome:
        return _first_that_decodes(path, ("openslide", "tifffile"))
    own = _opened_tiff(path)
    if facts.is_plain and not facts.is_ome:
        try:
            other = open_reader(path, "openslide")
            if [level[:2] for level in other.levels] == [level[:2] for level in own.levels]:
                return _first_that_decodes(path, ("openslide", "tifffile"))
        except Exception:  # most are in strips, which OpenSlide does not read
            forget_reader(path)
    return _first_that_decodes(path, ("tifffile",))


def _opened_tiff(path: Path) -> Reader:
    try:
        return open_reader(path, "tifffile")
    except (UnreadableError, OSError):
        raise
    except Exception as error:
        raise UnreadableError(f"not a readable TIFF ({one_line(error)})", DAMAGED) from error


def _first_that_decodes(path: Path, names: tuple[str, ...]) -> Reader:
    reasons: dict[str, UnreadableError] = {}
    for name in names:
        try:
            reader = open_reader(path, name)
            probe(reader, path)
            return reader
        except UnreadableError as error:
            reasons[name] = error
        except Exception as error:
            reasons[name] = UnreadableError(f"not a readable TIFF ({one_line(error)})", DAMAGED)
    raise reasons["tifffile"]  # OpenSlide says only that it does not support the file
