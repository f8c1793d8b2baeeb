"""Keeps one MLflow run a `kedro run` and one child run an approach, with equal names in each."""

from __future__ import annotations

import atexit
import logging
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from kedro.config import MissingConfigException
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines as registry
from kedro.io import CatalogProtocol
from kedro.pipeline.node import Node

from tumor_ratio.datasets import tracking
from tumor_ratio.datasets.code_version import code_tags
from tumor_ratio.datasets.data_version import origin_tags
from tumor_ratio.datasets.mlflow_runs import NOTE, TRAINED_IN, RunTree, TrackedRun
from tumor_ratio.datasets.mlflow_store import SQLITE, StoreError, check_store, make_store
from tumor_ratio.datasets.model_facts import tags_of, totals_of
from tumor_ratio.datasets.trained_folds import TrainedFoldsDataset
from tumor_ratio.datasets.trained_model import ModelRef, TrainedModelDataset
from tumor_ratio.hooks.parameters import flat, parameters_of, plain, without_namespace
from tumor_ratio.hooks.run_account import RunAccount
from tumor_ratio.reporting.stamps import RESEARCH_USE

logger = logging.getLogger(__name__)

TAG = "approach."
"""Prefix of the node tag that names a node's approach."""

RUN_NAME = "mlflow.runName"

OWN_STORES = "data/mlflow/without_server"
"""Folder of the project for stores of runs that could not use the configured one."""

FILES_MOST = 20
"""A dataset that is a folder is published only if it is small: MLflow is no place for tiles."""


