"""What a person excludes is read as written, and no file excludes nothing."""

from __future__ import annotations

import pytest
from kedro.io import DatasetError

from tumor_ratio.datasets.exclusions import ExclusionsDataset


def test_no_file_excludes_nothing(tmp_path):
    dataset = ExclusionsDataset(str(tmp_path / "exclusions.csv"))
    assert dataset.exists()
    assert dataset.load().empty


def test_rows_are_read_as_text(tmp_path):
    path = tmp_path / "exclusions.csv"
    path.write_text("slide_id,x_px,y_px,note\n007,0,1024,folded\n", encoding="utf-8-sig")
    row = ExclusionsDataset(str(path)).load().iloc[0]
    assert (row.slide_id, row.y_px, row.note) == ("007", "1024", "folded")


def test_an_empty_file_is_named(tmp_path):
    path = tmp_path / "exclusions.csv"
    path.write_text("")
    with pytest.raises(DatasetError, match=r"exclusions\.csv: not a table"):
        ExclusionsDataset(str(path)).load()


def test_a_run_never_writes_it(tmp_path):
    with pytest.raises(DatasetError, match="by hand"):
        ExclusionsDataset(str(tmp_path / "exclusions.csv")).save("x")
