"""The model that serves a prediction: trained here, in a folder, or kept by MLflow."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import JSONPreview

from tumor_ratio.approaches.registry import spec_of
from tumor_ratio.atomic import folder_written_whole, full_disk_explained
from tumor_ratio.datasets.errors import NotMadeYetError
from tumor_ratio.datasets.fingerprint import file_hash
from tumor_ratio.datasets.trainings import ModelRef, finished_model, read_latest
from tumor_ratio.errors import ModelUnavailableError

ASKED_FOR = "asked_for"
"""Key of a card: what the user named as the model."""

CARD_FILE = "card.json"
KEPT = (CARD_FILE, "calibration.json", "*.safetensors", "nuclei/*.json", "nuclei/*.h5")
"""What is taken out of a downloaded model; the code that lies in it is left there."""
NEEDED = ("patch_px", "mpp", "approach", "training_data", "calibration")
SCHEMES = ("models:/", "runs:/", "mlflow-artifacts:/")

logger = logging.getLogger(__name__)


class NoSuchModelError(ModelUnavailableError, DatasetError):
    """The named model cannot be had, or is none of this project's."""


class PredictionModelDataset(AbstractDataset[ModelRef, ModelRef]):
    """A finished model of any approach, wherever it is. Nothing in it is unpickled or executed.

    Parameters
    ----------
    path : folder of an approach's models; the latest serves where no other is named. An approach
        whose training makes no model for new slides has these beside, in `<path>_slides`.
    model : a model's folder, or where MLflow has it: `models:/<name>@<alias>`,
        `models:/<name>/<version>`, `models:/<id>`, `runs:/<run>/<place>`.
    downloads : folder for what comes from MLflow; equal content is kept once.
    metadata : for kedro-viz and other tools.
    """

    def __init__(
        self,
        path: str,
        model: str = "",
        downloads: str = "",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._path = Path(path)
        self._model = str(model or "")
        self._downloads = Path(downloads) if downloads else self._path.parent / "downloaded"
        self._found: ModelRef | None = None
        self.metadata = metadata

    def load(self) -> ModelRef:
        """The model.

        Raises
        ------
        NotMadeYetError
            If none is named and none was trained here.
        NoSuchModelError
            If the named one cannot be had, or is not one of this project's models for slides.
        """
        if not self._model:
            latest = self._latest()
            if latest is None:
                makes = spec_of(self._path.name).pipeline
                raise NotMadeYetError(self._path, "the trained model", makes)
            return _usable(latest)
        if self._found is None:  # an alias may move while a run goes on
            self._found = find_model(self._model, self._downloads)
        return self._found

    def save(self, data: ModelRef) -> None:
        """Refuse: this dataset only reads."""
        makes = spec_of(self._path.name).pipeline
        raise DatasetError(f"models are trained by `kedro run --pipelines={makes}`")

    def preview(self) -> JSONPreview:
        """Show the model's card in kedro-viz, where it is on this disk already."""
        model = self._found if self._model else self._latest()
        return JSONPreview(json.dumps(model.card if model else {}, default=str))

    def _latest(self) -> ModelRef | None:
        approach = self._path.name
        path = self._path.with_name(spec_of(approach).slide_models.format(approach=approach))
        return finished_model(path, str(read_latest(path).get("folder", "")))

    def _exists(self) -> bool:
        return bool(self._model) or self._latest() is not None

    def _describe(self) -> dict[str, Any]:
        return {"path": self._path.as_posix(), "model": self._model}


def find_model(model: str, downloads: Path) -> ModelRef:
    """A named model; nothing in it is unpickled or executed.

    Parameters
    ----------
    model, downloads : see `PredictionModelDataset`.

    Raises
    ------
    NoSuchModelError
        If it cannot be had, or is not one of this project's models for slides.
    """
    remote = model.startswith(SCHEMES)
    folder = _downloaded(model, downloads) if remote else Path(model).expanduser().absolute()
    return _model_in(folder, model)


def _downloaded(model: str, downloads: Path) -> Path:
    """Fetch the model from MLflow, unless its content is here already."""
    from mlflow.artifacts import download_artifacts

    with full_disk_explained(downloads):
        downloads.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=downloads, prefix=".") as temporary:
        try:
            with _no_bar():
                whole = Path(download_artifacts(artifact_uri=model, dst_path=temporary))
        except Exception as error:  # of MLflow, of its store, of the network
            raise NoSuchModelError(
                f"MLflow has no model {model}: {str(error).splitlines()[0][:200]}",
                "name one of `mlflow.search_registered_models()`, and set "
                "MLFLOW_TRACKING_URI where it lies on a server",
            ) from error
        cards = sorted(whole.rglob(CARD_FILE), key=lambda path: len(path.parts))
        if not cards:
            raise NoSuchModelError(
                f"{model} holds no {CARD_FILE}: it is no regressor of this project",
                "name a model that this project has logged",
            )
        files = sorted({f for glob in KEPT for f in cards[0].parent.glob(glob) if f.is_file()})
        root = cards[0].parent
        names = [file.relative_to(root).as_posix() for file in files]
        content = "".join(f"{n}{file_hash(f)}" for n, f in zip(names, files, strict=True))
        folder = downloads / hashlib.sha256(content.encode()).hexdigest()[:16]
        if not (folder / CARD_FILE).is_file():
            with folder_written_whole(folder) as new:
                for name, file in zip(names, files, strict=True):
                    (new / name).parent.mkdir(exist_ok=True)
                    shutil.copyfile(file, new / name)
    logger.info("%s is %s", model, folder)
    return folder


@contextmanager
def _no_bar() -> Iterator[None]:
    """Keep MLflow from drawing a bar for a few files."""
    from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR as PROGRESS_BAR

    before = PROGRESS_BAR.get_raw()
    PROGRESS_BAR.set(False)
    try:
        yield
    finally:
        PROGRESS_BAR.unset() if before is None else PROGRESS_BAR.set(before)


def _model_in(folder: Path, asked_for: str) -> ModelRef:
    try:
        card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NoSuchModelError(
            f"there is no finished model in {folder}",
            f"name a folder with a {CARD_FILE}, such as data/06_models/<approach>/<fingerprint>",
        ) from error
    except (OSError, ValueError) as error:
        raise NoSuchModelError(
            f"{folder / CARD_FILE} cannot be read: {error}", "copy the model again"
        ) from error
    if isinstance(card, dict) and "missing" in card:
        return _usable(ModelRef(folder, card))
    missing = [name for name in NEEDED if not isinstance(card, dict) or name not in card]
    if missing:
        raise NoSuchModelError(
            f"{folder / CARD_FILE} says nothing of {', '.join(missing)}: it is no model "
            "for slides of this project",
            "name the folder of a regressor, or one in <approach>_slides",
        )
    fingerprint = card.get("fingerprint") or _content_of(folder)
    return ModelRef(folder, {**card, "fingerprint": fingerprint, ASKED_FOR: asked_for})


def _usable(model: ModelRef) -> ModelRef:
    """The model, unless its card says why it cannot answer new slides."""
    if "missing" in model.card:
        raise NoSuchModelError(
            f"{model.card.get('approach', 'the model')} cannot answer new slides: "
            f"{model.card['missing']}",
            "mend that and train it again, or predict with another approach",
        )
    return model


def _content_of(folder: Path) -> str:
    """What takes the place of a fingerprint that a card lacks."""
    hashes = "".join(file_hash(file) for file in sorted(folder.glob("*.safetensors")))
    return hashlib.sha256(f"{file_hash(folder / CARD_FILE)}{hashes}".encode()).hexdigest()
