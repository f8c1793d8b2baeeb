"""A training's state between epochs, in a folder that survives being killed at any moment.

`checkpoint.pt` holds everything that the next epoch depends on, `best_<epoch>.safetensors` the
weights of the best epoch so far. Both appear under a temporary name first. The best weights are
written before the checkpoint that names them, and older ones removed after it, so that a checkpoint
always finds the weights it names.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tumor_ratio.atomic import full_disk_explained, remove_unfinished, written_whole
from tumor_ratio.errors import TumorRatioError
from tumor_ratio.models.weights_files import read_weights, write_weights

STATE_FILE = "checkpoint.pt"


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Parameters
    ----------
    history : one record an epoch: `epoch` (from 1), the training losses, the validation metrics,
        `learning_rate` and `seconds`.
    best_epoch : 0 before the first.
    best_score : of `best_epoch`; infinite before the first.
    """

    history: tuple[Mapping[str, float], ...] = ()
    best_epoch: int = 0
    best_score: float = float("inf")

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return len(self.history)


class CheckpointFolder:
    """Reads and writes one training's checkpoints.

    Parameters
    ----------
    folder : made if absent; one training's alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with full_disk_explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        remove_unfinished(folder)

    def save_best(self, epoch: int, weights: Mapping[str, Any]) -> None:
        """Keep the weights of a new best epoch; call it before `save`."""
        write_weights(weights, self._best(epoch))

    def load_best(self, epoch: int) -> dict[str, Any]:
        """Weights of the best epoch."""
        return read_weights(self._best(epoch))

    def save(self, progress: Progress, state: Mapping[str, Any]) -> None:
        """Write the state after an epoch, then remove weights that are no longer the best.

        Parameters
        ----------
        state : tensors and plain values, nested in dicts and lists.

        Raises
        ------
        DiskFullError
            If there is no room; the checkpoint before it then still holds.
        """
        import torch

        content = {
            "state": dict(state),
            "history": [dict(record) for record in progress.history],
            "best_epoch": progress.best_epoch,
            "best_score": progress.best_score,
        }
        path = self.folder / STATE_FILE
        with written_whole(path) as temporary, temporary.open("wb") as stream:
            torch.save(content, stream)  # to a path, it would not say that the disk is full
        for file in self.folder.glob("best_*.safetensors"):
            if file != self._best(progress.best_epoch):
                file.unlink()

    def load(self) -> tuple[Progress, dict[str, Any]] | None:
        """State after the last finished epoch; None where there is none.

        Raises
        ------
        TumorRatioError
            If the checkpoint is damaged.
        """
        import torch

        path = self.folder / STATE_FILE
        if not path.exists():
            return None
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            progress = Progress(
                tuple(content["history"]), int(content["best_epoch"]), float(content["best_score"])
            )
            return progress, content["state"]
        except Exception as error:
            raise TumorRatioError(
                f"the training's checkpoint {path} is damaged ({type(error).__name__})",
                "delete its folder to train from the beginning",
            ) from error

    def remove(self) -> None:
        """Delete the folder, once the model it led to is kept elsewhere."""
        shutil.rmtree(self.folder)

    def _best(self, epoch: int) -> Path:
        return self.folder / f"best_{epoch:04d}.safetensors"


def generator_to_text(generator: np.random.Generator) -> str:
    """State of a numpy generator; its integers are too long for a tensor."""
    return json.dumps(generator.bit_generator.state)


def generator_from_text(text: str) -> np.random.Generator:
    """Generator that continues where `generator_to_text` described it.

    Raises
    ------
    ValueError
        If the text describes another kind of generator than numpy's default.
    """
    generator = np.random.default_rng(0)
    generator.bit_generator.state = json.loads(text)
    return generator
