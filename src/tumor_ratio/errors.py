"""Errors a user can meet: each says what happened, where, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence


class TumorRatioError(Exception):
    """A failure that the user can act on.

    Parameters
    ----------
    message : what happened, one line.
    remedy : what to do about it, one line; empty where the message says it already.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class SlideError(TumorRatioError):
    """One slide cannot be used; the other slides go on.

    Parameters
    ----------
    slide_id : the slide's name in the cohort.
    message, remedy : as in `TumorRatioError`.
    """

    def __init__(self, slide_id: str, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.args = (slide_id, message, remedy)  # keeps the exception picklable
        self.slide_id = slide_id

    def __str__(self) -> str:
        return f"slide {self.slide_id}: {super().__str__()}"


class ConfigurationError(TumorRatioError):
    """The configuration cannot be used; raised before any node runs."""


class ManifestError(ConfigurationError):
    """Rows of a manifest cannot be used; all of them are named at once.

    Parameters
    ----------
    path : the manifest, for the message.
    problems : one line a problem, each naming its row.
    """

    def __init__(self, path: str, problems: Sequence[str]) -> None:
        listing = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"{path}: {len(problems)} problem(s)\n{listing}")
        self.args = (path, list(problems))
        self.problems = tuple(problems)


class DownloadError(TumorRatioError):
    """A file or a listing cannot be had from its server, or not be kept on this disk."""


class DiskFullError(TumorRatioError):
    """There is no room for a file; what was there before is untouched."""


class ModelUnavailableError(TumorRatioError):
    """A model or its pretrained weights cannot be had; the remedy names the setting."""
