from functools import partial

from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline

from tumor_ratio.datasets.partitions import SlidePartitions
from tumor_ratio.errors import SlideError
from tumor_ratio.hooks.summary import SummaryHook
from tumor_ratio.steps import step


@step(name="odd_fails", version=1)
def odd_fails(number: int) -> dict:
    if number % 2:
        raise SlideError(f"s{number}", "blank")
    return {}


def nothing(*inputs):
    return None


def test_failures_results_and_places_are_printed(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parts = SlidePartitions(
        str(tmp_path / "parts"), {"type": "json.JSONDataset"}, ".json", "segment_ihc", workers=0
    )
    parts.save({f"s{n}": partial(odd_fails, n) for n in range(4)})
    text = {"type": "text.TextDataset", "filepath": str(tmp_path / "results.txt")}
    report = {"type": "text.TextDataset", "filepath": str(tmp_path / "report.html")}
    catalog = DataCatalog.from_config({"results_table": text, "report": report})
    catalog["ihc_nuclei"] = parts
    catalog["results_table"].save("approach  MAE")
    pipeline = Pipeline(
        [
            Node(nothing, None, "ihc_nuclei"),
            Node(nothing, "ihc_nuclei", ["results_table", "report"]),
        ]
    )
    capsys.readouterr()
    SummaryHook().after_pipeline_run(pipeline=pipeline, catalog=catalog)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 slides failed in segment_ihc: see failures/segment_ihc.csv"
    assert "approach  MAE" in lines
    assert "report: report.html" in lines
    assert any("make mlflow" in line for line in lines)
    only_parts = pipeline.only_nodes_with_outputs("ihc_nuclei")
    SummaryHook().after_pipeline_run(pipeline=only_parts, catalog=catalog)
    assert len(capsys.readouterr().out.splitlines()) == 1