class TrackingHook:
    """Tells MLflow, beside what kedro-mlflow tells it, about approaches.

    Nodes tagged `approach.<name>` write to that approach's child run: their parameters, what they
    log through `tumor_ratio.datasets.tracking`, and what the catalog marks. Catalog entries say
    `metadata: {mlflow: ...}`:

    - `metrics`: a dict of numbers, to the current run;
    - `approach_metrics`: a dict of approaches with a dict of numbers each, to their runs;
    - `approach_tags`: a table of approaches with `role` and `supervision`, for their runs;
    - `artifact`: the file, to the current run.

    All of it rests while kedro-mlflow tracks nothing; MLflow's store is made all the same, since
    kedro-mlflow opens it.
    """

    def __init__(self) -> None:
        self._tree: RunTree | None = None
        self._account: RunAccount | None = None
        self._catalog: CatalogProtocol | None = None
        self._approach = ""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Make MLflow's store, and know that it serves, before kedro-mlflow opens it.

        One that does not ends the run, or with the parameter `mlflow.required` false gives way to a
        store of this run's own.
        """
        patterns = getattr(context.config_loader, "config_patterns", {})
        patterns.setdefault("mlflow", ["mlflow*", "mlflow*/**", "**/mlflow*"])
        try:
            config = context.config_loader["mlflow"]
        except MissingConfigException:
            return
        uri = str((config.get("server") or {}).get("mlflow_tracking_uri") or "")
        try:
            check_store(uri)
        except StoreError as error:
            if (context.params.get("mlflow") or {}).get("required", True):
                raise
            own = Path(context.project_path) / OWN_STORES / f"{time.strftime('%Y%m%d-%H%M%S')}.db"
            uri = f"{SQLITE}{own}"
            logger.warning("%s\nThis run is kept in %s instead", error.args[0], uri)
            server = {**(config.get("server") or {}), "mlflow_tracking_uri": uri}
            # What is set here goes before what is read: kedro-mlflow gets it, too.
            context.config_loader["mlflow"] = {**config, "server": server}
        make_store(uri)

    @hook_impl(trylast=True)
    def before_pipeline_run(self, run_params: Mapping[str, Any], catalog: CatalogProtocol) -> None:
        """Take over the run that kedro-mlflow has started; mark runs that were killed."""
        self._catalog = catalog
        parent_id = _active_run_id()
        if parent_id is None:
            self._rest()
            return
        from mlflow.tracking import MlflowClient

        project = Path(run_params.get("project_path") or ".")
        tags = {"research_use": RESEARCH_USE, NOTE: RESEARCH_USE, **_origin_tags(catalog)}
        self._tree = RunTree(MlflowClient(), parent_id, project, {**tags, **code_tags(project)})
        self._account = RunAccount(self._tree, self._models_of)
        self._tree.parent.set_tags(_run_name(run_params.get("pipeline_names") or ()))
        for run_id in self._tree.end_stale():
            logger.info("MLflow run %s had been killed; it is marked so now", run_id)
        tracking.track_in(self._tree.parent)
        atexit.register(self._interrupted)

    @hook_impl(tryfirst=True)
    def before_node_run(self, node: Node, inputs: dict[str, Any]) -> None:
        """Make the node's run the current one, and log its parameters flat.

        Kedro hands the hooks a copy of the inputs. Typed parameters become plain dicts in it, so
        that kedro-mlflow, which comes after, logs the same flat names instead of one long text.
        """
        self._choose_run(node)
        if self._tree is None or self._account is None:
            return
        self._account.see(self._approach, inputs)
        parameters = parameters_of(inputs)
        self._account.see_protocol(self._approach, parameters)
        inputs.update({f"params:{name}": value for name, value in parameters.items()})
        if self._approach:
            for name, value in parameters.items():
                own = flat(without_namespace(name, self._approach), value)
                self._tree.child(self._approach).log_parameters(own)

    @hook_impl
    def before_dataset_saved(self, node: Node) -> None:
        """Make the node's run the current one: training happens while its model is saved."""
        self._choose_run(node)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Log what the catalog marks for MLflow."""
        if self._catalog is None or self._account is None:
            return
        dataset = self._catalog[dataset_name]
        kind = (getattr(dataset, "metadata", None) or {}).get("mlflow")
        if kind == "metrics":
            tracking.log_metrics(data)
        elif kind == "approach_metrics":
            runs = {approach: self._run_of(approach) for approach in data}
            for approach, metrics in data.items():
                runs[approach].log_history([(0, metrics)])
            self._account.describe_results(data, runs, self._approach)
        elif kind == "approach_tags":
            self._account.describe_approaches(data)
        elif kind == "artifact":
            _publish(dataset, dataset_name)
        elif kind is not None:
            logger.warning("%s: unknown `metadata: {mlflow: %s}`", dataset_name, kind)

    @hook_impl(tryfirst=True)
    def after_pipeline_run(self) -> None:
        """Register the best model and end the children well."""
        if self._account is not None:
            self._account.finish()
        self._close("FINISHED")

    @hook_impl(tryfirst=True)
    def on_pipeline_error(self) -> None:
        """End the children as failed."""
        self._close("FAILED")

    def _choose_run(self, node: Node) -> None:
        self._approach = approach_of(node)
        if self._tree is not None:
            own = self._tree.child(self._approach) if self._approach else self._tree.parent
            tracking.track_in(own)

    def _run_of(self, approach: str) -> TrackedRun:
        """Run of the approach; trained in another run, it takes over parameters and history.

        The training's own metrics come from the model: the other run may hold test metrics, too,
        and these may be out of date.
        """
        assert self._tree is not None
        is_new = not self._tree.knows(approach)
        run = self._tree.child(approach)
        models = self._dataset_of(approach) if is_new else None
        if models is not None:
            history, trained_in = models.tracked()
            run.log_history(history)
            published = self._models_of(approach)[0]
            run.log_history([(0, totals_of(published.card))])
            run.set_tags(tags_of(published.card))
            if trained_in:
                run.set_tags({TRAINED_IN: trained_in})
                run.copy_parameters(trained_in)
        return run

    def _models_of(self, approach: str) -> list[ModelRef]:
        """Finished models of an approach, first the one that is published."""
        dataset = self._dataset_of(approach)
        if dataset is None:
            return []
        loaded: ModelRef | dict[str, ModelRef] = dataset.load()
        return [loaded] if isinstance(loaded, ModelRef) else list(loaded.values())

    def _dataset_of(self, approach: str) -> TrainedModelDataset | TrainedFoldsDataset | None:
        assert self._catalog is not None
        for pipeline in dict(registry).values():
            for node in pipeline.nodes:
                for name in node.outputs if approach_of(node) == approach else ():
                    dataset = self._catalog.get(name)
                    if (
                        isinstance(dataset, TrainedModelDataset | TrainedFoldsDataset)
                        and dataset.exists()
                    ):
                        return dataset
        return None

    def _close(self, status: str) -> None:
        if self._tree is not None:
            self._tree.close(status)
        self._rest()

    def _rest(self) -> None:
        self._tree = self._account = None
        tracking.track_in(None)
        atexit.unregister(self._interrupted)

    def _interrupted(self) -> None:
        """At the end of a process in the middle of a run: MLflow would call the run finished."""
        import mlflow

        if self._tree is not None:
            self._tree.close("KILLED")
            mlflow.end_run("KILLED")


def approach_of(node: Node) -> str:
    """The approach that the node's tags name; empty for none."""
    return next((tag.removeprefix(TAG) for tag in sorted(node.tags) if tag.startswith(TAG)), "")


def _origin_tags(catalog: CatalogProtocol) -> dict[str, str]:
    name = "params:cohort"
    return origin_tags(plain(catalog[name].load())) if name in catalog else {}


def _run_name(requested: Collection[str]) -> dict[str, str]:
    """The run's name where several pipelines run: Kedro hands them on in any order."""
    names = [name for name in registry if name in requested]
    return {RUN_NAME: "+".join(names)} if len(names) > 1 else {}


def _active_run_id() -> str | None:
    import mlflow

    run = mlflow.active_run()
    return run.info.run_id if run else None


def _publish(dataset: Any, name: str) -> None:
    load_path = getattr(dataset, "_get_load_path", None)
    described = dataset._describe()
    place = load_path() if load_path else described.get("filepath") or described.get("path")
    path = Path(str(place))
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    if len(files) > FILES_MOST:
        logger.warning("%s: %d files are too many for MLflow; none is published", name, len(files))
        return
    for file in files:
        tracking.log_artifact(file)
