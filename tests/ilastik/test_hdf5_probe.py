"""Files that HDF5 itself does not survive cost a process, never ours."""

import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.ilastik.project_files import drawn_image, write_minimal, write_tile
from tumor_ratio.ilastik import hdf5_probe
from tumor_ratio.ilastik.errors import IlastikError
from tumor_ratio.ilastik.project_reading import read_project

pytestmark = pytest.mark.probe


def put_heap_in_circles(path: Path) -> None:
    """Give the free space of a heap of texts the size 0, over which HDF5 never gets."""
    content = bytearray(path.read_bytes())
    start = content.index(b"GCOL")
    at, end = start + 16, start + int.from_bytes(content[start + 8 : start + 16], "little")
    while at < end and content[at : at + 2] != b"\0\0":
        size = int.from_bytes(content[at + 8 : at + 16], "little")
        at += 16 + (size + 7) // 8 * 8
    content[at + 8 : at + 16] = bytes(8)
    path.write_bytes(content)


def test_honest_files_pass(tmp_path: Path) -> None:
    write_tile(tmp_path / "tile.png")
    assert read_project(write_minimal(tmp_path / "p.ilp")).lanes[0].read_image().shape[2] == 3


def test_a_project_that_hangs_hdf5(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(hdf5_probe, "LIMIT_S", 4.0)
    path = write_minimal(tmp_path / "p.ilp")
    put_heap_in_circles(path)
    start = time.monotonic()
    with pytest.raises(IlastikError, match=r"p\.ilp: damaged so that HDF5 hangs on it; open the"):
        read_project(path)
    assert time.monotonic() - start < 15


def test_an_image_that_hangs_hdf5(tmp_path: Path, monkeypatch) -> None:
    with h5py.File(tmp_path / "tile.h5", "w") as file:
        file["data"] = drawn_image()
        file["words"] = np.array(["a", "b"], dtype=object)
    (lane,) = read_project(write_minimal(tmp_path / "p.ilp", file_path="tile.h5/data")).lanes
    monkeypatch.setattr(hdf5_probe, "LIMIT_S", 4.0)
    put_heap_in_circles(tmp_path / "tile.h5")
    with pytest.raises(IlastikError, match=r"tile\.h5: damaged so that HDF5 hangs on it"):
        lane.read_image()


def test_a_project_that_crashes_hdf5(tmp_path: Path, monkeypatch) -> None:
    """HDF5's part is played by a program that ends as it would."""
    crash = tmp_path / "python"
    crash.write_text(f"#!{sys.executable}\nimport os\nos.kill(os.getpid(), 11)\n")
    crash.chmod(0o755)
    monkeypatch.setattr(hdf5_probe.sys, "executable", str(crash))
    with pytest.raises(IlastikError, match=r"p\.ilp: damaged so that HDF5 crashes on it"):
        read_project(write_minimal(tmp_path / "p.ilp"))


@pytest.fixture
def slow_python(tmp_path: Path, monkeypatch) -> None:
    """A program that takes its time, as on a busy machine, and ends well."""
    slow = tmp_path / "python"
    slow.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(2)\n")
    slow.chmod(0o755)
    monkeypatch.setattr(hdf5_probe.sys, "executable", str(slow))


@pytest.mark.usefixtures("slow_python")
def test_waiting_for_a_busy_machine_is_no_damage(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(hdf5_probe, "LIMIT_S", 1.0)
    assert read_project(write_minimal(tmp_path / "p.ilp")).lanes


@pytest.mark.usefixtures("slow_python")
def test_waiting_ends(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(hdf5_probe, "WALL_S", 0.5)
    with pytest.raises(IlastikError, match=r"not read within 0\.5 s: .*busy; try again"):
        read_project(write_minimal(tmp_path / "p.ilp"))


def test_everything_is_read_whatever_the_errors(tmp_path: Path) -> None:
    hdf5_probe.read_everything(tmp_path / "absent.ilp")
    (tmp_path / "text.ilp").write_text("not HDF5")
    hdf5_probe.read_everything(tmp_path / "text.ilp")

    def change(file: h5py.File) -> None:
        file["link"] = h5py.SoftLink("/nowhere")
        file["circle"] = file["/"]
        file.create_dataset("large", (2**25,), "u1", chunks=(2**20,))

    hdf5_probe.read_everything(write_minimal(tmp_path / "p.ilp", change=change))
