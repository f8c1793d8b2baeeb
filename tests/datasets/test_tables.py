import json

import pandas as pd
import pytest
from kedro.io import DataCatalog, DatasetError, Version
from kedro.validation import DataValidationError

from tumor_ratio.datasets.tables import TableDataset

TABLE = pd.DataFrame({"slide_id": ["007", "s#2"], "value": [1.5, None], "n": [1, 2]})


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_round_trip_and_replacement(tmp_path, suffix):
    dataset = TableDataset(str(tmp_path / f"deep/table{suffix}"))
    assert not dataset.exists()
    dataset.save(TABLE.head(1))
    dataset.save(TABLE)
    assert dataset.exists()
    pd.testing.assert_frame_equal(dataset.load(), TABLE)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == [f"table{suffix}"]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_the_newest_version_is_loaded(tmp_path, suffix):
    path = str(tmp_path / f"table{suffix}")
    assert not TableDataset(path, Version(None, None)).exists()
    for version, rows in (("2026-01-01T00.00.00.000Z", 1), ("2026-01-02T00.00.00.000Z", 2)):
        TableDataset(path, Version(None, version)).save(TABLE.head(rows))
    assert len(TableDataset(path, Version(None, None)).load()) == 2
    assert len(TableDataset(path, Version("2026-01-01T00.00.00.000Z", None)).load()) == 1
    with pytest.raises(DatasetError, match="must not exist"):
        TableDataset(path, Version(None, "2026-01-02T00.00.00.000Z")).save(TABLE)


def test_a_version_that_was_never_finished_is_never_the_newest(tmp_path, monkeypatch):
    path = str(tmp_path / "table.parquet")
    TableDataset(path, Version(None, "2026-01-01T00.00.00.000Z")).save(TABLE)

    def killed(self, target, **kwargs):
        target.write_bytes(b"PAR1 half")
        raise SystemExit  # as abrupt as a test can be: nothing after this line runs

    with monkeypatch.context() as patch:
        patch.setattr(pd.DataFrame, "to_parquet", killed)
        with pytest.raises(SystemExit):
            TableDataset(path, Version(None, "2026-01-02T00.00.00.000Z")).save(TABLE)
    dataset = TableDataset(path, Version(None, None))
    assert dataset.list_versions(full_path=False) == ["2026-01-01T00.00.00.000Z"]
    pd.testing.assert_frame_equal(dataset.load(), TABLE)


def test_stamps_stand_above_a_csv_and_come_back(tmp_path):
    path = tmp_path / "ratios.csv"
    table = TABLE.copy()
    table.attrs["stamp"] = ["SYNTHETIC", "RESEARCH"]
    dataset = TableDataset(str(path), stamp=["RESEARCH"])
    dataset.save(table)
    assert path.read_text().splitlines()[:3] == ["# RESEARCH", "# SYNTHETIC", "slide_id,value,n"]
    loaded = dataset.load()
    assert loaded.attrs["stamp"] == ["RESEARCH", "SYNTHETIC"]
    pd.testing.assert_frame_equal(loaded, TABLE)
    dataset.save(loaded)
    assert path.read_text().count("RESEARCH") == 1


def test_only_tables_in_known_files(tmp_path):
    with pytest.raises(ValueError, match=r"ends in .parquet or .csv"):
        TableDataset(str(tmp_path / "table.xlsx"))
    with pytest.raises(DatasetError, match="a table is expected, not list"):
        TableDataset(str(tmp_path / "table.csv")).save([1])


def test_in_a_catalog_the_schema_is_checked_and_viz_has_a_preview(tmp_path):
    config = {
        "type": "tumor_ratio.datasets.tables.TableDataset",
        "filepath": str(tmp_path / "failures.csv"),
        "versioned": True,
        "validator": "tumor_ratio.schemas.Failures",
        "metadata": {"kedro-viz": {"layer": "reporting"}},
    }
    catalog = DataCatalog.from_config({"failures": config})
    good = pd.DataFrame([["7", "tiles", "SlideError", "blank"]], columns=list(FAILURES))
    with pytest.raises(DataValidationError, match="failures"):
        catalog.save("failures", good.drop(columns="message"))
    assert not catalog.exists("failures")
    catalog.save("failures", good)
    pd.testing.assert_frame_equal(catalog.load("failures"), good, check_dtype=False)
    preview = catalog["failures"].preview(nrows=1)
    assert preview["data"] == [["7", "tiles", "SlideError", "blank"]]
    json.dumps(preview)


FAILURES = ("slide_id", "step", "error", "message")
