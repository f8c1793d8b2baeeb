"""kedro-viz shows layers only where none leads back to an earlier one."""

from __future__ import annotations

from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog

from tumor_ratio.pipeline_registry import register_pipelines
from tumor_ratio.settings import CONFIG_LOADER_ARGS

PROJECT = Path(__file__).parents[1]
PIPELINES = register_pipelines()


@pytest.fixture(scope="module")
def catalog() -> DataCatalog:
    loader = OmegaConfigLoader(str(PROJECT / "conf"), **CONFIG_LOADER_ARGS)
    return DataCatalog.from_config(loader["catalog"])


def layer_of(catalog: DataCatalog, name: str) -> str | None:
    if name.startswith("params:") or name not in catalog:
        return None
    metadata = getattr(catalog.get(name), "metadata", None) or {}
    return metadata.get("kedro-viz", {}).get("layer")


@pytest.mark.parametrize("name", PIPELINES)
def test_no_layer_leads_back_to_an_earlier_one(name, catalog):
    before: dict[str, set[str]] = {}
    for node in PIPELINES[name].nodes:
        sources = {layer for each in node.inputs if (layer := layer_of(catalog, each))}
        for target in node.outputs:
            if layer := layer_of(catalog, target):
                before.setdefault(layer, set()).update(sources - {layer})
    assert list(TopologicalSorter(before).static_order())
