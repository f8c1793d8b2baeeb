"""A regressor as MLflow loads it: the code that lies in every logged model.

MLflow copies this file into the model and runs it when the model is loaded ("models from code"):
nothing is pickled. The package itself does the work and must be installed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from tumor_ratio.metrics.calibration import MonotoneMap
from tumor_ratio.models.model_folder import CARD_FILE, load_regressor, read_card


class LoggedRegressor(PythonModel):
    """Ratios of patches, raw and calibrated; `mlflow.pyfunc.load_model(uri).predict(patches)`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model folder that lies among the artifacts."""
        folder = Path(context.artifacts[CARD_FILE]).parent
        self._predictor = load_regressor(folder)
        self._calibration = MonotoneMap.from_record(read_card(folder)["calibration"])

    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Ratios of patches.

        Parameters
        ----------
        context : not used.
        model_input : (N, patch_px, patch_px, 3) uint8, at the `mpp` of the model's metadata.
        params : none are known.

        Returns
        -------
        DataFrame
            A row a patch: `tumor_ratio` (float32, as the network gives it) and
            `tumor_ratio_calibrated` (float64 in [0, 1]).

        Raises
        ------
        ValueError
            If the patches are not 8-bit RGB of the network's size.
        """
        ratios = self._predictor.predict(np.asarray(model_input))
        return pd.DataFrame(
            {"tumor_ratio": ratios, "tumor_ratio_calibrated": self._calibration.apply(ratios)}
        )


set_model(LoggedRegressor())
