"""A regressor that takes slide files, as an MLflow model: in this process, and served."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import requests
import tifffile
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from PIL import Image

from tests.hooks.small_regressor import patches, small_regressor
from tests.pipelines.test_prediction import run, section
from tumor_ratio.datasets.mlflow_forms import SLIDES
from tumor_ratio.datasets.mlflow_model import log_regressor
from tumor_ratio.datasets.prediction_model import PredictionModelDataset
from tumor_ratio.datasets.trained_model import ModelRef
from tumor_ratio.imaging import tiled_copy
from tumor_ratio.imaging.appearance import slide_appearance
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.inference.allowed_places import ALLOWED_ROOTS
from tumor_ratio.inference.answer_params import AnswerParams
from tumor_ratio.inference.domain import TrainedDomain
from tumor_ratio.inference.new_slide_calibration import FILE_NAME, IDENTITY, NewSlideCalibration
from tumor_ratio.pipelines.prediction.params import PredictionParams
from tumor_ratio.reporting.stamps import RESEARCH_USE, SYNTHETIC_TRAINING

DECLARED = {"species": "human", "organ": "testis", "stain": "H&E"}
STAMP = f"{RESEARCH_USE} {SYNTHETIC_TRAINING}"


@pytest.fixture(scope="module")
def client(empty_store, tmp_path_factory):
    """One store for all tests here: logging and loading a model takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    store = shutil.copy(empty_store, folder / "mlflow.db")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    client = MlflowClient()
    client.create_experiment("tests", artifact_location=(folder / "artifacts").as_uri())
    yield client
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def slides(tmp_path_factory) -> Path:
    """A folder with two slides of 1 um/px that do not say so, allowed."""
    folder = tmp_path_factory.mktemp("of_others") / "slides"
    folder.mkdir()
    for name, radius in (("a", 3), ("b", 5)):
        rgb = np.full((288, 320, 3), 246, dtype=np.uint8)
        rgb[16:272, 16:240] = section(224, 256, radius=radius)
        rgb[16:272, 16:100] = section(84, 256, radius=4, every=12)
        Image.fromarray(rgb).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory, slides) -> ModelRef:
    """A network whose answers differ, calibrated on slides like these."""
    made = small_regressor(tmp_path_factory.mktemp("model"))
    look = slide_appearance(open_slide(slides / "a.png", slide_id="a", mpp=1.0))
    other = slide_appearance(open_slide(slides / "b.png", slide_id="b", mpp=1.0))
    calibration = NewSlideCalibration(
        model=made.card["fingerprint"],
        approach="tiny",
        stamps=tuple(made.card["stamps"]),
        slides=tuple(f"s{number}" for number in range(9)),
        n_cases=9,
        n_regions=90,
        rank=9,
        region_quantile=2.0,
        slide_quantile=1.5,
        reason="",
        tau=0.3,
        tau_reason="",
        area_map=IDENTITY,
        area_reason="",
        domain=TrainedDomain({n: [v] for n, v in DECLARED.items()}, (look, other) * 4),
    )
    (made.folder / FILE_NAME).write_text(json.dumps(calibration.to_record()))
    return made


@pytest.fixture(scope="module")
def model_id(client, model) -> str:
    experiment = client.get_experiment_by_name("tests").experiment_id
    run_id = client.create_run(experiment).info.run_id
    return log_regressor(client, run_id, model.folder, model.card, SLIDES)


@pytest.fixture(scope="module")
def loaded(model_id):
    return mlflow.pyfunc.load_model(f"models:/{model_id}")


@pytest.fixture
def of_the_pipeline(slides, model):
    """What the pipeline writes of the same slides."""

    def table(**params) -> pd.DataFrame:
        params = {"mpp": 1.0, **DECLARED, **params}
        return run(PredictionParams(folder=str(slides), **params), model)[1]

    return table


def question(slides: Path, *names: str) -> pd.DataFrame:
    return pd.DataFrame({"slide_path": [str(slides / name) for name in names]})


LABELLING = {"tumor_labelling": "0.6 0.5 0.7", "other_labelling": "0.05 0.02 0.1"}


@pytest.mark.parametrize("options", [{}, {"step_px": 20, "min_tissue": 0.6, **LABELLING}])
def test_it_answers_as_the_pipeline_does(slides, loaded, of_the_pipeline, monkeypatch, options):
    monkeypatch.setenv(ALLOWED_ROOTS, str(slides))
    answer = loaded.predict(question(slides, "a.png", "b.png"), {"mpp": 1.0, **DECLARED, **options})
    expected = of_the_pipeline(**options)
    assert answer.pop("error").tolist() == ["", ""]
    pd.testing.assert_frame_equal(answer, expected, rtol=0, atol=1e-6)
    assert answer["slide_id"].tolist() == ["a", "b"]
    assert answer["stamp"].tolist() == [STAMP] * 2
    ratios = answer["tumor_ratio_calibrated"]
    assert (answer["interval"] == "").all()
    assert ((answer["lower"] < ratios) & (ratios < answer["upper"])).all()
    assert abs(ratios[0] - ratios[1]) > 1e-6
    assert answer["tumor_area_mm2"].notna().tolist() == [bool(options)] * 2


