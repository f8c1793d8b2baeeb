"""ilastik is run as its manual says; a stand-in plays its part, well and badly."""

import os
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from tests.ilastik.project_files import drawn_image, write_minimal
from tumor_ratio.ilastik.errors import IlastikError
from tumor_ratio.ilastik.headless import HeadlessIlastik

PLAYED = """
    import argparse, json, os, h5py, numpy as np
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--headless", action="store_true", required=True)
    parser.add_argument("--readonly", action="store_true", required=True)
    for name in ("project", "export_source", "output_format", "output_filename_format",
                 "output_internal_path", "export_dtype", "output_axis_order", "input_axes"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--raw_data", nargs="+", required=True)
    told = parser.parse_args()
    assert told.project.endswith("p.ilp") and os.path.isabs(told.project)
    assert told.export_source == "Probabilities" and told.output_format == "hdf5"
    assert told.export_dtype == "float32" and told.input_axes == "yxc"
    (tile,) = told.raw_data
    file, _, inner = tile.rpartition("/")
    with h5py.File(file, "r") as stream:
        image = stream[inner][()]
        axes = json.loads(stream[inner].attrs["axistags"])["axes"]
    assert "".join(axis["key"] for axis in axes) == "yxc"
    bright = (image.mean(axis=2) > 100).astype("f4")
    shares = np.stack([1 - bright, bright], axis=2)
    print("done with", image.shape, os.environ.get("LAZYFLOW_THREADS"),
          os.environ.get("PYTHONPATH"))
    with h5py.File(told.output_filename_format, "w") as stream:
        stream[told.output_internal_path] = shares
        stream[told.output_internal_path].attrs["axistags"] = json.dumps({"axes": axes})
"""


def stand_in(folder: Path, code: str) -> Path:
    path = folder / "run_ilastik.sh"
    path.write_text(f"#!{sys.executable}\n{textwrap.dedent(code)}")
    path.chmod(0o755)
    return path


def engine(folder: Path, code: str = PLAYED, **options) -> HeadlessIlastik:
    write_minimal(folder / "p.ilp")
    program = stand_in(folder, code)
    return HeadlessIlastik(program, folder / "p.ilp", ("ground", "nucleus"), **options)


def test_probabilities_of_an_image(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    shares = engine(tmp_path, threads=2, log=tmp_path / "logs" / "ilastik.txt")(drawn_image())
    assert shares.dtype == np.float32
    bright = drawn_image().mean(axis=2) > 100
    np.testing.assert_array_equal(shares, np.stack([~bright, bright], axis=2))
    assert (tmp_path / "logs" / "ilastik.txt").read_text() == "done with (24, 30, 3) 2 None\n"


def test_a_program_on_the_path(tmp_path: Path, monkeypatch) -> None:
    found = engine(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    by_name = HeadlessIlastik(Path(found.executable.name), found.project, found.label_names)
    assert by_name(drawn_image()).shape == (24, 30, 2)


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(work))
    engine(tmp_path)(drawn_image())
    with pytest.raises(IlastikError):
        engine(tmp_path, "raise SystemExit(3)")(drawn_image())
    assert list(work.iterdir()) == []


FAILURES = {
    "status": (
        "print('loading'); print('RuntimeError: no classifier'); raise SystemExit(3)",
        "ended with status 3; it said: loading / RuntimeError: no classifier; see",
    ),
    "silence": ("raise SystemExit(1)", "ended with status 1; it said nothing"),
    "no output": ("print('Completed Batch Processing')", "left no probabilities; it said: Comple"),
    "wrong size": (
        PLAYED.replace("shares = np.stack", "bright = bright[:-1]; shares = np.stack"),
        "gave probabilities of shape (23, 30, 2), not (24, 30, 2)",
    ),
    "wrong labels": (
        PLAYED.replace("[1 - bright, bright]", "[1 - bright, bright, 0 * bright]"),
        "gave probabilities of shape (24, 30, 3), not (24, 30, 2)",
    ),
    "no probabilities": (
        PLAYED.replace("[1 - bright, bright]", "[bright, bright]"),
        "left probabilities that are of no use (values from 0 to 1 that do not add up",
    ),
    "no HDF5": (
        PLAYED.partition("with h5py.File(told")[0]
        + "open(told.output_filename_format, 'w').write('x')",
        "left probabilities that are of no use (not an HDF5 file)",
    ),
}


@pytest.mark.parametrize(("code", "words"), FAILURES.values(), ids=FAILURES)
def test_each_failure_is_one_clear_error(tmp_path: Path, code: str, words: str) -> None:
    with pytest.raises(IlastikError) as caught:
        engine(tmp_path, code)(drawn_image())
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    code = f"""
        import subprocess, time
        child = subprocess.Popen(["sleep", "60"])
        open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
        print("training", flush=True)
        time.sleep(60)
    """
    start = time.monotonic()
    with pytest.raises(IlastikError, match="not done after 2 s; it said: training; allow more"):
        engine(tmp_path, code, timeout_s=2)(drawn_image())
    assert time.monotonic() - start < 20
    child = int((tmp_path / "pid").read_text())
    while is_alive(child) and time.monotonic() - start < 30:
        time.sleep(0.05)
    assert not is_alive(child)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended but was not waited for does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_programs_that_are_none(tmp_path: Path) -> None:
    found = engine(tmp_path)
    found.executable.chmod(0o644)
    with pytest.raises(IlastikError, match=r"run_ilastik\.sh: not executable; name the ilastik"):
        found(drawn_image())
    found.executable.write_text("#!/no/such/python\n")
    found.executable.chmod(0o755)
    with pytest.raises(IlastikError, match=r"run_ilastik\.sh: cannot be started \(No such file"):
        found(drawn_image())
    found.executable.unlink()
    with pytest.raises(IlastikError, match=r"run_ilastik\.sh: no such program"):
        found(drawn_image())


def test_a_project_that_is_not_there(tmp_path: Path) -> None:
    found = engine(tmp_path)
    found.project.unlink()
    with pytest.raises(IlastikError, match=r"p\.ilp: no such file; check the path of the project"):
        found(drawn_image())


def test_a_temporary_folder_with_spaces(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "my files").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "my files"))
    with pytest.raises(IlastikError, match="whose name has spaces; set TMPDIR to another folder"):
        engine(tmp_path)(drawn_image())
