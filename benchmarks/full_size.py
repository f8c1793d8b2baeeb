"""One pair of the study's size: tiling, white cleaning, similarity, against reading every tile.

The pair is half tissue: a rendered field of 1 mm2 is repeated, as the JPEG tiles it was written in.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import resource
import signal
import statistics
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.cohort.tile_scores import TileScoreParams, score_pair_tiles
from tumor_ratio.cohort.tiles import TileParams, tiles_of_pair
from tumor_ratio.cohort.white_rule import WhiteLimits
from tumor_ratio.datasets.cluster import run_tasks_on
from tumor_ratio.datasets.dask_host import close_embedded
from tumor_ratio.datasets.workers import Task, run_tasks
from tumor_ratio.imaging.regions import regions_table
from tumor_ratio.imaging.slide import Slide, open_slide
from tumor_ratio.imaging.transform import Transform
from tumor_ratio.phantom.pair import render_pair
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.phantom.plan import plan_phantom
from tumor_ratio.processes import own_threads

WIDTH_PX, HEIGHT_PX = 31104, 31938
MPP = 0.25
FIELD_PX = 4096
TILE_PX = 256
LEVELS = 4
"""As many as the field has."""
TISSUE_SHARE = 0.5
GRID = TileParams(size_px=4096, mpp=MPP, step_px=3696, edge="drop")
SCORES = TileScoreParams(ssim_mpp=MPP)
WHITE = WhiteLimits()


def make_pair(folder: Path) -> SlidePair:
    """A registered pair of the study's size in `folder`; made once, found again afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {section: folder / f"full_{section}.tif" for section in ("he", "ihc")}
    if not all(path.is_file() for path in paths.values()):
        plan = plan_phantom(
            PhantomParams(n_slides=1, width_um=FIELD_PX * MPP, height_um=FIELD_PX * MPP, mpp=MPP)
        )[0]
        registered = dataclasses.replace(
            plan,
            tissue_share=1.0,
            rotation_deg=0.0,
            scale=1.0,
            shift_x_um=0.0,
            shift_y_um=0.0,
            displacement_um=0.0,
        )
        start = time.perf_counter()
        files = render_pair(registered, folder / "field")
        seconds = time.perf_counter() - start
        print(f"rendering, one process: {2 * FIELD_PX**2 / 1e6 / seconds:.1f} Mpx/s", flush=True)
        _repeat(files.he_path, paths["he"])
        _repeat(files.ihc_path, paths["ihc"])
    he, ihc = (open_slide(paths[name], slide_id="full", mpp=MPP) for name in ("he", "ihc"))
    return SlidePair("full", "full", he, ihc, Transform.identity())


def _repeat(field: Path, target: Path) -> None:
    """Write a slide of repeated fields: its left half, the rest glass."""
    partial = target.with_name(f".{target.name}.partial")
    with tifffile.TiffFile(field) as source, tifffile.TiffWriter(partial, bigtiff=True) as writer:
        for level in range(LEVELS):
            page = source.pages[level]
            assert page.is_tiled
            width, height = WIDTH_PX >> level, HEIGHT_PX >> level
            writer.write(
                _tiles(source, page, width, height, level),
                shape=(height, width, 3),
                dtype=np.uint8,
                photometric="ycbcr",
                subsampling=(2, 2),
                tile=(TILE_PX, TILE_PX),
                compression="jpeg",
                subfiletype=1 if level else 0,
                resolution=(1e4 / (MPP * 2**level),) * 2,
                resolutionunit="CENTIMETER",
                metadata=None,
                jpegtables=page.jpegtables,
            )
    partial.replace(target)