def test_a_tiff_in_strips_is_read_by_a_copy_that_is_not_kept(
    slides, loaded, model, monkeypatch, tmp_path
):
    path = tmp_path / "strips.tif"
    tifffile.imwrite(path, np.asarray(Image.open(slides / "a.png")), photometric="rgb")
    monkeypatch.setenv(ALLOWED_ROOTS, str(tmp_path))
    monkeypatch.setattr("tumor_ratio.imaging.tiled_copy.STRIPPED_LIMIT_PX", 1)
    kept, passing = tmp_path / "kept", tmp_path / "passing"
    passing.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(passing))
    copied = []
    write = tiled_copy._write_pyramid
    monkeypatch.setattr(
        tiled_copy, "_write_pyramid", lambda *at: copied.append(at[1]) or write(*at)
    )
    answer = loaded.predict(question(tmp_path, "strips.tif"), {"mpp": 1.0})
    params = PredictionParams(slide=str(path), mpp=1.0, pyramids=str(kept))
    expected = run(params, model)[1]
    pd.testing.assert_frame_equal(answer[expected.columns], expected, rtol=0, atol=1e-6)
    assert [each.is_relative_to(passing) for each in copied] == [True, False]
    assert list(passing.iterdir()) == []
    assert len(list(kept.iterdir())) == 1


def test_what_is_asked_moves_the_numbers(slides, loaded, monkeypatch):
    monkeypatch.setenv(ALLOWED_ROOTS, str(slides))
    asked = question(slides, "a.png", "a.png", "a.png").assign(
        slide_id=["x", "x", None], he_mpp=[1.0, 0.5, None]
    )
    answer = loaded.predict(asked, {"mpp": 0.8, **DECLARED})
    assert answer["slide_id"].tolist() == ["x", "x", "a"]
    area = answer["stained_mm2"] / answer["stained_mm2"][0]
    np.testing.assert_allclose(area, [1.0, 0.25, 0.64], rtol=0.1)
    undeclared = loaded.predict(question(slides, "a.png"), {"mpp": 1.0})
    assert "species undeclared" in undeclared["domain_warning"][0]
    assert undeclared["lower"].isna().all()


def test_a_refused_slide_costs_its_own_row_only(slides, loaded, monkeypatch, tmp_path):
    slides = Path(shutil.copytree(slides, tmp_path / "slides"))
    monkeypatch.setenv(ALLOWED_ROOTS, str(slides))
    (slides / "text.png").write_text("no image")
    Image.fromarray(np.full((64, 64, 3), 250, dtype=np.uint8)).save(slides / "glass.png")
    (tmp_path / "secret.png").write_bytes((slides / "a.png").read_bytes())
    asked = question(slides, "text.png", "a.png", "glass.png", "../secret.png", "a.png", "a.png")
    asked["slide_id"] = [None, None, None, None, "../x", None]
    asked["he_mpp"] = [None, None, None, None, None, 99.0]
    asked.loc[len(asked)] = ["https://example.org/a.svs", None, None]
    answer = loaded.predict(asked, {"mpp": 1.0})
    reasons = ["not an image", "", "no tissue", "climbs", "slide_id may have", "99 um", "URLs"]
    for error, reason in zip(answer["error"], reasons, strict=True):
        assert (reason in error) if reason else error == ""
    assert answer["tumor_ratio"].notna().tolist() == [not reason for reason in reasons]
    assert answer["stamp"].tolist() == [STAMP] * 7
    assert answer["n_regions"].dtype == "float64"


def test_a_bug_in_one_slide_is_an_error_of_its_row(slides, loaded, monkeypatch, caplog):
    def fails(slide, *_, **__):
        raise ZeroDivisionError("of two\nlines")

    monkeypatch.setenv(ALLOWED_ROOTS, str(slides))
    monkeypatch.setattr("tumor_ratio.inference.slide_answers.predict_whole_slide", fails)
    answer = loaded.predict(question(slides, "a.png"), {"mpp": 1.0})
    assert answer["error"].tolist() == ["slide a: ZeroDivisionError: of two"]
    assert "Traceback" in caplog.text


def test_without_allowed_folders_nothing_is_read(slides, loaded, monkeypatch):
    monkeypatch.delenv(ALLOWED_ROOTS, raising=False)
    answer = loaded.predict(question(slides, "a.png"), {"mpp": 1.0})
    assert f"start with {ALLOWED_ROOTS}=" in answer["error"][0]
    assert answer["tumor_ratio"].isna().all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"step_px": 33}, "between 1 px and a region's side"),
        ({"min_tissue": 1.5}, "min_tissue"),
        ({"mpp": 50.0}, "mpp"),
        ({"step_px": "many"}, "step_px"),
        ({"tumor_labelling": "0.5 0.4 0.6"}, "`other_labelling` is missing"),
    ],
)
def test_bad_parameters_are_refused_as_a_whole(slides, loaded, params, message):
    with pytest.raises(MlflowException, match=message) as refusal:
        loaded.predict(question(slides, "a.png"), params)
    assert refusal.value.get_http_status_code() == 400


