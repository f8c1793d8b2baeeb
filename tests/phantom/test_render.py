import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile

from tumor_ratio.imaging.pyramid import write_pyramid
from tumor_ratio.phantom.fields import tissue_fields
from tumor_ratio.phantom.pair import PhantomFiles, render_pair
from tumor_ratio.phantom.plan import PhantomSlide
from tumor_ratio.phantom.render import SectionPainter, section_painter
from tumor_ratio.phantom.sections import cut_section, section_transform
from tumor_ratio.phantom.truth import truth_nuclei, truth_plan, truth_tumor_mask
from tumor_ratio.phantom.volume import tissue_volume

SECTIONS = ("he", "ihc")


def _digests(files: PhantomFiles) -> dict[str, str]:
    paths = [files.he_path, files.ihc_path, *sorted(files.truth_dir.iterdir())]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _painter(plan: PhantomSlide, section: str) -> SectionPainter:
    tissue = tissue_fields(plan)
    transform = section_transform(plan)
    volume = tissue_volume(plan, tissue)
    return section_painter(
        plan, tissue, cut_section(plan, tissue, volume, section, transform), transform
    )


def test_same_seed_same_bytes_whatever_the_block(
    small_plan: PhantomSlide, small_files: PhantomFiles, tmp_path: Path
) -> None:
    again = render_pair(small_plan, tmp_path, block_tiles=1)
    assert _digests(again) == _digests(small_files)


def test_another_seed_other_bytes(
    small_plan: PhantomSlide, small_files: PhantomFiles, tmp_path: Path
) -> None:
    other = render_pair(dataclasses.replace(small_plan, seed=small_plan.seed + 1), tmp_path)
    assert _digests(other)[other.he_path.name] != _digests(small_files)[other.he_path.name]


@pytest.mark.parametrize("section", SECTIONS)
def test_pixels_do_not_depend_on_order_or_block(small_plan: PhantomSlide, section: str) -> None:
    painter = _painter(small_plan, section)
    whole = painter.block(0, 0, small_plan.width_px, small_plan.height_px)
    for x0, y0, width, height in ((517, 301, 97, 113), (0, 64, 300, 31), (200, 200, 256, 256)):
        part = painter.block(x0, y0, width, height)
        assert np.array_equal(part, whole[y0 : y0 + height, x0 : x0 + width])


@pytest.mark.parametrize("section", SECTIONS)
def test_openslide_opens_the_pyramid(
    small_plan: PhantomSlide, small_files: PhantomFiles, section: str
) -> None:
    path = getattr(small_files, f"{section}_path")
    with openslide.OpenSlide(path) as slide:
        assert slide.level_count > 1
        assert slide.dimensions == (small_plan.width_px, small_plan.height_px)
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.5)
        assert slide.level_downsamples[1] == pytest.approx(2.0, rel=0.01)
        full = np.asarray(slide.read_region((128, 128), 0, (256, 256)).convert("RGB"), float)
        half = np.asarray(slide.read_region((128, 128), 1, (128, 128)).convert("RGB"), float)
    assert np.abs(full.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3)) - half).mean() < 6


def test_files_carry_pixels_and_pixel_size_only(
    small_plan: PhantomSlide, small_files: PhantomFiles
) -> None:
    allowed = {
        "NewSubfileType", "ImageWidth", "ImageLength", "BitsPerSample", "Compression",
        "PhotometricInterpretation", "SamplesPerPixel", "XResolution", "YResolution",
        "PlanarConfiguration", "ResolutionUnit", "TileWidth", "TileLength", "TileOffsets",
        "TileByteCounts", "SampleFormat", "YCbCrSubSampling", "ReferenceBlackWhite",
        "JPEGTables", "YCbCrPositioning",
    }  # fmt: skip
    for path in (small_files.he_path, small_files.ihc_path):
        assert path.stem in {f"{small_plan.slide_id}_he", f"{small_plan.slide_id}_ihc"}
        with tifffile.TiffFile(path) as tiff:
            for page in tiff.pages:
                assert {tag.name for tag in page.tags} <= allowed