def _tiles(source, page, width: int, height: int, level: int) -> Iterator[bytes]:  # type: ignore[no-untyped-def]
    import imagecodecs

    side = FIELD_PX // TILE_PX >> level
    handle = source.filehandle
    encoded = []
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        handle.seek(offset)
        encoded.append(handle.read(count))
    white = imagecodecs.jpeg8_encode(
        np.full((TILE_PX, TILE_PX, 3), 244, np.uint8), level=85, subsampling="420"
    )
    across, down = -(-width // TILE_PX), -(-height // TILE_PX)
    for row, column in itertools.product(range(down), range(across)):
        in_tissue = column < TISSUE_SHARE * across
        yield encoded[row % side * side + column % side] if in_tissue else white


def ours(pair: SlidePair) -> pd.DataFrame:
    return score_pair_tiles(pair, regions_table(tiles_of_pair(pair, GRID)), SCORES, WHITE)


def decode(pair: SlidePair, kept: pd.DataFrame) -> None:
    """Merely decode the file's tiles under the surviving tiles, each once, by as many threads."""
    for slide in (pair.he, pair.ihc):
        assert slide is not None
        with tifffile.TiffFile(slide.path) as file:
            page = file.pages[0]
            assert isinstance(page, tifffile.TiffPage)
            decoder = page.decode  # its first mention reads from the file
            across = -(-page.imagewidth // TILE_PX)
            columns, rows = (_under(kept[axis]) for axis in ("x_px", "y_px"))
            lock = threading.Lock()

            def one(index: int, page=page, decoder=decoder, lock=lock) -> None:  # type: ignore[no-untyped-def]
                with lock:
                    page.parent.filehandle.seek(page.dataoffsets[index])
                    data = page.parent.filehandle.read(page.databytecounts[index])
                decoder(data, index, jpegtables=page.jpegtables)

            with ThreadPoolExecutor(own_threads()) as pool:
                wanted = [row * across + column for row in rows for column in columns]
                deque(pool.map(one, wanted), maxlen=0)


def _under(starts: pd.Series[int]) -> list[int]:
    """Numbers of the file's rows or columns of tiles under squares that start there."""
    return sorted(
        {n for start in starts for n in range(start // TILE_PX, (start + 4095) // TILE_PX + 1)}
    )


def straightforward(pair: SlidePair, kept: pd.DataFrame) -> dict[str, float]:
    """Read each tile at level 0 with OpenSlide, clean white, then scikit-image's SSIM."""
    import openslide
    from skimage.metrics import structural_similarity

    assert pair.he is not None
    assert pair.ihc is not None
    slides = [openslide.OpenSlide(slide.path) for slide in (pair.he, pair.ihc)]
    found = {}
    tiles = {tile.region_id: tile for tile in tiles_of_pair(pair, GRID)}
    for tile in tiles.values():
        rgb = [
            np.asarray(slide.read_region((tile.x_px, tile.y_px), 0, (4096, 4096)).convert("RGB"))
            for slide in slides
        ]
        white = [(image >= 225).all(axis=2).mean() for image in rgb]
        if white[0] <= 0.4 and white[1] <= 0.6 and tile.region_id in set(kept["region_id"]):
            found[tile.region_id] = float(structural_similarity(*rgb, channel_axis=2))
    return found


def score_one(folder: Path) -> float:
    """Ours, in a worker; peak memory of its process so far, MB."""
    ours(make_pair(folder))
    return peak_mb()


def several(folder: Path, count: int) -> tuple[float, float]:
    """Seconds of `count` pairs by one worker process, one after the other, and its peak memory."""
    tasks: dict[str, Task] = {f"pair {index}": (score_one, (folder,)) for index in range(count)}
    start = time.perf_counter()
    peaks = [float(outcome.value) for outcome in run_tasks(tasks, workers=1)]
    return time.perf_counter() - start, max(peaks)


def score_one_alone(folder: Path, pid_file: Path) -> float:
    """Ours with one thread, in a worker that says which process it is."""
    os.environ["OMP_NUM_THREADS"] = "1"
    pid_file.write_text(str(os.getpid()))
    return score_one(folder)


def on_dask(folder: Path, workers: int, count: int, *, kill: bool = False) -> float:
    """Seconds of `count` pairs on a Dask cluster; one worker can be killed amid its first pair."""
    with tempfile.TemporaryDirectory() as notes:
        files = [Path(notes) / str(index) for index in range(count)]
        tasks: dict[str, Task] = {f"pair {f.name}": (score_one_alone, (folder, f)) for f in files}
        if kill:
            threading.Thread(target=_kill, args=(files[0],), daemon=True).start()
        start = time.perf_counter()
        outcomes = list(run_tasks_on("dask", tasks, workers, (len, ())))
        seconds = time.perf_counter() - start
        assert sorted(outcome.name for outcome in outcomes) == sorted(tasks), outcomes
        assert not any(outcome.failed for outcome in outcomes), outcomes
    return seconds


def _kill(pid_file: Path) -> None:
    while not (pid_file.exists() and pid_file.read_text()):
        time.sleep(0.05)
    time.sleep(2)
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    print("a worker has been killed", flush=True)


def timed(*functions: Callable[[], object], repeats: int = 5) -> list[float]:
    """Median seconds of each function, run in turn."""
    seconds: list[list[float]] = [[] for _ in functions]
    for _, (index, function) in itertools.product(range(repeats), enumerate(functions)):
        start = time.perf_counter()
        function()
        seconds[index].append(time.perf_counter() - start)
    return [statistics.median(found) for found in seconds]


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(folder: Path, pairs: int = 8) -> None:
    """Measure, and print ratios. `folder` keeps the pair; it takes 250 MB."""
    pair = make_pair(folder)
    assert isinstance(pair.he, Slide)
    print(f"pair of {pair.he.width_px} x {pair.he.height_px} px, reader {pair.he.reader}")
    start = time.perf_counter()
    table = ours(pair)
    first = time.perf_counter() - start
    tiles = regions_table(tiles_of_pair(pair, GRID))
    kept = tiles[table["ssim_rgb"].notna().to_numpy()]
    after_ours = peak_mb()
    mine, plain_decode = timed(lambda: ours(pair), lambda: decode(pair, kept))
    print(f"{len(tiles)} tiles, {len(kept)} pass white cleaning")
    print(f"ours {mine:.1f} s (first time {first:.1f} s), peak memory {after_ours:.0f} MB")
    times = mine / plain_decode
    print(f"tifffile decoding the same tiles alone {plain_decode:.1f} s: {times:.2f} x that")
    several(folder, 1)  # the worker's start and imports
    (one, one_mb), (more, more_mb) = several(folder, 1), several(folder, pairs)
    print(f"{pairs} pairs take {more / one:.2f} x the time of one ({more:.1f} s, {one:.1f} s)")
    print(f"peak memory of the worker: {one_mb:.0f} MB after two, {more_mb:.0f} MB after the last")
    on_dask(folder, 2, 2)  # the workers' start and imports
    two = on_dask(folder, 2, 4)
    killed = on_dask(folder, 2, 4, kill=True)
    on_dask(folder, 1, 1)
    one = on_dask(folder, 1, 4)
    close_embedded()
    print(f"4 pairs on two Dask workers of one thread: {one / two:.2f} x one worker's speed")
    print(f"with a worker killed: {killed:.1f} s instead of {two:.1f} s, no pair lost")
    start = time.perf_counter()
    expected = straightforward(pair, kept)
    plain = time.perf_counter() - start
    found = table.set_index("region_id")["ssim_rgb"]
    worst = max(abs(found[region] - value) for region, value in expected.items())
    print(f"straightforward {plain:.1f} s: ours is {plain / mine:.1f} x as fast")
    print(f"largest difference of SSIM over {len(expected)} tiles: {worst:.2e}")
