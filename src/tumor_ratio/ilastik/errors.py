"""What is wrong with an ilastik file: which file, where in it, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tumor_ratio.errors import TumorRatioError


class IlastikError(TumorRatioError):
    """A project, an export or ilastik itself cannot be used.

    Parameters
    ----------
    file : the file or program, for the message.
    place : where in it, usually an HDF5 path; empty for the whole of it.
    message, remedy : as in `TumorRatioError`.
    """

    def __init__(self, file: str, place: str, message: str, remedy: str) -> None:
        super().__init__(message, remedy)
        self.args = (file, place, message, remedy)  # keeps the exception picklable
        self.file = file
        self.place = place

    def __str__(self) -> str:
        where = f"{self.file}: {self.place}" if self.place else self.file
        return f"{where}: {super().__str__()}"


@dataclass(frozen=True)
class Where:
    """A place in a file that can be complained about."""

    path: Path
    place: str = ""

    def inside(self, name: str) -> Where:
        """The place `name` below this one."""
        return Where(self.path, f"{self.place.rstrip('/')}/{name}")

    def error(self, message: str, remedy: str) -> IlastikError:
        """The error to raise about this place."""
        return IlastikError(str(self.path), _printable(self.place), _printable(message), remedy)


def _printable(text: str) -> str:
    """A stranger's words as one line that does nothing to a terminal."""
    line = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "?" for letter in line)
