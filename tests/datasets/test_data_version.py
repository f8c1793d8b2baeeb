from pathlib import Path

import pandas as pd

from tumor_ratio.cohort.pair import Cohort, SlidePair
from tumor_ratio.datasets.data_version import DataVersion, origin_tags
from tumor_ratio.imaging.slide import Slide

LABELS = pd.DataFrame({"region_id": ["r1", "r2"], "tumor_ratio": [0.1, 0.2]})
FOLDS = pd.DataFrame({"slide_id": ["s1", "s2"], "split": ["train", "test"]})


def cohort(folder: str = "a", *names: str) -> Cohort:
    def slide(name: str) -> Slide:
        return Slide(name, Path(folder) / f"{name}.tif", 10, 10, 0.5, ((10, 10, 1.0),), "openslide")

    return Cohort(tuple(SlidePair(n, f"c_{n}", slide(n), None) for n in names), "manifest")


def version_of(labels: pd.DataFrame, folds: pd.DataFrame) -> str:
    data = DataVersion()
    data.see({"ratio_labels": labels, "folds": folds})
    return data.version


def test_the_version_is_known_once_labels_and_folds_are():
    data = DataVersion()
    assert data.see({"ratio_labels": LABELS, "params:x": 1}).keys() == {"data.labels"}
    assert data.version == ""
    tags = data.see({"folds": FOLDS, "ratio_labels": LABELS})
    assert tags.keys() == {"data.folds", "data"}
    assert tags["data"] == data.version != ""
    assert data.see({"folds": FOLDS, "ratio_labels": LABELS}) == {}


def test_it_follows_the_content_of_labels_and_folds():
    version = version_of(LABELS, FOLDS)
    assert version_of(LABELS.copy(), FOLDS.copy()) == version
    assert version_of(LABELS.assign(tumor_ratio=[0.1, 0.3]), FOLDS) != version
    assert version_of(LABELS, FOLDS.assign(split=["test", "train"])) != version


def test_a_cohort_counts_by_its_slides_not_by_their_place():
    tags = DataVersion().see({"cohort": cohort("a", "s1", "s2")})
    assert tags["data.source"] == "manifest"
    assert DataVersion().see({"cohort": cohort("b", "s1", "s2")}) == tags
    assert DataVersion().see({"cohort": cohort("a", "s1")}) != tags


def test_family_and_seed_are_named_for_phantoms_alone():
    phantom = {"family": "final", "seed": 3, "n_slides": 5}
    assert origin_tags({"source": "phantom", "phantom": phantom}) == {
        "data.family": "final",
        "data.seed": "3",
    }
    assert origin_tags({"source": "manifest", "phantom": phantom}) == {}
    assert origin_tags({}) == {}
