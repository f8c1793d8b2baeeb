"""Whether HDF5 survives a file: it is read in a process of its own first, which may hang or crash.

HDF5 trusts what it reads. A damaged heap or tree of a file keeps it in a loop for ever, or makes
it write where it should not; neither can be caught in the process in which it happens.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import h5py

import tumor_ratio
from tumor_ratio.ilastik.errors import Where
from tumor_ratio.ilastik.hdf5_checks import (
    MAX_OBJECTS,
    SAVE_AGAIN,
    address_of,
    attribute,
    check_whole_file,
    item_of,
    open_hdf5,
)

LIMIT_S = 30.0
"""Of a processor's time, which a busy machine does not use up; a project takes less than one."""
WALL_S = 600.0
"""By the clock, where the system limits no processor's time or the file's drive does not answer."""
WHOLE_BYTES = 2**24
"""Larger datasets are read at their ends only."""
MEMORY_BYTES = 2**32
OUT_OF_TIME = {-number for number in (getattr(signal, "SIGXCPU", None),) if number}
"""How a process ends that used its processor's time up."""


def check_survives(path: Path) -> None:
    """Read a file in another process; about half a second.

    Errors that HDF5 reports, or that it is no such file, are left to whoever reads it next.

    Raises
    ------
    IlastikError
        If the process crashed, or was not done after `LIMIT_S` seconds of a processor or `WALL_S`
        by the clock.
    """
    if not path.is_file() or not h5py.is_hdf5(path):
        return
    roots = [str(Path(tumor_ratio.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, roots))}
    command = [sys.executable, "-P", "-m", __name__, str(path), str(LIMIT_S)]
    try:
        status = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=WALL_S,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        raise Where(path).error(
            f"not read within {WALL_S:g} s: damaged, or the machine or its drive is busy",
            f"try again when it is not; else {SAVE_AGAIN}",
        ) from None
    if status in OUT_OF_TIME:
        raise Where(path).error("damaged so that HDF5 hangs on it", SAVE_AGAIN)
    if status < 0:
        raise Where(path).error("damaged so that HDF5 crashes on it", SAVE_AGAIN)


def read_everything(path: Path) -> None:
    """Touch all that a reader of the file may touch; what HDF5 reports is of no interest here."""
    with suppress(Exception), open_hdf5(path) as file:
        with suppress(Exception):
            check_whole_file(file)
        pending: list[h5py.HLObject] = [file]
        seen: set[int] = set()
        while pending and len(seen) < MAX_OBJECTS:
            item = pending.pop()
            with suppress(Exception):
                address = address_of(item)
                if address in seen:
                    continue
                seen.add(address)
                _read_attributes(item)
                if isinstance(item, h5py.Dataset):
                    _read_values(item)
                    continue
                for name in item:
                    with suppress(Exception):
                        pending.append(item_of(item, name))


def _read_attributes(item: h5py.HLObject) -> None:
    for name in item.attrs:
        with suppress(Exception):
            attribute(item, name)


def _read_values(dataset: h5py.Dataset) -> None:
    if dataset.dtype.hasobject or dataset.size * dataset.dtype.itemsize <= WHOLE_BYTES:
        dataset[()]
        return
    dataset[(0,) * dataset.ndim]
    dataset[tuple(side - 1 for side in dataset.shape)]


def _limit_oneself(seconds: float) -> None:
    """End by oneself, should the process that waits be gone."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        at_most = max(1, int(seconds))
        resource.setrlimit(resource.RLIMIT_CPU, (at_most, at_most + 5))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    _limit_oneself(float(sys.argv[2]))
    read_everything(Path(sys.argv[1]))
