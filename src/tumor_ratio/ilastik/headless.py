"""ilastik itself, run without its windows, as another way to the same probabilities.

Options are those of https://www.ilastik.org/documentation/basics/headless. The program is run
once a tile, in a temporary folder: the project is opened for reading only.

ilastik unpickles parts of a project that it opens: run it on projects of people you trust.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from tumor_ratio.ilastik.axes import tags_of_axes
from tumor_ratio.ilastik.errors import IlastikError, Where
from tumor_ratio.ilastik.exports import read_probabilities

AXES = "yxc"
TRAINED = "see in ilastik whether the project is trained, and on such images"
TAIL_LINES = 5
TAIL_CHARACTERS = 600
OWN_PYTHON = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""ilastik brings a Python of its own, which ours must not meddle with."""


@dataclass(frozen=True)
class HeadlessIlastik:
    """A program and a project; called with an image it answers as `PixelClassifier` does.

    Parameters
    ----------
    executable : `ilastik` or `run_ilastik.sh`; a name is looked for on the PATH.
    project : a project of pixel classification; where it stores no classifier, ilastik trains one
        on its labels each time.
    label_names : its labels, in the order of the probabilities.
    timeout_s : an image must be done in so many seconds; starting ilastik takes about ten.
    threads, ram_mb : what ilastik may use; 0 for all there is.
    log : a file that ilastik's output is added to; None to keep it no longer than needed.
    """

    executable: Path
    project: Path
    label_names: tuple[str, ...]
    timeout_s: float = 600.0
    threads: int = 0
    ram_mb: int = 0
    log: Path | None = None

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Probabilities of each label in each pixel.

        Parameters
        ----------
        image : (H, W, C) numbers, of the channels of the project's images.

        Returns
        -------
        (H, W, K) float32

        Raises
        ------
        IlastikError
            If the program cannot be started, fails, takes too long, or leaves no probabilities of
            the image's size and the project's labels; with the end of what it said.
        """
        if image.ndim != 3:
            raise ValueError(f"expected an (H, W, C) image, got {image.shape}")
        where = Where(self.executable)
        program = self._program(where)
        with tempfile.TemporaryDirectory(prefix="ilastik-") as name:
            folder = Path(name)
            if " " in name:
                raise where.error(
                    f"cannot work in '{name}', whose name has spaces",
                    "set TMPDIR to another folder",
                )
            _write_tile(folder / "tile.h5", image)
            words = self._run(self.arguments(program, folder), folder, where)
            return self._result(folder / "probabilities.h5", image.shape[:2], words, where)

    def arguments(self, program: str, folder: Path) -> list[str]:
        """The command line for `tile.h5` in a folder."""
        return [
            program,
            "--headless",
            "--readonly",
            f"--project={self.project.absolute()}",
            "--export_source=Probabilities",
            "--output_format=hdf5",
            f"--output_filename_format={folder / 'probabilities.h5'}",
            "--output_internal_path=exported_data",
            "--export_dtype=float32",
            f"--output_axis_order={AXES}",
            f"--input_axes={AXES}",
            f"--raw_data={folder / 'tile.h5' / 'data'}",
        ]

    def _program(self, where: Where) -> str:
        program = shutil.which(self.executable)
        if program is None:
            problem = "not executable" if self.executable.exists() else "no such program"
            raise where.error(
                problem, "name the ilastik of an installation, such as run_ilastik.sh on Linux"
            )
        if not self.project.is_file():
            raise Where(self.project).error("no such file", "check the path of the project")
        return program

    def _run(self, arguments: list[str], folder: Path, where: Where) -> str:
        """Run to the end; the end of its output as one line."""
        output = folder / "output.txt"
        try:
            with output.open("wb") as stream:
                process = subprocess.Popen(
                    arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    cwd=folder,
                    env=self._environment(),
                    start_new_session=True,
                )
                try:
                    status = process.wait(self.timeout_s)
                finally:
                    _end(process)
        except OSError as error:
            raise where.error(
                f"cannot be started ({error.strerror})", "try it in a terminal: --headless --help"
            ) from error
        except subprocess.TimeoutExpired:
            raise where.error(
                f"not done after {self.timeout_s:g} s{self._keep(output)}",
                "allow more time (timeout_s), or use smaller tiles",
            ) from None
        words = self._keep(output)
        if status:
            raise where.error(f"ended with status {status}{words}", "see what it said")
        return words

    def _environment(self) -> dict[str, str]:
        environment = {k: v for k, v in os.environ.items() if k not in OWN_PYTHON}
        if self.threads:
            environment["LAZYFLOW_THREADS"] = str(self.threads)
        if self.ram_mb:
            environment["LAZYFLOW_TOTAL_RAM_MB"] = str(self.ram_mb)
        return environment

    def _keep(self, output: Path) -> str:
        """Add what the program said to the log; its last lines, as words for a message."""
        text = output.read_bytes().decode("utf-8", "replace")
        if self.log is not None:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("a", encoding="utf-8") as stream:
                stream.write(text)
        lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
        tail = " / ".join(lines[-TAIL_LINES:])[-TAIL_CHARACTERS:]
        return f"; it said: {tail}" if tail else "; it said nothing"

    def _result(self, path: Path, size_px: tuple[int, ...], words: str, where: Where) -> np.ndarray:
        if not path.is_file():
            raise where.error(f"left no probabilities{words}", TRAINED)
        try:
            shares = read_probabilities(path, probed=False)
        except IlastikError as error:  # its file is gone before the message is read
            raise where.error(
                f"left probabilities that are of no use ({error.message}){words}", TRAINED
            ) from error
        expected = (*size_px, len(self.label_names))
        if shares.shape != expected:
            raise where.error(
                f"gave probabilities of shape {shares.shape}, not {expected}",
                TRAINED,
            )
        return shares


def _write_tile(path: Path, image: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file["data"] = image
        file["data"].attrs["axistags"] = tags_of_axes(AXES)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program that runs still, with whatever it has started."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
