"""Kedro's project settings: configuration, hooks."""

from __future__ import annotations

from pathlib import Path

from kedro.config import OmegaConfigLoader

from tumor_ratio.approaches.registry import known_names
from tumor_ratio.hooks.approaches import ApproachesHook, check_approaches
from tumor_ratio.hooks.manifests import check_manifests
from tumor_ratio.hooks.preflight import PreflightHook
from tumor_ratio.hooks.steps import StepsHook
from tumor_ratio.hooks.summary import SummaryHook
from tumor_ratio.hooks.tracking import TrackingHook

PROJECT = Path(__file__).resolve().parents[2]


def project_path(relative: str) -> str:
    """Absolute path of a file or folder of the project; its parent folder is made.

    Used where a path reaches a library that would resolve it against the current folder.
    """
    path = PROJECT / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.as_posix()


CONFIG_LOADER_CLASS = OmegaConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft"},  # an environment names only what it changes
    "custom_resolvers": {"project": project_path},
}

HOOKS = (
    TrackingHook(),
    StepsHook(),
    SummaryHook(),
    ApproachesHook(),
    # Of hooks that want to be first the last one is: it shows the errors of the others shortly.
    PreflightHook(
        # Blocks of approaches that this run leaves out are fine, too.
        allowed_parameters=(
            *("workers", "cluster", "retrain", "approach", "approaches", "protocol", "mlflow"),
            *known_names(),
        ),
        checks=(check_manifests, check_approaches),
    ),
)
