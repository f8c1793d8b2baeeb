"""What a run tells MLflow of itself beside numbers: its data, its stamps, a description, the best.

The tracking hook passes on what it sees; this module knows what to make of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.datasets.data_version import DataVersion
from tumor_ratio.datasets.mlflow_runs import NOTE, RunTree, TrackedRun
from tumor_ratio.datasets.trained_model import ModelRef
from tumor_ratio.hooks.best_model import register_best_of
from tumor_ratio.hooks.run_note import approach_note, results_note
from tumor_ratio.reporting.stamps import CIRCULAR, RESEARCH_USE, stamps_for

PROTOCOL = "protocol"
"""Tag of every approach's run: how the slides were split that its numbers are of."""

ModelsOf = Callable[[str], Sequence[ModelRef]]
"""The finished models of an approach; none where it has none."""


class RunAccount:
    """Account of one tracked run.

    Parameters
    ----------
    tree : the run and its children.
    models_of : finds an approach's models.
    """

    def __init__(self, tree: RunTree, models_of: ModelsOf) -> None:
        self._tree = tree
        self._models_of = models_of
        self._data = DataVersion()
        self._kinds: dict[str, set[str]] = {}
        self._about: dict[str, dict[str, str]] = {}
        self._results: dict[str, Mapping[str, float]] = {}
        self._protocols: dict[str, str] = {}
        self._note = RESEARCH_USE

    def see(self, approach: str, inputs: Mapping[str, Any]) -> None:
        """Take note of what a node of an approach reads: versions of data, origins of models."""
        tags = self._data.see(inputs)
        if tags:
            self._tree.set_tags(tags)
        for value in inputs.values():
            if isinstance(value, Cohort):
                self._kinds.setdefault("", set()).update(pair.data_kind for pair in value)
            elif approach and isinstance(value, ModelRef):
                self._kinds.setdefault(approach, set()).update(_kinds_of([value]))

    def see_protocol(self, approach: str, parameters: Mapping[str, Any]) -> None:
        """Take note of a protocol: an approach's own, or that of the primary comparison.

        Parameters
        ----------
        approach : of the node; empty where it belongs to none.
        parameters : by name, plain.
        """
        for group in parameters.values():
            named = group if isinstance(group, Mapping) else {}
            protocol = (named if approach else named.get("headline") or {}).get(PROTOCOL)
            if protocol and self._protocols.get(approach) != protocol:
                self._protocols[approach] = str(protocol)
                if approach:
                    self._tree.child(approach).set_tags({PROTOCOL: str(protocol)})

    def describe_approaches(self, table: pd.DataFrame) -> None:
        """Remember role and supervision of the approaches, which become tags with their results."""
        for row in table.to_dict("records"):
            self._about[str(row["approach"])] = {
                name: str(row[name]) for name in ("role", "supervision") if name in row
            }

    def describe_results(
        self, metrics: Mapping[str, Mapping[str, float]], runs: Mapping[str, TrackedRun], of: str
    ) -> None:
        """Describe the run and the approaches whose results a node has found.

        Parameters
        ----------
        metrics : by approach.
        runs : the approaches' child runs.
        of : approach of the node; empty where it belongs to none.
        """
        shared = self._kinds.get("", set()) | self._kinds.get(of, set())
        # A model's card names the protocol that it learned by; that tag stays.
        known = self._protocols.get(of) or self._protocols.get("")
        of_results = {PROTOCOL: known} if known else {}
        for approach, run in runs.items():
            models = self._models_of(approach)
            own = _kinds_of(models) or shared
            stamp = {"stamp": " ".join(_stamps(own))} if own else {}
            about = self._about.get(approach, {})
            protocol = {} if any(PROTOCOL in each.card for each in models) else of_results
            note = approach_note(approach, about, _stamps(own))
            run.set_tags({**about, **stamp, **protocol, NOTE: note})
        self._results.update(metrics)
        kinds = shared.union(*(_kinds_of(self._models_of(each)) for each in metrics))
        above = [*_stamps(kinds), *([CIRCULAR] if "phantom" in shared else [])]
        self._note = results_note(self._results, self._about, above)
        stamp = {"stamp": " ".join(_stamps(kinds))} if kinds else {}
        self._tree.parent.set_tags({NOTE: self._note, **stamp})

    def finish(self) -> None:
        """Register the best of the evaluated models; a run without results registers nothing."""
        models = {approach: self._models_of(approach) for approach in self._results}
        line = register_best_of(self._tree, models, self._data.version)
        if line:
            self._tree.parent.set_tags({NOTE: f"{self._note}\n\n{line}"})


def _kinds_of(models: Iterable[ModelRef]) -> set[str]:
    cards = [model.card for model in models]
    return {str(card["training_data"]) for card in cards if "training_data" in card}


def _stamps(kinds: set[str]) -> tuple[str, ...]:
    """One phantom among the origins, and the strict stamp is on."""
    if not kinds:
        return (RESEARCH_USE,)
    return stamps_for("phantom" if "phantom" in kinds else "real")
