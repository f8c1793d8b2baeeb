"""Kedro's datasets of single files, written whole: a killed run or a full disk leaves no half file.

Kedro's own write in place, so that half a report or a table of metrics would pass for a whole one.
"""

from __future__ import annotations

from copy import copy
from pathlib import Path, PurePosixPath
from typing import Any

from kedro_datasets import json, matplotlib, plotly, text

from tumor_ratio.atomic import written_whole


class _WrittenWhole:
    """What stands before a Kedro dataset of one local file, without versions."""

    _filepath: PurePosixPath

    def save(self, data: Any) -> None:
        """Write the file in place of the earlier one.

        Raises
        ------
        DiskFullError
            If there is no room for it; the earlier file stays.
        """
        with written_whole(Path(self._filepath)) as temporary:
            elsewhere = copy(self)
            elsewhere._filepath = PurePosixPath(temporary.as_posix())
            super(_WrittenWhole, elsewhere).save(data)  # type: ignore[misc]


class JSONDataset(_WrittenWhole, json.JSONDataset):
    """Plain values."""


class TextDataset(_WrittenWhole, text.TextDataset):
    """Text."""


class FigureDataset(_WrittenWhole, matplotlib.MatplotlibDataset):
    """A matplotlib figure as an image; several at once are not for this dataset."""


class InteractiveFigureDataset(_WrittenWhole, plotly.JSONDataset):
    """A plotly figure."""
