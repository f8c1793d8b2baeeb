import socket
import urllib.request

import numpy as np
import pytest

from tumor_ratio.errors import ModelUnavailableError
from tumor_ratio.models.segmentation_blocks import blocks_over
from tumor_ratio.models.segmenter import (
    FLUORESCENCE,
    SHIPPED_FOLDER,
    locate_segmenter,
    model_folder,
)


def test_the_shipped_model_is_small_and_whole():
    reference = locate_segmenter("shipped")
    assert len(reference.digest) == 16
    assert sum(file.stat().st_size for file in SHIPPED_FOLDER.iterdir()) < 4_000_000
    assert {"card.json", "config.json", "thresholds.json"} <= {
        file.name for file in SHIPPED_FOLDER.iterdir()
    }


def test_the_fingerprint_is_of_the_content_not_the_place(tmp_path):
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for file in SHIPPED_FOLDER.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    same = locate_segmenter(str(copy))
    assert same.__fingerprint__() == locate_segmenter("shipped").__fingerprint__()
    (copy / "thresholds.json").write_text('{"prob": 0.9, "nms": 0.3}')
    assert locate_segmenter(str(copy)).digest != same.digest


def test_a_missing_folder_names_the_choices(tmp_path):
    with pytest.raises(ModelUnavailableError, match=r"no such folder.*nuclei_model\.choice"):
        locate_segmenter(str(tmp_path / "nothing"))


def test_an_incomplete_folder_names_what_is_missing(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelUnavailableError, match=r"lacks thresholds\.json"):
        locate_segmenter(str(tmp_path))
    (tmp_path / "thresholds.json").write_text("{}")
    with pytest.raises(ModelUnavailableError, match="no weights"):
        locate_segmenter(str(tmp_path))


def test_without_network_the_download_fails_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TUMOR_RATIO_CACHE", str(tmp_path))

    def unreachable(*args, **kwargs):
        raise socket.gaierror("no network")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(ModelUnavailableError, match=r"cannot be downloaded.*folder's path"):
        locate_segmenter(FLUORESCENCE)


def test_a_damaged_download_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("TUMOR_RATIO_CACHE", str(tmp_path))
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(b"not the model")
    real = urllib.request.urlopen
    monkeypatch.setattr(
        urllib.request, "urlopen", lambda address, timeout: real(damaged.as_uri(), timeout=timeout)
    )
    with pytest.raises(ModelUnavailableError, match="damaged"):
        locate_segmenter(FLUORESCENCE)
    assert not (tmp_path / "stardist").exists()


def test_a_cached_download_needs_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("TUMOR_RATIO_CACHE", str(tmp_path))
    folder = tmp_path / "stardist" / FLUORESCENCE
    folder.mkdir(parents=True)
    for name in ("config.json", "thresholds.json", "weights_best.h5"):
        (folder / name).write_text("{}")
    assert model_folder(FLUORESCENCE) == folder


def test_blocks_cover_boxes_once_and_lie_on_the_lattice():
    boxes = np.array([[10, 20, 700, 350], [600, 300, 1500, 900], [3000, 3000, 3005, 3005.5]])
    blocks = blocks_over(boxes, block_px=512, margin_px=72, stride_px=8)
    covered = np.zeros((3100, 3100), dtype=int)
    for block in blocks:
        covered[block.top : block.bottom, block.left : block.right] += 1
        assert all(edge % 8 == 0 for edge in (block.left, block.top, *block.read_box))
        assert max(block.read_box[2:]) <= 512
    assert covered.max() == 1
    for left, top, right, bottom in boxes.astype(int):
        assert (covered[top:bottom, left:right] == 1).all()


def test_blocks_smaller_than_their_margins_are_refused():
    with pytest.raises(ValueError, match="leave nothing inside"):
        blocks_over(np.array([[0, 0, 9, 9]]), block_px=128, margin_px=64, stride_px=8)
    assert blocks_over(np.zeros((0, 4)), block_px=512, margin_px=64, stride_px=8) == []


@pytest.mark.parametrize("extent_px", [(1760, 1760), (5000, 900), (100, 3), (1024, 1025)])
def test_blocks_of_a_slide_are_few_and_even_and_end_where_it_ends(extent_px):
    width, height = extent_px
    boxes = np.array([[0, 0, width, height]])
    blocks = blocks_over(boxes, block_px=1024, margin_px=128, stride_px=16, extent_px=extent_px)
    covered = np.zeros((height, width), dtype=int)
    for block in blocks:
        covered[block.top : block.bottom, block.left : block.right] += 1
        x, y, read_width, read_height = block.read_box
        assert min(x, y) >= -16
        assert x + read_width <= width + 16
        assert y + read_height <= height + 16
        assert x in (-16, block.left - 128)
        assert x + read_width in (width + 16, block.right + 128)
        assert max(read_width, read_height) <= 1024
    assert (covered == 1).all()
    largest = max(block.right - block.left for block in blocks)
    assert largest - width / len({block.left for block in blocks}) < 16


def test_the_lattice_is_the_slides_and_not_the_boxes():
    options = {"block_px": 512, "margin_px": 64, "stride_px": 16, "extent_px": (2000, 2000)}
    everything = blocks_over(np.array([[0, 0, 2000, 2000]]), **options)
    edges = {block.left for block in everything} | {block.right for block in everything}
    inner = blocks_over(np.array([[300, 300, 1900, 1900]]), **options)
    assert {block.left for block in inner} - {288} <= edges
    assert {block.right for block in inner} - {1904} <= edges
