"""MLflow's SQLite file, made whole: a migration that was cut off leaves one that never opens."""

from __future__ import annotations

import os
from pathlib import Path

from tumor_ratio.atomic import full_disk_explained, remove_unfinished, temporary_name

SQLITE = "sqlite:///"

ARTIFACTS = "./mlruns"
"""MLflow's own default, for its experiment "Default"; ours say where their artifacts lie."""


def make_store(uri: str) -> None:
    """Make the file of a tracking store, unless it is there or the store is no SQLite file.

    Parameters
    ----------
    uri : MLflow's tracking URI.

    Raises
    ------
    DiskFullError
        If there is no room for it; nothing is left of it then.
    """
    if not uri.startswith(SQLITE):
        return
    from sqlalchemy.engine import make_url

    place = make_url(uri).database
    if not place or place == ":memory:" or Path(place).exists():
        return
    path = Path(place)
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    temporary = temporary_name(path)
    with full_disk_explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_unfinished(path.parent)
        try:
            store = SqlAlchemyStore(f"{SQLITE}{temporary}", ARTIFACTS)
            store.engine.dispose()
            _give_name(temporary, path)
        finally:
            for left in path.parent.glob(f"{temporary.name}*"):  # SQLite's journal as well
                left.unlink(missing_ok=True)


def _give_name(temporary: Path, path: Path) -> None:
    """Name the file, unless another run was faster: its store may hold a run already."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        if not path.exists():
            os.replace(temporary, path)
