"""Trainings on disk: a folder for each configuration, trained once, resumed when killed, reused."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tumor_ratio import __version__
from tumor_ratio.atomic import full_disk_explained, remove_unfinished, write_json
from tumor_ratio.datasets import tracking
from tumor_ratio.datasets.model_facts import FINGERPRINT, tags_of, totals_of
from tumor_ratio.datasets.tracking import Epoch

logger = logging.getLogger(__name__)

CARD = "card.json"
HISTORY = "history.json"
LATEST = "latest.json"

OnEpoch = Callable[[dict[str, float], int], None]
"""`on_epoch(metrics, epoch)`: what a training says after each epoch."""

TrainTask = partial[Mapping[str, Any]]
"""A partial of a step `train(..., *, folder: Path, on_epoch: OnEpoch)` that returns the card."""


@dataclass(frozen=True)
class ModelRef:
    """A finished model on disk; small and picklable.

    Parameters
    ----------
    folder : weights and whatever else the training left.
    card : what is known of the model: what its training returned, and `fingerprint`,
        `mlflow_run_id` (of the approach's run that trained it, or empty) and `package_version`.
    """

    folder: Path
    card: dict[str, Any] = field(compare=False)

    def __fingerprint__(self) -> str:
        """Say what tasks that take this model depend on."""
        return str(self.card["fingerprint"])


def read_history(folder: Path) -> list[Epoch]:
    """Metrics of the epochs of a training, finished or not, by epoch."""
    content = _read_json(folder / HISTORY)
    return sorted((int(epoch), metrics) for epoch, metrics in content.items())


def metrics_of(model: ModelRef) -> dict[str, float]:
    """Metrics of the finished model for MLflow.

    Those that every epoch has as well are called `best_<name>`: MLflow shows the last epoch's value
    under the plain name, and the model need not be the last epoch's.
    """
    by_epoch = {name for _, metrics in read_history(model.folder) for name in metrics}
    metrics = model.card.get("metrics", {})
    return {f"best_{name}" if name in by_epoch else name: metrics[name] for name in metrics}


def read_latest(path: Path) -> dict[str, Any]:
    """What `latest.json` of an approach's models says; empty where nothing was saved."""
    return _read_json(path / LATEST)


def forget_latest(path: Path) -> None:
    """Let no older model stand in the place of one whose training is killed."""
    (path / LATEST).unlink(missing_ok=True)


def finished_model(path: Path, name: str) -> ModelRef | None:
    """Model in a folder of an approach's models; None where it is not finished."""
    if not name or not (path / name / CARD).is_file():
        return None
    return ModelRef(path / name, _read_json(path / name / CARD))


def train_or_reuse(
    task: TrainTask, path: Path, key: str, *, retrain: bool = False, prefix: str = ""
) -> ModelRef:
    """Train, go on with a training, or reuse a finished one.

    Parameters
    ----------
    task : the training.
    path : folder of the approach's models.
    key : the task's fingerprint.
    retrain : start over.
    prefix : of metrics and tags in MLflow, where one run has several trainings.
    """
    folder = path / key[:16]
    if retrain and folder.exists():
        (folder / CARD).unlink(missing_ok=True)  # first: half a folder is no finished model
        shutil.rmtree(folder)
    card = _read_json(folder / CARD)
    if card.get("fingerprint") != key:
        return ModelRef(folder, _train(task, folder, key, prefix))
    logger.getChild("reused").info("%s: reusing the finished training of %s", path.name, folder)
    tracking.log_history(prefixed(read_history(folder), prefix))
    if card["mlflow_run_id"] not in ("", tracking.current_run_id()):
        tracking.set_tags({f"{prefix}trained_in": card["mlflow_run_id"]})
    return ModelRef(folder, card)


def is_reused(path: Path, key: str, *, retrain: bool = False) -> bool:
    """Whether `train_or_reuse` would take a finished training."""
    card = _read_json(path / key[:16] / CARD)
    return not retrain and card.get("fingerprint") == key


def told_of(reused: Sequence[bool]) -> str:
    """In a few words which of some trainings are finished ones; empty where none is."""
    if len(reused) == 1:
        return "reused" if reused[0] else ""
    again = "reused" if all(reused) else f"{sum(reused)} reused"
    return f"{len(reused)} trainings" + (f", {again}" if any(reused) else "")


def publish_model(
    model: ModelRef, globs: tuple[str, ...], place: str, *, log_model: bool = True
) -> None:
    """Give MLflow the model's stamp and copies of its files.

    With `log_model` a regressor becomes a model of the run, and its weights are not copied beside.
    Without, it is about to become one once its folder is complete, and they are not copied either.
    """
    tracking.set_tags({**tags_of(model.card), FINGERPRINT: model.card["fingerprint"]})
    tracking.log_metrics(totals_of(model.card))
    is_logged = not log_model or tracking.log_model(model.folder, model.card)
    for path in sorted({file for glob in globs for file in model.folder.glob(glob)}):
        if not (is_logged and path.suffix == ".safetensors"):  # the logged model has them
            tracking.log_artifact(path, place)


def prefixed(history: Sequence[Epoch], prefix: str) -> list[Epoch]:
    """Epochs whose metrics' names start with `prefix`."""
    return [
        (epoch, {f"{prefix}{name}": value for name, value in metrics.items()})
        for epoch, metrics in history
    ]


def _train(task: TrainTask, folder: Path, key: str, prefix: str) -> dict[str, Any]:
    with full_disk_explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    remove_unfinished(folder)
    history = dict(read_history(folder))
    if history:
        logger.info("going on with the training in %s after epoch %d", folder, max(history))
    tracking.log_history(prefixed(sorted(history.items()), prefix))
    told = set(history)

    def on_epoch(metrics: dict[str, float], epoch: int) -> None:
        history[epoch] = {name: float(value) for name, value in metrics.items()}
        write_json(folder / HISTORY, {str(number): history[number] for number in sorted(history)})
        if epoch not in told:  # a resumed training may repeat the epoch it was killed in
            tracking.log_history(prefixed([(epoch, metrics)], prefix))
            told.add(epoch)

    card = {
        **task(folder=folder, on_epoch=on_epoch),
        "fingerprint": key,
        "mlflow_run_id": tracking.current_run_id(),
        "package_version": __version__,
    }
    write_json(folder / CARD, card)
    return card


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
