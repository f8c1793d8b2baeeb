"""The disk fills up at every single write: nothing half-written passes for whole afterwards."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import tifffile
import torch
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog, MemoryDataset, Version
from kedro.runner import SequentialRunner
from matplotlib.figure import Figure
from PIL import Image
from scipy import ndimage

from tests.full_disk import FullDisk, full_disk
from tests.main_job import Job
from tumor_ratio.atomic import PREFIX, write_text
from tumor_ratio.cohort.pair import Cohort, SlidePair
from tumor_ratio.datasets.cohort import CohortDataset
from tumor_ratio.datasets.errors import NotMadeYetError
from tumor_ratio.datasets.failures import read_failures, write_failures
from tumor_ratio.datasets.partitions import SlidePartitions
from tumor_ratio.datasets.tables import TableDataset
from tumor_ratio.datasets.trained_model import TrainedModelDataset
from tumor_ratio.datasets.trainings import read_history
from tumor_ratio.datasets.whole_files import (
    FigureDataset,
    InteractiveFigureDataset,
    JSONDataset,
    TextDataset,
)
from tumor_ratio.datasets.worker import Outcome
from tumor_ratio.errors import DiskFullError, SlideError
from tumor_ratio.hooks.errors import reason_for_user
from tumor_ratio.imaging import tiled_copy
from tumor_ratio.imaging.pyramid import write_pyramid
from tumor_ratio.imaging.slide import Slide, open_slide
from tumor_ratio.models.checkpoints import CheckpointFolder, Progress
from tumor_ratio.models.model_folder import CARD_FILE, has_model
from tumor_ratio.models.weights_files import read_weights, write_weights
from tumor_ratio.phantom import pair as phantom_pair
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.phantom.plan import plan_phantom
from tumor_ratio.pipelines.data_processing.params import (
    CohortParams,
    ContactSheetParams,
    PatchParams,
    TileParams,
    TileScoreParams,
    TileSelectionParams,
)
from tumor_ratio.pipelines.data_processing.pipeline import create_pipeline
from tumor_ratio.steps import step


@dataclass(frozen=True)
class Written:
    """Something that is written, in two states that differ, and read again.

    `read` gives None where nothing is there.
    """

    write: Callable[[Path, int], None]
    read: Callable[[Path], Any]


def of_dataset(make: Callable[[Path], Any], value: Callable[[int], Any], read: Any = None) -> Any:
    def load(folder: Path) -> Any:
        dataset = make(folder)
        return (read or (lambda each: each.load()))(dataset) if dataset.exists() else None

    return Written(lambda folder, state: make(folder).save(value(state)), load)


def table(state: int) -> pd.DataFrame:
    return pd.DataFrame({"slide_id": [f"s{n}" for n in range(3)], "value": [state, 1, 2]})


def figure(state: int) -> Figure:
    drawn = Figure(figsize=(1, 1))
    drawn.add_subplot().plot([0, state + 1])
    return drawn


def png_of(dataset: Any) -> bytes:
    path = Path(dataset._filepath)
    Image.open(path).load()
    return path.read_bytes()


def version(folder: Path, state: int | None) -> Version:
    return Version(None, None if state is None else f"2026-01-0{state + 1}T00.00.00.000Z")


def versioned(suffix: str) -> Written:
    def save(folder: Path, state: int) -> None:
        TableDataset(str(folder / f"t{suffix}"), version(folder, state)).save(table(state))

    def load(folder: Path) -> Any:
        dataset = TableDataset(str(folder / f"t{suffix}"), version(folder, None))
        return dataset.load().to_dict() if dataset.exists() else None

    return Written(save, load)


def cohort(state: int) -> Cohort:
    size = (100 + state, 100)
    slide = Slide("s1", Path("/slides/a.tif"), *size, 0.5, ((*size, 1.0),), "tifffile")
    return Cohort((SlidePair("s1", "c1", slide, None),), "manifest")


def failed(folder: Path, state: int) -> None:
    write_failures(folder, "step", [Outcome("s1", None, 0.0, "SlideError", f"reason {state}")])


def failures(folder: Path) -> Any:
    return list(read_failures(folder)["message"]) or None


def weights(state: int) -> dict[str, torch.Tensor]:
    return {"w": torch.full((40, 40), float(state)), "b": torch.arange(3.0)}


def checkpoint(folder: Path, state: int) -> None:
    epoch = state + 1
    checkpoints = CheckpointFolder(folder)
    checkpoints.save_best(epoch, weights(state))
    history = tuple({"epoch": float(n + 1)} for n in range(epoch))
    checkpoints.save(Progress(history, epoch, 0.5), {"module": weights(state)})


def resumed(folder: Path) -> Any:
    loaded = CheckpointFolder(folder).load()
    if loaded is None:
        return None
    best = CheckpointFolder(folder).load_best(loaded[0].best_epoch)
    return loaded[0].epoch, float(best["w"][0, 0]), float(loaded[1]["module"]["w"][0, 0])


def pyramid(folder: Path, state: int) -> None:
    def read(x0: int, y0: int, width_px: int, height_px: int) -> np.ndarray:
        return np.full((height_px, width_px, 3), 100 + 50 * state, np.uint8)

    write_pyramid(
        folder / "p.tif", read, width_px=900, height_px=600, mpp=0.5, tile_px=256, jpeg_quality=85
    )


def pixels(folder: Path) -> Any:
    if not (folder / "p.tif").exists():
        return None
    with tifffile.TiffFile(folder / "p.tif") as tif:
        return [int(page.asarray()[-1, -1, 0]) for page in tif.pages]


WRITTEN = {
    "json": of_dataset(lambda f: JSONDataset(filepath=str(f / "a.json")), lambda s: {"state": s}),
    "text": of_dataset(lambda f: TextDataset(filepath=str(f / "a.txt")), lambda s: f"{s}" * 99),
    "figure": of_dataset(lambda f: FigureDataset(filepath=str(f / "a.png")), figure, png_of),
    "interactive figure": of_dataset(
        lambda f: InteractiveFigureDataset(filepath=str(f / "a.json")),
        lambda s: go.Figure(go.Scatter(y=[s, 1])),
        lambda d: d.load().to_json(),
    ),
    "csv": of_dataset(
        lambda f: TableDataset(str(f / "t.csv"), stamp=["x"]), table, lambda d: d.load().to_dict()
    ),
    "parquet": of_dataset(
        lambda f: TableDataset(str(f / "t.parquet")), table, lambda d: d.load().to_dict()
    ),
    "versioned csv": versioned(".csv"),
    "versioned parquet": versioned(".parquet"),
    "cohort": of_dataset(
        lambda f: CohortDataset(str(f / "cohort.json")), cohort, lambda d: d.load().to_record()
    ),
    "failures": Written(failed, failures),
    "checkpoint": Written(checkpoint, resumed),
    "pyramid": Written(pyramid, pixels),
}


def writes(folder: Path, lasting: bool = True, every: int = 1) -> Iterator[FullDisk]:
    """Disks that fill up at the first, the second, ... write, until one is large enough."""
    for n in count(1, every):
        disk = FullDisk(folder / str(n), n, lasting)
        disk_folder = Path(disk.folder)
        disk_folder.mkdir()
        yield disk
        if not disk.met:
            return


def unfinished(folder: Path) -> list[Path]:
    return list(folder.rglob(f"{PREFIX}*"))


def reason(error: BaseException, folder: Path) -> None:
    """Check that the user reads one line: the file's folder, and what to do."""
    told = reason_for_user(error)
    assert told is not None
    assert re.match(rf"no space left to write \S+ in {folder}\S*; free some space and run", told)
    assert "\n" not in told


