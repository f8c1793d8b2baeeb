import pytest
from kedro.io import DatasetError

from tumor_ratio.datasets.failures import FailuresDataset, write_failures
from tumor_ratio.datasets.worker import Outcome
from tumor_ratio.schemas import Failures


def outcome(name: str) -> Outcome:
    return Outcome(name, error="SlideError", message='blank, says "the scanner"; scan again')


def test_all_steps_failures_as_they_stand(tmp_path):
    dataset = FailuresDataset(str(tmp_path))
    assert dataset.exists()
    assert len(Failures.validate(dataset.load())) == 0
    write_failures(tmp_path, "tiles", [outcome("NA"), outcome("007")])
    write_failures(tmp_path, "nuclei", [outcome("s1")])
    table = Failures.validate(dataset.load())
    assert table[["slide_id", "step"]].to_numpy().tolist() == [
        ["s1", "nuclei"],
        ["NA", "tiles"],
        ["007", "tiles"],
    ]
    assert table["message"][0] == 'blank, says "the scanner"; scan again'
    write_failures(tmp_path, "tiles", [])
    assert list(dataset.load()["slide_id"]) == ["s1"]
    assert dataset.preview()["columns"] == ["slide_id", "step", "error", "message"]


def test_read_only(tmp_path):
    with pytest.raises(DatasetError, match="written by the steps"):
        FailuresDataset(str(tmp_path)).save([])
