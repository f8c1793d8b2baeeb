"""Which trained models of a run may be registered as the best one."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence

from tumor_ratio.datasets.mlflow_registry import Candidate, register_best, register_slides
from tumor_ratio.datasets.mlflow_runs import RunTree
from tumor_ratio.datasets.trained_model import ModelRef

logger = logging.getLogger(__name__)

CHOSEN_BY = "val_mae"


def register_best_of(
    tree: RunTree, models: Mapping[str, Sequence[ModelRef]], data: str
) -> str | None:
    """Register the best regressor of a run by its validation error.

    Parameters
    ----------
    tree : the run.
    models : the evaluated approaches' models, first the one that is published.
    data : version of the run's labels and folds. Models that learned from others do not count.

    Returns
    -------
    str or None
        One line on which model has the alias now; None where no model may have it.
    """
    found = [_candidate(tree, approach, refs, data) for approach, refs in models.items() if refs]
    candidates = [each for each in found if each]
    version = register_best(tree.client, candidates)
    if version is None:
        return None
    slides = register_slides(tree.client, version, candidates)
    for_slides = f" For whole slides: `models:/{slides.name}@best`." if slides else ""
    return (
        f"Best by validation on this data: `models:/{version.name}@best`, version "
        f"{version.version} ({version.tags.get('approach', '')}, val_mae "
        f"{float(version.tags.get('val_mae', 'nan')):.4f}).{for_slides}"
    )


def _candidate(
    tree: RunTree, approach: str, models: Sequence[ModelRef], data: str
) -> Candidate | None:
    published = models[0]
    errors = [model.card.get("metrics", {}).get(CHOSEN_BY, math.nan) for model in models]
    if not all(math.isfinite(error) for error in errors):
        return None
    if not tree.learned_from(str(published.card.get("fingerprint", "")), data):
        logger.info(
            "%s is not considered as the best model: no tracked run trained it on this data; "
            "run `kedro run --pipelines=regression,evaluation`",
            approach,
        )
        return None
    run = tree.child(approach)
    model_id = run.log_model(published.folder, published.card)
    if not model_id:
        return None
    of_slides = run.log_model(published.folder, published.card, of_slides=True) or ""
    val_mae = sum(errors) / len(errors)
    return Candidate(val_mae, published.card, run.run_id, model_id, data, of_slides)
