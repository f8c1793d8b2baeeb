"""Model folders of an untrained, tiny network, as a training leaves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tumor_ratio.datasets.trained_model import ModelRef
from tumor_ratio.models.model_folder import write_model
from tumor_ratio.models.normalisation import Normalisation
from tumor_ratio.models.regressor import build_regressor
from tumor_ratio.models.regressor_options import Architecture, BackboneOptions
from tumor_ratio.reporting.stamps import stamps_for

SIDE = 32


def small_regressor(folder: Path, *, seed: int = 0, val_mae: float = 0.1, **card: Any) -> ModelRef:
    """Write a model folder and tell its card; `seed` is of the weights."""
    network = build_regressor(Architecture("test_resnet", SIDE), BackboneOptions(), seed=seed)
    network.start_at(0.3)
    described = {
        "approach": "tiny",
        "mpp": 1.0,
        "label_method": "nucleus",
        "protocol": "holdout",
        "training_data": "phantom",
        "stamps": list(stamps_for("phantom")),
        "metrics": {"val_mae": val_mae},
        "calibration": {"knots": [0.0, 1.0], "values": [0.1, 0.5]},
        "fingerprint": f"{seed}f" * 32,
        "mlflow_run_id": "",
        **card,
    }
    normalisation = Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "training_patches")
    return ModelRef(folder, write_model(folder, network.eval(), normalisation, described))


def patches(n: int) -> np.ndarray:
    """(n, SIDE, SIDE, 3) uint8 of noise, each with its own brightness."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 60, (n, SIDE, SIDE, 3)) + np.arange(n)[:, None, None, None] * 20
    return noise.astype(np.uint8)