@pytest.mark.parametrize("lasting", [True, False], ids=["lasting", "passing"])
@pytest.mark.parametrize("before", [None, 0], ids=["new", "replaced"])
@pytest.mark.parametrize("name", WRITTEN)
def test_a_full_disk_keeps_what_was_there(
    tmp_path: Path, name: str, before: int | None, lasting: bool
) -> None:
    written, states = WRITTEN[name], []
    for state in (0, 1):
        (tmp_path / f"state{state}").mkdir()
        written.write(tmp_path / f"state{state}", state)
        states.append(written.read(tmp_path / f"state{state}"))
    assert states[0] != states[1]
    old = None if before is None else states[before]
    for disk in writes(tmp_path, lasting):
        folder = Path(disk.folder)
        if before is not None:
            written.write(folder, before)
        try:
            with full_disk(disk):
                written.write(folder, 1)
        except Exception as error:
            reason(error, folder)
            assert unfinished(folder) == []
            assert written.read(folder) in (old, states[1])
            if written.read(folder) == old:
                written.write(folder, 1)
        assert written.read(folder) == states[1]
    assert disk.n > 2  # pyarrow writes parquet itself, where only the rename is seen


@step(name="square", version=1)
def square(number: int) -> dict[str, Any]:
    return {"square": number**2, "filling": "x" * 500}


