import json
import shutil
from pathlib import Path

import pytest
from kedro.io import DatasetError

from tumor_ratio.cohort.pair import Cohort, SlidePair
from tumor_ratio.datasets.cohort import CohortDataset
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.imaging.transform import Transform


def slide(path: Path) -> Slide:
    return Slide("s1", path, 100, 80, 0.5, ((100, 80, 1.0),), "tifffile")


def cohort(project: Path) -> Cohort:
    pair = SlidePair(
        slide_id="s1",
        case_id="c1",
        he=slide(project / "data/he.tif"),
        ihc=slide(Path("/elsewhere/ihc.tif")),
        transform=Transform.identity(),
        data_kind="phantom",
        meta={},
        truth_dir=project / "data/truth",
    )
    return Cohort((pair,), "phantom")


def make_project(path: Path) -> Path:
    path.mkdir()
    (path / "pyproject.toml").write_text('[tool.kedro]\npackage_name = "x"\n')
    return path


def test_round_trip_also_after_the_project_has_moved(tmp_path):
    old = make_project(tmp_path / "old")
    dataset = CohortDataset(str(old / "data/cohort.json"))
    assert not dataset.exists()
    dataset.save(cohort(old))
    assert dataset.load() == cohort(old)
    stored = json.loads((old / "data/cohort.json").read_text())
    assert stored["pairs"][0]["he"]["path"] == "data/he.tif"
    assert stored["pairs"][0]["ihc"]["path"] == "/elsewhere/ihc.tif"
    assert stored["pairs"][0]["truth_dir"] == "data/truth"
    new = tmp_path / "new"
    shutil.move(old, new)
    assert CohortDataset(str(new / "data/cohort.json")).load() == cohort(new)


def test_no_cohort_names_the_pipeline_to_run(tmp_path):
    with pytest.raises(DatasetError, match="kedro run --pipelines=data_processing"):
        CohortDataset(str(tmp_path / "cohort.json")).load()
