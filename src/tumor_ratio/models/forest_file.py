"""A pixel forest on disk: one `.safetensors` file. Reading it executes nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tumor_ratio.atomic import written_whole
from tumor_ratio.errors import ModelUnavailableError
from tumor_ratio.imaging.feature_selection import FeatureSelection
from tumor_ratio.models.pixel_classifier import PixelClassifier
from tumor_ratio.models.pixel_forest import PixelForest

FORMAT = "tumor-ratio pixel forest 1"
FOREST_FILE = "forest.safetensors"
"""Its name in a model's folder."""
REMEDY = "train it again, or point the setting at a file that this project wrote"

_ARRAYS = {
    "columns": np.int32,
    "thresholds": np.float32,
    "rights": np.int32,
    "roots": np.int32,
    "mixed": np.float64,
}


def write_forest(classifier: PixelClassifier, path: Path, stamps: Sequence[str] = ()) -> None:
    """Write a forest; the file appears whole or not at all.

    Parameters
    ----------
    classifier : what to write.
    path : the file.
    stamps : sentences that travel with it, in its metadata.

    Raises
    ------
    DiskFullError
        If there is no room for it.
    """
    from safetensors.numpy import save

    forest, selection = classifier.forest, classifier.selection
    card = {
        "n_features": forest.n_features,
        "n_classes": forest.n_classes,
        "feature_ids": selection.feature_ids,
        "scales": [float(scale) for scale in selection.scales],
        "matrix": [[bool(chosen) for chosen in row] for row in selection.matrix],
        "n_channels": classifier.n_channels,
        "class_names": classifier.class_names,
    }
    arrays = {name: np.ascontiguousarray(getattr(forest, name)) for name in _ARRAYS}
    content = save(
        {**arrays, "importances": np.ascontiguousarray(classifier.importances)},
        metadata={"format": FORMAT, "card": json.dumps(card), "stamps": "\n".join(stamps)},
    )
    with written_whole(path) as temporary:
        temporary.write_bytes(content)


def read_forest(path: Path) -> PixelClassifier:
    """Read what `write_forest` wrote.

    Raises
    ------
    ModelUnavailableError
        If the file is missing, damaged, or something else than a forest: a pickle, for one, is
        never opened as such.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ModelUnavailableError(f"there is no forest at {path}", REMEDY)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError(f"it is not a {FORMAT}")
            card = json.loads(metadata["card"])
            arrays = {name: file.get_tensor(name) for name in (*_ARRAYS, "importances")}
        wrong = [name for name, dtype in _ARRAYS.items() if arrays[name].dtype != dtype]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} have another type")
        importances = arrays.pop("importances").astype(np.float64)
        return PixelClassifier(
            PixelForest(int(card["n_features"]), int(card["n_classes"]), **arrays),
            FeatureSelection(
                tuple(card["feature_ids"]),
                tuple(card["scales"]),
                tuple(tuple(row) for row in card["matrix"]),
            ),
            int(card["n_channels"]),
            tuple(card["class_names"]),
            importances,
        )
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelUnavailableError(
            f"{path} cannot be read as a forest: {reason}", REMEDY
        ) from error