@pytest.mark.parametrize("lasting", [True, False], ids=["lasting", "passing"])
def test_a_full_disk_costs_slides_and_the_next_run_ends_equal(
    tmp_path: Path, lasting: bool
) -> None:
    tasks = {f"s{n}": partial(square, n) for n in range(3)}
    counts = []
    for disk in writes(tmp_path, lasting):
        folder = Path(disk.folder)
        steps = SlidePartitions(
            str(folder / "squares"), {"type": "json.JSONDataset"}, ".json", workers=0
        )
        try:
            with full_disk(disk):
                steps.save(tasks)
            counts.append(len(steps.load()))
            for message in read_failures(folder / "failures")["message"]:
                reason(DiskFullError(*message.split("; ", 1)), folder)
        except Exception as error:
            told = reason_for_user(error)
            assert told is not None
            assert "no space left to write" in told
            assert str(folder) in told
            assert "free some space and run again" in told
            assert not steps.exists()
            with pytest.raises(NotMadeYetError):
                steps.load()
        assert unfinished(folder) == []
        steps.save(tasks)
        assert [ref.load()["square"] for ref in steps.load().values()] == [0, 1, 4]
        assert read_failures(folder / "failures").empty
    assert counts[-1] == 3
    assert (2 in counts) is not lasting  # the others go on; later a full disk stops the index, too


@step(name="train", version=1)
def train(*, folder: Path, on_epoch: Callable[..., None]) -> dict[str, Any]:
    """Counts to three, as trainings do: checkpoints, then weights, a card, and no checkpoints."""
    if has_model(folder):
        return dict(json.loads((folder / CARD_FILE).read_text()))
    checkpoints = CheckpointFolder(folder / "checkpoints")
    loaded = checkpoints.load()
    progress = Progress() if loaded is None else loaded[0]
    for record in progress.history:
        on_epoch({"loss": 1 / record["epoch"]}, int(record["epoch"]))
    while progress.epoch < 3:
        epoch = progress.epoch + 1
        progress = Progress((*progress.history, {"epoch": float(epoch)}), epoch, 0.5)
        checkpoints.save_best(epoch, weights(epoch))
        checkpoints.save(progress, {"module": weights(epoch)})
        on_epoch({"loss": 1 / epoch}, epoch)
    write_weights(checkpoints.load_best(3), folder / "model.safetensors")
    write_text(folder / CARD_FILE, json.dumps({"best": 3}))
    checkpoints.remove()
    return dict(json.loads((folder / CARD_FILE).read_text()))


def test_a_training_that_met_a_full_disk_goes_on(tmp_path: Path) -> None:
    for disk in writes(tmp_path):
        folder = Path(disk.folder)
        model = TrainedModelDataset(str(folder / "model"))
        try:
            with full_disk(disk):
                model.save(partial(train))
        except Exception as error:
            reason(error, folder)
            assert not model.exists()
            assert unfinished(folder) == []
        model.save(partial(train))
        made = model.load().folder
        assert float(read_weights(made / "model.safetensors")["w"][0, 0]) == 3.0
        assert list(read_history(made)) == [(n, {"loss": 1 / n}) for n in (1, 2, 3)]
        assert not (made / "checkpoints").exists()
    assert disk.n > 20


def test_a_phantom_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_phantom(PhantomParams(n_slides=1, width_um=300, height_um=300))[0]
    for name in ("tissue_fields", "tissue_volume", "section_transform", "cut_section"):
        monkeypatch.setattr(phantom_pair, name, remembered(getattr(phantom_pair, name)))

    class Painter:
        def block(self, x0: int, y0: int, width_px: int, height_px: int) -> np.ndarray:
            return np.full((height_px, width_px, 3), 200, np.uint8)

    monkeypatch.setattr(phantom_pair, "section_painter", lambda *_: Painter())
    render = phantom_pair.render_pair
    whole = contents(render(plan, tmp_path / "whole").he_path.parent)
    for disk in writes(tmp_path, every=3):
        folder = Path(disk.folder)
        try:
            with full_disk(disk):
                render(plan, folder)
        except DiskFullError as error:
            reason(error, folder)
            made = contents(folder)
            assert made.items() <= whole.items()
            truth = {name for name in made if name.startswith("truth/")}
            assert truth in (set(), {name for name in whole if name.startswith("truth/")})
            render(plan, folder)
        assert contents(folder) == whole
    assert disk.n > 20


