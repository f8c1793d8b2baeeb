"""HDF5 files of strangers: nothing outside the file is opened, no claim is believed unseen.

An HDF5 file may point to other files (external links, external raw storage, virtual datasets), to
itself in circles, at filters that HDF5 would load as a library from disk, and may claim any size.
Everything here asks for the claim before HDF5 acts on it. Only single names are looked up: a path
of several would be resolved by HDF5, links and all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tumor_ratio.ilastik.errors import IlastikError, Where

MAX_ARRAY_BYTES = 2**30
"""The largest array that is read at once: a tile of 18,900 px squared in RGB."""
TRUSTED_BYTES = 2**26
"""Up to here, a claim may be any multiple of what is stored."""
MAX_EXPANSION = 200
"""Beyond, no image is compressed better: an empty tile is about 1000, and is of no use."""
MAX_TEXTS = 10_000
MAX_TEXT_BYTES = 2**24
MAX_ATTRIBUTE_BYTES = 2**20
MAX_OBJECTS = 200_000
BUILT_IN_FILTERS = frozenset({1, 2, 3, 4, 5, 6, 32000})
"""Deflate, shuffle, checksum, szip, n-bit, scale-offset, LZF: part of HDF5 and h5py."""

SAVE_AGAIN = "open the project in ilastik and save it again, or get a whole copy of the file"
SELF_CONTAINED = "copy the data into the file itself (h5repack, or export again)"


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open a file for reading, and turn whatever HDF5 says about it into an `IlastikError`.

    Raises
    ------
    IlastikError
        If the file is absent, not HDF5, truncated, or damaged where it is read in the block.
    """
    where = Where(path)
    if path.is_dir():
        raise where.error("a folder, not a file", "give the project (.ilp) or export (.h5) in it")
    if not path.is_file():
        raise where.error("no such file", "check the path")
    if not h5py.is_hdf5(path):
        raise where.error("not an HDF5 file", "give a project (.ilp) or export (.h5) of ilastik")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except IlastikError:
        raise
    except Exception as error:  # damage shows in h5py as nearly any exception
        line = " ".join(str(error).split())[:200] or type(error).__name__
        if "lock file" in line or "already open" in line:
            raise where.error(
                f"another program is writing it ({line})", "close it there, and try again"
            ) from error
        raise where.error(f"damaged or cut short ({line})", SAVE_AGAIN) from error


def where_is(item: h5py.HLObject) -> Where:
    """The place of an open object."""
    return Where(Path(item.file.filename), item.name or "/")


def item_of(group: h5py.Group, name: str) -> Any:
    """A group or dataset in `group`, checked; None where there is none.

    Raises
    ------
    IlastikError
        If it is a link to elsewhere, or a dataset that `check_dataset` refuses.
    """
    where = where_is(group).inside(name)
    if "/" in name or name in {"", ".", ".."}:
        raise where.error("not a name in HDF5", SAVE_AGAIN)
    if not group.id.links.exists(name.encode()):
        return None
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        raise where.error(f"a link to another file ({link.filename})", SELF_CONTAINED)
    if not isinstance(link, h5py.HardLink):
        raise where.error("a link to another place of the file", SELF_CONTAINED)
    item = group[name]
    if isinstance(item, h5py.Dataset):
        check_dataset(item, where)
    elif not isinstance(item, h5py.Group):
        raise where.error("neither a group nor a dataset", SAVE_AGAIN)
    return item


def group_of(group: h5py.Group, name: str) -> h5py.Group | None:
    """A group in `group`, or None; raises `IlastikError` where it is something else."""
    return _of_kind(group, name, h5py.Group, "a group")


def dataset_of(group: h5py.Group, name: str) -> h5py.Dataset | None:
    """A dataset in `group`, or None; raises `IlastikError` where it is something else."""
    return _of_kind(group, name, h5py.Dataset, "a dataset")


def _of_kind(group: h5py.Group, name: str, kind: type, words: str) -> Any:
    item = item_of(group, name)
    if item is not None and not isinstance(item, kind):
        raise where_is(group).inside(name).error(f"not {words}", SAVE_AGAIN)
    return item


def descend(group: h5py.Group, path: str) -> Any:
    """What lies at `path` (names parted by `/`) below `group`, each step checked; or None."""
    item: Any = group
    for name in path.strip("/").split("/"):
        if not isinstance(item, h5py.Group):
            return None
        item = item_of(item, name)
    return item


def check_dataset(dataset: h5py.Dataset, where: Where) -> None:
    """Raise `IlastikError` for a dataset that is stored elsewhere, or claims more than it can hold.

    Nothing of it is read.
    """
    creation = dataset.id.get_create_plist()
    if creation.get_layout() == h5py.h5d.VIRTUAL:
        raise where.error("a virtual dataset, put together from others", SELF_CONTAINED)
    if creation.get_external_count():
        name = creation.get_external(0)[0].decode(errors="replace")
        raise where.error(f"stored in another file ({name})", SELF_CONTAINED)
    filters = {creation.get_filter(k)[0] for k in range(creation.get_nfilters())}
    if filters - BUILT_IN_FILTERS:
        raise where.error(
            f"compressed by filter {min(filters - BUILT_IN_FILTERS)}, which a plugin would decode",
            "store it with gzip or without compression",
        )
    if dataset.dtype.hasobject:
        if dataset.size is not None and dataset.size > MAX_TEXTS:
            raise where.error(f"claims {dataset.size} texts", SAVE_AGAIN)
        return
    _check_claim(dataset, where, dataset.shape or (), "an array")
    if dataset.chunks:
        _check_claim(dataset, where, dataset.chunks, "chunks")


