"""A regressor that takes slide files, as MLflow loads it: the code that lies in such models.

MLflow copies this file into the model and runs it when the model is loaded ("models from code"):
nothing is pickled. The package itself does the work and must be installed.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext
from pydantic import ValidationError

from tumor_ratio.errors import ConfigurationError
from tumor_ratio.inference.allowed_places import allowed_roots
from tumor_ratio.inference.answer_params import AnswerParams
from tumor_ratio.inference.new_slide_calibration import NewSlideCalibration
from tumor_ratio.inference.slide_answers import answer_slides, questions_of
from tumor_ratio.inference.slide_model import load_slide_model
from tumor_ratio.models.model_folder import CARD_FILE

SERVED = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"
"""Set by MLflow's server, which writes a NaN as NaN: that is no JSON."""


class LoggedSlideRegressor(PythonModel):
    """Ratios of slides; `mlflow.pyfunc.load_model(uri).predict(table of slide_path)`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model folder that lies among the artifacts."""
        folder = Path(context.artifacts[CARD_FILE]).parent
        self._model = load_slide_model(folder)
        self._calibration = NewSlideCalibration.read(folder)
        self._one_at_a_time = threading.Lock()

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Ratios of slides.

        Parameters
        ----------
        context : not used.
        model_input : slide_path (absolute), slide_id and he_mpp (both may be missing), a row a
            slide. Files are read in the folders of `TUMOR_RATIO_ALLOWED_ROOTS` only.
        params : see `AnswerParams`; None stands for the default.

        Returns
        -------
        DataFrame
            What `answer_slides` gives.

        Raises
        ------
        MlflowException
            If the parameters cannot be used, or no slide is named.
        """
        given = {name: value for name, value in (params or {}).items() if value is not None}
        try:
            questions = questions_of(model_input)
            with self._one_at_a_time:  # each takes all cores and its memory
                answer = answer_slides(
                    *(questions, self._model, self._calibration),
                    *(AnswerParams(**given), allowed_roots(os.environ)),
                )
        except (ConfigurationError, ValidationError) as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        if os.environ.get(SERVED, "").lower() == "true":
            answer = answer.astype(object).where(answer.notna(), None)
        return answer


set_model(LoggedSlideRegressor())
