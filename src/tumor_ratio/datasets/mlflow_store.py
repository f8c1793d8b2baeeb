"""MLflow's tracking store before a run: made whole where it is a file, and known to serve.

A migration that was cut off leaves a file that never opens. MLflow itself finds out that a store
does not serve after minutes, and says it in hundreds of lines.
"""

from __future__ import annotations

import os
import re
import sqlite3
import urllib.error
import urllib.request
from contextlib import closing
from http.client import HTTPException
from pathlib import Path

from tumor_ratio.atomic import full_disk_explained, remove_unfinished, temporary_name
from tumor_ratio.errors import ConfigurationError

SQLITE = "sqlite:///"

ANSWER_S = 5.0
"""A server that takes longer to say that it is there is taken as absent."""

WITHOUT = "or run with --params=mlflow.required=false, which keeps this run in a store of its own"

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
    path = _file_of(uri)
    if path is None or path.exists():
        return
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


class StoreError(ConfigurationError):
    """MLflow's tracking store does not serve."""


def check_store(uri: str) -> None:
    """Make sure within seconds that a tracking store serves.

    Parameters
    ----------
    uri : MLflow's tracking URI. Of SQLite files and servers is found out whether they serve; of
        other stores nothing is.

    Raises
    ------
    StoreError
        In one line: which store, what is wrong with it, what to do.
    """
    if re.match(r"https?://", uri):
        _check_server(uri)
    elif (path := _file_of(uri)) is not None:
        _check_file(path, uri)


def _check_server(uri: str) -> None:
    # MLflow asks again and again for minutes otherwise, should the server go away later.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=ANSWER_S):
            pass
    except urllib.error.HTTPError:  # it answers: who may do what is MLflow's to find out
        pass
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise StoreError(
            f"MLflow's tracking server {uri} does not answer ({reason})",
            f"start it, correct server.mlflow_tracking_uri in conf/*/mlflow.yml, {WITHOUT}",
        ) from error


def _check_file(path: Path, uri: str) -> None:
    here = next(place for place in (path, *path.parents) if place.exists())
    if not os.access(here, os.W_OK):
        raise StoreError(
            f"MLflow's store {path} cannot be written: {here} is read-only for this account",
            f"set server.mlflow_tracking_uri in conf/*/mlflow.yml to another place, {WITHOUT}",
        )
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as store:
            tables = {name for (name,) in store.execute("select name from sqlite_master")}
            found = (
                [version for (version,) in store.execute("select version_num from alembic_version")]
                if "alembic_version" in tables
                else []
            )
    except sqlite3.Error as error:
        raise StoreError(
            f"MLflow's store {path} is damaged ({error})",
            "restore it, or move it away: a new one is made, and finished trainings are logged "
            f"into it again, {WITHOUT}",
        ) from error
    newest, known = _revisions()
    if found and found != [newest]:
        older = found[0] in known
        raise StoreError(
            f"MLflow's store {path} was made by {'an older' if older else 'a newer'} version of "
            "MLflow",
            (f"run `mlflow db upgrade {uri}` after a copy" if older else "install that version")
            + f", move the file away, {WITHOUT}",
        )


def _revisions() -> tuple[str, set[str]]:
    """The newest revision of the installed MLflow's tables, and all that it knows."""
    import mlflow

    folder = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    texts = [file.read_text(encoding="utf-8") for file in folder.glob("*.py")]
    of, before = (
        {found[1] for text in texts if (found := re.search(pattern, text, re.MULTILINE))}
        for pattern in (r"^revision = \"(\w+)\"", r"^down_revision = \"(\w+)\"")
    )
    return next(iter(of - before), ""), of


def _file_of(uri: str) -> Path | None:
    """The file of an SQLite store; None for other stores, and one in memory."""
    if not uri.startswith(SQLITE):
        return None
    from sqlalchemy.engine import make_url

    place = make_url(uri).database
    return None if not place or place == ":memory:" else Path(place)


def _give_name(temporary: Path, path: Path) -> None:
    """Name the file, unless another run was faster: its store may hold a run already."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        if not path.exists():
            os.replace(temporary, path)
