import numpy as np
import pytest
from scipy import ndimage

from tumor_ratio.phantom.labelled import labelled_tile


@pytest.mark.parametrize("stain", ["he", "ihc"])
def test_labels_mark_the_dark_nuclei(stain: str) -> None:
    inside, outside, counts = [], [], []
    for seed in range(6):
        rgb, labels = labelled_tile(seed, stain, size_px=192)
        assert rgb.shape == (192, 192, 3)
        assert rgb.dtype == np.uint8
        assert labels.shape == (192, 192)
        assert labels.dtype == np.int32
        counts.append(labels.max())
        inside.append(rgb[..., 0][labels > 0].mean())
        outside.append(rgb[..., 0][labels == 0].mean())
    assert np.mean(inside) < np.mean(outside) - 50
    assert min(counts) > 5


def test_labels_are_numbered_without_gaps_and_mostly_in_one_piece() -> None:
    _, labels = labelled_tile(3, "he", size_px=256)
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    pieces = [ndimage.label(labels == n)[1] for n in range(1, labels.max() + 1)]
    assert np.mean(np.array(pieces) == 1) > 0.9


def test_tiles_repeat_and_differ() -> None:
    first, again, other = (labelled_tile(seed, "ihc", size_px=64) for seed in (1, 1, 2))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_pixel_size_sets_the_nuclei_size() -> None:
    areas = []
    for mpp in (0.25, 0.5, 1.0):
        _, labels = labelled_tile(5, "he", size_px=round(96 / mpp), mpp=mpp)
        areas.append(np.median(np.bincount(labels.ravel())[1:]) * mpp**2)
    assert areas == pytest.approx([areas[1]] * 3, rel=0.5)


def test_an_unknown_stain_is_refused() -> None:
    with pytest.raises(ValueError, match="stain is 'he' or 'ihc'"):
        labelled_tile(0, "pas")