def _check_claim(dataset: h5py.Dataset, where: Where, shape: tuple[int, ...], words: str) -> None:
    claimed = int(np.prod([int(side) for side in shape], dtype=object)) * dataset.dtype.itemsize
    size = " x ".join(str(side) for side in shape)
    if claimed > MAX_ARRAY_BYTES:
        raise where.error(
            f"claims {words} of {size} ({claimed / 2**30:.1f} GiB; at most "
            f"{MAX_ARRAY_BYTES / 2**30:.0f} GiB is read)",
            "use tiles, not whole slides",
        )
    stored = dataset.id.get_storage_size()
    if claimed > max(TRUSTED_BYTES, MAX_EXPANSION * stored):
        raise where.error(
            f"claims {words} of {size} ({claimed / 2**20:.0f} MiB), of which "
            f"{stored / 2**20:.2f} MiB are stored",
            "leave it out: such data is empty or an attack",
        )


def check_whole_file(file: h5py.File) -> None:
    """Check every link and dataset of a file; raises `IlastikError` for the first that is refused.

    A group that contains itself, directly or not, is refused, too, and datasets that claim far more
    together than the file can hold.
    """
    pending: list[tuple[h5py.Group, frozenset[int]]] = [(file, frozenset({address_of(file)}))]
    count = 0
    claimed = 0
    most = max(MAX_ARRAY_BYTES, MAX_EXPANSION * Path(file.filename).stat().st_size)
    while pending:
        group, above = pending.pop()
        for name in group:
            count += 1
            if count > MAX_OBJECTS:
                raise where_is(file).error(f"more than {MAX_OBJECTS} objects", SAVE_AGAIN)
            item = item_of(group, name)
            if not isinstance(item, h5py.Group):
                claimed += (item.size or 0) * item.dtype.itemsize
                if claimed > most:
                    raise where_is(file).error(
                        f"datasets of more than {most / 2**30:.0f} GiB together", SAVE_AGAIN
                    )
                continue
            address = address_of(item)
            if address in above:
                where = where_is(group).inside(name)
                raise where.error("a group that contains itself", SAVE_AGAIN)
            pending.append((item, above | {address}))


def address_of(item: h5py.HLObject) -> int:
    """Where an object lies in its file: the same for all links to it."""
    return int(h5py.h5o.get_info(item.id).addr)


def read_array(dataset: h5py.Dataset, max_bytes: int = MAX_ARRAY_BYTES) -> np.ndarray:
    """All numbers of a checked dataset.

    Raises
    ------
    IlastikError
        If it holds no numbers, or more than `max_bytes` of them.
    """
    where = where_is(dataset)
    if dataset.dtype.kind not in "buif" or dataset.shape is None:
        raise where.error(f"holds {dataset.dtype}, not numbers", SAVE_AGAIN)
    if dataset.size * dataset.dtype.itemsize > max_bytes:
        raise where.error(f"{dataset.size} numbers, far more than belong here", SAVE_AGAIN)
    return np.asarray(dataset[()])


def read_texts(dataset: h5py.Dataset) -> list[str]:
    """All texts of a checked dataset, one or more."""
    where = where_is(dataset)
    string = h5py.check_string_dtype(dataset.dtype)
    if (
        string is None
        or dataset.shape is None
        or dataset.size > MAX_TEXTS
        or dataset.size * dataset.dtype.itemsize > MAX_TEXT_BYTES
    ):
        raise where.error(f"holds {dataset.dtype}, not text", SAVE_AGAIN)
    values = np.atleast_1d(np.asarray(dataset[()], dtype=object)).ravel()
    return [_decoded(value, where) for value in values]


def text_in(group: h5py.Group, name: str) -> str | None:
    """The text of a dataset in `group`, or None where there is none."""
    dataset = dataset_of(group, name)
    if dataset is None:
        return None
    texts = read_texts(dataset)
    if len(texts) != 1:
        raise where_is(dataset).error(f"{len(texts)} texts where one belongs", SAVE_AGAIN)
    return texts[0]


def attribute(item: h5py.HLObject, name: str) -> Any:
    """An attribute's value, text decoded; None where there is none.

    Raises
    ------
    IlastikError
        If it claims more than `MAX_ATTRIBUTE_BYTES`, or holds neither text nor numbers.
    """
    key = name.encode()
    if not h5py.h5a.exists(item.id, key):
        return None
    where = where_is(item).inside(f"@{name}")
    claim = h5py.h5a.open(item.id, key)
    count = int(np.prod([int(side) for side in claim.shape], dtype=object))
    if count * max(claim.dtype.itemsize, 1) > MAX_ATTRIBUTE_BYTES:
        raise where.error(f"claims {count} values", SAVE_AGAIN)
    if claim.dtype.kind not in "buifSO" or (
        claim.dtype.kind == "O" and h5py.check_string_dtype(claim.dtype) is None
    ):
        raise where.error(f"holds {claim.dtype}, neither text nor numbers", SAVE_AGAIN)
    value = item.attrs[name]
    return _decoded(value, where) if isinstance(value, bytes | str | np.bytes_) else value


def _decoded(value: Any, where: Where) -> str:
    if isinstance(value, str):
        return str(value)
    try:
        return bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        raise where.error("text that is not UTF-8", SAVE_AGAIN) from None