def remembered(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which is called once for each name among its arguments."""
    kept: dict[str, Any] = {}

    def call(*arguments: Any) -> Any:
        key = " ".join(each for each in arguments if isinstance(each, str))
        if key not in kept:
            kept[key] = function(*arguments)
        return kept[key]

    return call


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_tiled_copy_is_whole_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiled_copy, "STRIPPED_LIMIT_PX", 100_000)
    monkeypatch.setattr(tiled_copy, "SMALLEST_LEVEL_PX", 400)
    rgb = np.random.default_rng(1).integers(0, 255, (500, 700, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb", rowsperstrip=32)
    for disk in writes(tmp_path):
        folder = Path(disk.folder)
        try:
            with full_disk(disk):
                open_slide(tmp_path / "a.tif", slide_id="s1", mpp=0.5, pyramids=folder / "p")
        except SlideError as error:
            told = str(error)
            assert re.search(r"no tiled copy can be .*No space left.*make room there", told)
            assert contents(folder) == {}
        slide = open_slide(tmp_path / "a.tif", slide_id="s1", mpp=0.5, pyramids=folder / "p")
        assert np.array_equal(slide.read(0, 0, (700, 500), 0.5), rgb)
    assert disk.n > 5


def tissue(seed: int, second: list[float]) -> np.ndarray:
    """A stained section, 300 x 300 px; the same seed gives the same nuclei."""
    dots = np.random.default_rng(seed).random((300, 300)) < 0.01
    density = ndimage.gaussian_filter(dots.astype(float), 3)[..., None] * 40
    od = density * np.array([0.65, 0.7, 0.29]) + 0.15 * np.array(second)
    return np.clip(244 * 10**-od, 0, 255).astype(np.uint8)


def run(job: Job, slides: Path) -> None:
    """`data_processing` in this process, on the catalog of the project."""
    loader = OmegaConfigLoader(
        str(job.conf), env="test", base_env="base", default_run_env="test",
        runtime_params={"workers": 0},
    )  # fmt: skip
    catalog = DataCatalog.from_config(loader["catalog"], save_version=next(VERSIONS))
    params = {
        "cohort": CohortParams.model_validate(
            {"source": "manifest", "manifest": {"path": str(slides / "slides.csv")}}
        ),
        "tiles": TileParams(size_px=100, mpp=1.0, step_px=100),
        "tile_scores": TileScoreParams(),
        "tile_selection": TileSelectionParams(),
        "contact_sheet": ContactSheetParams(n_kept=1, n_rejected=1, thumb_px=32),
        "patches": PatchParams(size_px=50, mpp=1.0, step_px=50),
    }
    for name, value in params.items():
        catalog[f"params:{name}"] = MemoryDataset(value)
    SequentialRunner().run(create_pipeline(), catalog)


VERSIONS = (f"2026-01-01T00.00.00.{n:03}Z" for n in count())
TABLES = ("02_intermediate/tiles", "03_primary/tile_quality", "03_primary/patches")


def tables(job: Job) -> list[dict[str, Any]]:
    return [pd.read_parquet(job.newest(f"{name}.parquet")).to_dict("list") for name in TABLES]


def test_a_run_that_met_a_full_disk_is_continued(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for stain, second in (("he", [0.07, 0.99, 0.11]), ("ihc", [0.27, 0.57, 0.78])):
            image = tissue(ord(name), second)
            tifffile.imwrite(tmp_path / f"{name}_{stain}.tif", image, tile=(128, 128),
                             photometric="rgb")  # fmt: skip
    rows = [f"{name},{name}_he.tif,{name}_ihc.tif,1,1" for name in ("a", "b")]
    header = "slide_id,he_path,ihc_path,he_mpp,ihc_mpp"
    (tmp_path / "slides.csv").write_text("\n".join([header, *rows]))
    (tmp_path / "whole").mkdir()
    whole = Job.in_folder(tmp_path / "whole")
    run(whole, tmp_path)
    wanted = tables(whole)
    for disk in writes(tmp_path, every=11):
        job = Job.in_folder(Path(disk.folder))
        try:
            with full_disk(disk):
                run(job, tmp_path)
        except Exception as error:
            told = reason_for_user(error)
            assert told is not None
            assert "no space left to write" in told
            assert "free some space and run again" in told
            assert unfinished(job.data) == []
            run(job, tmp_path)
        assert tables(job) == wanted
        for sheet in (job.data / "08_reporting").glob("*.png"):
            Image.open(sheet).load()
    assert disk.n > 40