def test_a_failure_leaves_no_file_under_its_name(tmp_path: Path) -> None:
    def broken(x0: int, y0: int, width_px: int, height_px: int) -> np.ndarray:
        if y0 > 0:
            raise OSError("power cut")
        return np.zeros((height_px, width_px, 3), np.uint8)

    path = tmp_path / "p01_he.tif"
    with pytest.raises(OSError, match="power cut"):
        write_pyramid(
            path, broken, width_px=600, height_px=600, mpp=0.5, tile_px=256, jpeg_quality=85
        )
    assert not path.exists()


def test_memory_is_bounded_by_blocks(tmp_path: Path) -> None:
    """No block asked for is larger than a strip's part, however large the slide."""
    asked = []

    def read(x0: int, y0: int, width_px: int, height_px: int) -> np.ndarray:
        asked.append((width_px, height_px))
        return np.zeros((height_px, width_px, 3), np.uint8)

    path = tmp_path / "wide.tif"
    write_pyramid(path, read, width_px=5000, height_px=700, mpp=0.25, tile_px=256, jpeg_quality=85)
    assert max(w for w, _ in asked) <= 512
    assert max(h for _, h in asked) <= 256
    with openslide.OpenSlide(path) as slide:
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.25)


def _optical_density(path: Path) -> np.ndarray:
    with openslide.OpenSlide(path) as slide:
        rgb = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"), float)
    return -np.log10(np.maximum(rgb, 1) / 245)


@pytest.mark.parametrize("section", SECTIONS)
def test_nuclei_lie_where_the_truth_says(small_files: PhantomFiles, section: str) -> None:
    od = _optical_density(getattr(small_files, f"{section}_path"))
    table = truth_nuclei(small_files.truth_dir, section)
    clear = table[(table["chord_um"] > 2.5) & (table["area_um2"] > 20)]
    rows, columns = clear["y_px"].astype(int), clear["x_px"].astype(int)
    inside = (rows < od.shape[0]) & (columns < od.shape[1]) & (rows >= 0) & (columns >= 0)
    red = od[rows[inside], columns[inside], 0]
    tissue = od[..., 1] > 0.05
    assert np.median(red) > 2.5 * np.median(od[..., 0][tissue])
    assert (red > np.quantile(od[..., 0][tissue], 0.6)).mean() > 0.9


def test_positive_nuclei_are_brown_and_negative_ones_blue(small_files: PhantomFiles) -> None:
    od = _optical_density(small_files.ihc_path)
    table = truth_nuclei(small_files.truth_dir, "ihc")
    table = table[(table["chord_um"] > 2.5) & (table["area_um2"] > 20)]
    table = table[(table["x_px"] < od.shape[1]) & (table["y_px"] < od.shape[0])]
    table = table[(table["x_px"] >= 0) & (table["y_px"] >= 0)]
    at = od[table["y_px"].astype(int), table["x_px"].astype(int)]
    brown = at[:, 2] - at[:, 0]
    strong = (table["dab"] > 0.4).to_numpy()
    assert np.median(brown[strong]) > 0.15 > 0.0 > np.median(brown[~table["positive"].to_numpy()])


def test_transform_joins_the_two_truths(
    small_plan: PhantomSlide, small_files: PhantomFiles
) -> None:
    he, ihc = (truth_nuclei(small_files.truth_dir, section) for section in SECTIONS)
    assert np.array_equal(he[["x_px", "y_px"]], he[["x_he_px", "y_he_px"]])
    moved = small_files.transform.forward(ihc[["x_he_px", "y_he_px"]].to_numpy() * small_plan.mpp)
    assert np.allclose(moved / small_plan.mpp, ihc[["x_px", "y_px"]], atol=1e-6)
    assert np.abs(moved / small_plan.mpp - ihc[["x_he_px", "y_he_px"]]).to_numpy().max() > 2


def test_truth_names_its_sections_and_plan(
    small_plan: PhantomSlide, small_files: PhantomFiles
) -> None:
    with pytest.raises(ValueError, match="section is one of"):
        truth_nuclei(small_files.truth_dir, "pas")
    assert truth_plan(small_files.truth_dir) == small_plan
    share, step_um = truth_tumor_mask(small_files.truth_dir)
    assert share.shape[1] * step_um >= small_plan.width_um
    assert 0 <= share.min() <= share.max() <= 1
