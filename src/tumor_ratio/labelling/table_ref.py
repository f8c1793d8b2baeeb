"""A table that is loaded where it is needed, not carried there."""

from __future__ import annotations

from typing import Protocol

import pandas as pd


class TableRef(Protocol):
    """A saved table."""

    def load(self) -> pd.DataFrame:
        """The table."""
        ...
