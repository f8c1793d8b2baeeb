"""A finished regressor as MLflow models, of patches and of slides: content, files, requirements."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata, resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow import pyfunc
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR as PROGRESS_BAR
from mlflow.models import Model
from mlflow.tracking import MlflowClient

from tumor_ratio import __version__
from tumor_ratio.atomic import full_disk_explained
from tumor_ratio.datasets.fingerprint import file_hash
from tumor_ratio.datasets.mlflow_forms import PATCHES, Form
from tumor_ratio.inference.new_slide_calibration import FILE_NAME as CALIBRATION_FILE

# Names of `models.model_folder`, which takes seconds to import.
CARD_FILE, WEIGHTS_FILE = "card.json", "model.safetensors"

CONTENT = "content"
"""Tag of a logged model: what its files hold. Equal content is logged once."""

DESCRIPTION = (
    "approach",
    "training_data",
    "protocol",
    "label_method",
    "fold",
    "repeat",
    "fingerprint",
    "package_version",
)
"""What of a card is a tag of the logged model, for searches."""

SERVED_EXAMPLE = "serving_input_example.json"


def is_regressor(folder: Path, card: Mapping[str, Any]) -> bool:
    """Whether a model folder holds what `model_folder.load_regressor` reads."""
    needed = {"architecture", "patch_px", "normalisation", "calibration"}
    return needed <= card.keys() and (folder / WEIGHTS_FILE).is_file()


def log_regressor(
    client: MlflowClient, run_id: str, folder: Path, card: Mapping[str, Any], form: Form = PATCHES
) -> str:
    """Log a model folder as a model of a run; only link it where equal content is logged already.

    Parameters
    ----------
    client : of the tracking server.
    run_id : the run that gets the model.
    folder : as `model_folder.write_model` left it.
    card : the model's card.
    form : what the logged model takes and gives.

    Returns
    -------
    str
        Id of the logged model; `mlflow.pyfunc.load_model(f"models:/{id}")` loads it.
    """
    run = client.get_run(run_id)
    experiment = run.info.experiment_id
    files = _files(folder)
    content = form.suffix + "".join(file_hash(file) for file in files)
    logged = _same_content(client, experiment, content) or _log(
        client, experiment, run_id, files, card, content, form
    )
    outputs = run.outputs.model_outputs if run.outputs else []
    if logged.model_id not in {output.model_id for output in outputs}:  # MLflow refuses a second
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return str(logged.model_id)


def requirements(form: Form = PATCHES) -> list[str]:
    """Pinned versions of this package and of what computes the ratios."""
    # The part of a version after "+" names a build that package indexes need not have.
    pinned = [f"{name}=={metadata.version(name).partition('+')[0]}" for name in form.pinned]
    return [f"tumor-ratio=={__version__}", *pinned]


def _files(folder: Path) -> list[Path]:
    """Files of a model: its card, its calibration for new slides where it has one, its weights."""
    calibration = [file for file in (folder / CALIBRATION_FILE,) if file.is_file()]
    return [folder / CARD_FILE, *calibration, *sorted(folder.glob("*.safetensors"))]


def _same_content(client: MlflowClient, experiment: str, content: str) -> LoggedModel | None:
    found = client.search_logged_models([experiment], f"tags.{CONTENT} = '{content}'")
    return next((each for each in found if each.status == LoggedModelStatus.READY), None)


def _log(
    client: MlflowClient,
    experiment: str,
    run_id: str,
    files: list[Path],
    card: Mapping[str, Any],
    content: str,
    form: Form,
) -> LoggedModel:
    described = {name: str(card[name]) for name in DESCRIPTION if name in card}
    logged = client.create_logged_model(
        experiment,
        name=f"{card.get('approach', 'regressor')}{form.suffix}",
        source_run_id=run_id,
        tags={**described, CONTENT: content, "stamp": " ".join(card.get("stamps", []))},
        params={name: str(card[name]) for name in ("patch_px", "mpp") if name in card},
        model_type="regressor",
    )
    status = LoggedModelStatus.FAILED
    try:
        with TemporaryDirectory() as temporary:
            place = Path(temporary) / "model"
            with full_disk_explained(place):
                _save(place, files, card, logged, run_id, form)
            client.log_model_artifacts(logged.model_id, str(place))
        status = LoggedModelStatus.READY
    finally:
        logged = client.finalize_logged_model(logged.model_id, status)
    return logged


def _save(
    place: Path,
    files: list[Path],
    card: Mapping[str, Any],
    logged: LoggedModel,
    run_id: str,
    form: Form,
) -> None:
    patch_px = int(card["patch_px"])
    with _quiet(), resources.as_file(resources.files("tumor_ratio.datasets") / form.code) as code:
        pyfunc.save_model(
            place,
            python_model=code,
            artifacts={file.name: file.resolve().as_uri() for file in files},
            mlflow_model=Model(
                artifact_path=logged.artifact_location,
                model_uuid=logged.model_id,
                model_id=logged.model_id,
                run_id=run_id,
            ),
            signature=form.signature(patch_px),
            input_example=form.example(patch_px),
            pip_requirements=requirements(form),
            metadata=_metadata(card),
        )
    served = place / SERVED_EXAMPLE  # MLflow writes one number a line: five times the size
    served.write_text(json.dumps(json.loads(served.read_text()), separators=(",", ":")))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep MLflow from telling of the example that it checks and the files that it copies."""
    logger, bar = logging.getLogger("mlflow.pyfunc"), PROGRESS_BAR.get_raw()
    level = logger.level
    logger.setLevel(logging.WARNING)
    PROGRESS_BAR.set(False)
    try:
        yield
    finally:
        logger.setLevel(level)
        PROGRESS_BAR.unset() if bar is None else PROGRESS_BAR.set(bar)


def _metadata(card: Mapping[str, Any]) -> dict[str, Any]:
    """What the card says of the model, but for what only loading it needs."""
    left_out = {"architecture", "normalisation", "calibration"}
    return {name: value for name, value in card.items() if name not in left_out}
