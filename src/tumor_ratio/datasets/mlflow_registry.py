"""The best regressor by validation, registered under one name and found by its alias.

The choice never sees a test score: it is made by the error on validation slides.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tumor_ratio.datasets.mlflow_runs import never_stops_the_work
from tumor_ratio.reporting.stamps import RESEARCH_USE

logger = logging.getLogger(__name__)

NAME = "tumor-ratio"
ALIAS = "best"
SLIDES_NAME = "tumor-ratio-slides"
DESCRIPTION = (
    f"{RESEARCH_USE}\n\nTumor ratios of H&E patches. The alias `{ALIAS}` is the regressor with the "
    "lowest error on validation slides (`val_mae`); it moves where a better one is found on the "
    "same data, or where the data changed."
)
SLIDES_DESCRIPTION = (
    f"{RESEARCH_USE}\n\nTumor ratios of whole H&E slides: the same regressors as `{NAME}`, given "
    f"the slides' files. `{ALIAS}` follows `{NAME}@{ALIAS}`."
)


@dataclass(frozen=True)
class Candidate:
    """A finished regressor that may be the best.

    Parameters
    ----------
    val_mae : error on validation slides; over folds their mean.
    card : the model's card.
    run_id : the child run that it belongs to.
    model_id : of the logged model.
    data : version of the labels and folds that it learned from, see `data_version`.
    slides_model_id : of the logged model that takes slides; empty where there is none.
    """

    val_mae: float
    card: Mapping[str, Any]
    run_id: str
    model_id: str
    data: str
    slides_model_id: str = ""

    @property
    def validated_on(self) -> tuple[str, ...]:
        """What must be equal for two errors to compare."""
        card = self.card
        return (self.data, str(card.get("protocol", "")), str(card.get("label_method", "")))

    def tags(self) -> dict[str, str]:
        """Tags of the model's version in the registry."""
        data, protocol, label_method = self.validated_on
        return {
            "approach": str(self.card.get("approach", "")),
            "val_mae": repr(self.val_mae),
            "training_data": str(self.card.get("training_data", "")),
            "stamp": " ".join(self.card.get("stamps", [RESEARCH_USE])),
            "fingerprint": str(self.card.get("fingerprint", "")),
            "data": data,
            "protocol": protocol,
            "label_method": label_method,
        }


@never_stops_the_work
def register_best(client: MlflowClient, candidates: Sequence[Candidate]) -> ModelVersion | None:
    """Give the alias `best` to the candidate with the lowest validation error, if it earns it.

    Parameters
    ----------
    client : of the tracking server, whose registry is used.
    candidates : regressors of one run.

    Returns
    -------
    ModelVersion or None
        The version that has the alias now. None where there is no candidate, or where candidates
        were validated on different data, so that no error says which is best.
    """
    usable = [each for each in candidates if math.isfinite(each.val_mae)]
    if len({each.validated_on for each in usable}) > 1:
        logger.warning(
            "approaches were validated by different protocols or labels: none is registered as best"
        )
        return None
    if not usable:
        return None
    best = min(usable, key=lambda each: each.val_mae)
    current = _current(client, NAME)
    if current is not None and not _earns_it(best, current):
        return current
    version = _give_alias(client, NAME, DESCRIPTION, best, best.model_id)
    logger.info(
        "models:/%s@%s is %s now (version %s, val_mae %.4f)",
        NAME,
        ALIAS,
        best.card.get("approach"),
        version.version,
        best.val_mae,
    )
    return version


@never_stops_the_work
def register_slides(
    client: MlflowClient, best: ModelVersion, candidates: Sequence[Candidate]
) -> ModelVersion | None:
    """Let the alias of the models that take slides follow the best regressor.

    Parameters
    ----------
    client : as for `register_best`.
    best : what that gave.
    candidates : of the same run.

    Returns
    -------
    ModelVersion or None
        The version that has the alias now; None where it is of another regressor than `best`.
    """
    current = _current(client, SLIDES_NAME)
    for each in candidates:
        if each.slides_model_id and best.source == _source(each.model_id):
            return _give_alias(client, SLIDES_NAME, SLIDES_DESCRIPTION, each, each.slides_model_id)
    same = current is not None and current.tags.items() == best.tags.items()
    return current if same else None


def _give_alias(
    client: MlflowClient, name: str, description: str, best: Candidate, model_id: str
) -> ModelVersion:
    version = _version_of(client, name, best, model_id)
    version = version or _register(client, name, description, best, model_id)
    client.set_registered_model_alias(name, ALIAS, version.version)
    return version


def _earns_it(best: Candidate, current: ModelVersion) -> bool:
    """Whether it is better than the current one, or was validated on other data."""
    tags = best.tags()
    if any(current.tags.get(name) != tags[name] for name in ("data", "protocol", "label_method")):
        return True
    try:
        known = float(current.tags.get("val_mae", "nan"))
    except ValueError:
        known = math.nan
    return not best.val_mae >= known  # also where a user changed the tag to something else


def _current(client: MlflowClient, name: str) -> ModelVersion | None:
    try:
        return client.get_model_version_by_alias(name, ALIAS)
    except MlflowException:
        return None


def _source(model_id: str) -> str:
    """A logged model, as the registry names it."""
    return f"models:/{model_id}"


def _version_of(
    client: MlflowClient, name: str, best: Candidate, model_id: str
) -> ModelVersion | None:
    """Version of this very model on this very data, registered earlier."""
    tags = best.tags()
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.source == _source(model_id) and version.tags.items() >= tags.items():
            return version
    return None


def _register(
    client: MlflowClient, name: str, description: str, best: Candidate, model_id: str
) -> ModelVersion:
    try:
        client.create_registered_model(name, description=description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.create_model_version(
        name,
        source=_source(model_id),
        run_id=best.run_id,
        model_id=model_id,
        tags=best.tags(),
        description=f"{best.card.get('approach')}: {best.tags()['stamp']}",
    )