def test_no_slide_and_no_path_are_refused(slides, loaded):
    with pytest.raises(MlflowException, match="schema"):
        loaded.predict(pd.DataFrame({"path": ["a.png"]}))
    with pytest.raises(MlflowException, match="no slide is asked for"):
        loaded.predict(question(slides).astype("str"))


def test_its_signature_tells_what_it_takes_and_gives(model_id, loaded, slides, monkeypatch, client):
    about = mlflow.models.get_model_info(f"models:/{model_id}")
    inputs = {each.name: each.required for each in about.signature.inputs}
    assert inputs == {"slide_path": True, "slide_id": False, "he_mpp": False}
    defaults = {each.name: each.default for each in about.signature.params}
    assert defaults == {n: getattr(PredictionParams(), n) for n in AnswerParams.model_fields}
    monkeypatch.setenv(ALLOWED_ROOTS, str(slides))
    answer = loaded.predict(question(slides, "a.png"), {"mpp": 1.0})
    assert about.signature.outputs.input_names() == list(answer.columns)
    assert about.metadata["stamps"] == [RESEARCH_USE, SYNTHETIC_TRAINING]
    assert client.get_logged_model(model_id).name == "tiny-slides"
    place = Path(client.get_logged_model(model_id).artifact_location.removeprefix("file://"))
    files = {path.name for path in place.rglob("*")}
    assert {"card.json", FILE_NAME, "model.safetensors", "mlflow_slides_pyfunc.py"} <= files
    assert not any("pkl" in name or "pickle" in name for name in files)
    assert str(slides.parent) not in (place / "input_example.json").read_text()


def test_both_forms_of_a_regressor_are_logged_beside_each_other(client, model, model_id):
    run_id = client.get_logged_model(model_id).source_run_id
    of_patches = log_regressor(client, run_id, model.folder, model.card)
    assert of_patches != model_id
    assert log_regressor(client, run_id, model.folder, model.card, SLIDES) == model_id
    answer = mlflow.pyfunc.load_model(f"models:/{of_patches}").predict(patches(2))
    assert list(answer.columns) == ["tumor_ratio", "tumor_ratio_calibrated"]


def test_the_pipeline_takes_it_as_a_model_too(model, model_id, tmp_path):
    found = PredictionModelDataset(str(tmp_path), f"models:/{model_id}").load()
    assert found.card["fingerprint"] == model.card["fingerprint"]
    assert (found.folder / FILE_NAME).read_text() == (model.folder / FILE_NAME).read_text()


# --- served


@contextlib.contextmanager
def served(model_uri: str, environment: dict[str, str]):
    """Address of a server of the model; it ends with the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    command += ["--model-uri", model_uri, "--host", "127.0.0.1", "--port", str(port)]
    source = str(Path(__file__).parents[2] / "src")
    own = {**os.environ, "PYTHONPATH": source, "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()}
    own["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
    server = subprocess.Popen(command, env={**own, **environment}, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 300  # a full machine starts it late
        while time.monotonic() < until and server.poll() is None:
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"{address}/ping", timeout=5).ok:
                    break
            time.sleep(0.5)
        yield f"{address}/invocations"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def no_constant(name: str):
    raise AssertionError(f"{name} is no JSON")


@pytest.mark.slow
def test_a_server_answers_as_the_pipeline_does(slides, model_id, of_the_pipeline, tmp_path):
    outside = tmp_path / "secret.png"
    outside.write_bytes((slides / "a.png").read_bytes())
    asked = {
        "dataframe_records": [
            {"slide_path": str(slides / "a.png")},
            {"slide_path": str(outside)},
            {"slide_path": str(slides / "b.png"), "slide_id": "b", "he_mpp": 1},
        ],
        "params": {"mpp": 1.0, "step_px": None, **DECLARED},
    }
    with served(f"models:/{model_id}", {ALLOWED_ROOTS: str(slides)}) as address:
        reply = requests.post(address, json=asked, timeout=60)
        refusal = requests.post(address, json={**asked, "params": {"step_px": 99}}, timeout=60)
    assert reply.status_code == 200, reply.text
    rows = json.loads(reply.text, parse_constant=no_constant)["predictions"]
    assert "outside the allowed folders" in rows[1]["error"]
    assert rows[1]["tumor_ratio"] is None
    assert {row["stamp"] for row in rows} == {STAMP}
    expected = of_the_pipeline()
    answer = pd.DataFrame([rows[0], rows[2]])
    assert list(answer.columns) == [*expected.columns, "error"]
    answer = answer[expected.columns].astype(expected.dtypes)
    pd.testing.assert_frame_equal(answer, expected, rtol=0, atol=1e-6)
    assert refusal.status_code == 400
    assert "a region's side (32 px), not 99" in refusal.text
