import numpy as np
import pytest

from tumor_ratio.imaging.feature_selection import FeatureSelection
from tumor_ratio.imaging.pixel_features import pixel_features
from tumor_ratio.models.forest_fit import fit_forest
from tumor_ratio.models.pixel_classifier import classify_pixels, classify_region
from tumor_ratio.models.pixel_forest import PixelForest

SELECTION = FeatureSelection.default()


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Dark discs on a light ground, noisy."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:90, :140]
    discs = ((y % 45 - 22) ** 2 + (x % 35 - 17) ** 2) < 100
    noisy = np.where(discs, 90, 200)[..., None] + rng.normal(0, 30, (90, 140, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def forest(image) -> PixelForest:
    y, x = np.mgrid[:90, :140]
    discs = ((y % 45 - 22) ** 2 + (x % 35 - 17) ** 2) < 100
    seen = (slice(0, 45), slice(0, 70))
    features = pixel_features(image, SELECTION)[seen].reshape(-1, SELECTION.n_features(3))
    labels = discs[seen].ravel().astype(np.int64)
    return fit_forest(features, labels, n_classes=2, seed=0, n_trees=30).forest


def test_pixels_that_were_not_labelled_are_recognised(image, forest) -> None:
    y, x = np.mgrid[:90, :140]
    discs = ((y % 45 - 22) ** 2 + (x % 35 - 17) ** 2) < 100
    found = classify_pixels(image, SELECTION, forest)
    assert found.dtype == np.float32
    assert found.sum(axis=-1) == pytest.approx(np.ones(discs.shape), abs=1e-6)
    unseen = (slice(45, None), slice(70, None))
    assert (found.argmax(axis=-1) == discs)[unseen].mean() > 0.97


@pytest.mark.parametrize(("block_px", "threads"), [(33, 1), (64, 3), (1000, 2)])
def test_blocks_and_threads_change_nothing(image, forest, block_px, threads) -> None:
    features = pixel_features(image, SELECTION).reshape(-1, SELECTION.n_features(3))
    expected = forest.predict_proba(features).reshape(*image.shape[:2], 2)
    found = classify_pixels(image, SELECTION, forest, block_px=block_px, threads=threads)
    np.testing.assert_array_equal(found, expected)


def test_a_region_is_classified_as_in_the_whole_and_reads_no_more_than_it_needs(
    image, forest
) -> None:
    whole = classify_pixels(image, SELECTION, forest)
    reads = []

    def read(top: int, left: int, bottom: int, right: int) -> np.ndarray:
        assert 0 <= top < bottom <= 90
        assert 0 <= left < right <= 140
        reads.append((bottom - top, right - left))
        return image[top:bottom, left:right]

    steps = []
    box = (20, 60, 90, 140)
    found = list(
        classify_region(
            read,
            (90, 140),
            box,
            SELECTION,
            forest,
            block_px=16,
            on_progress=lambda done, total: steps.append((done, total)),
        )
    )
    for each in found:
        block = each.block
        np.testing.assert_array_equal(
            each.shares, whole[block.top : block.bottom, block.left : block.right]
        )
    assert sum(each.shares[..., 0].size for each in found) == 70 * 80
    assert steps == [(index, len(found)) for index in range(1, len(found) + 1)]
    assert max(max(sides) for sides in reads) <= 16 + 2 * 38


def test_blocks_are_read_as_they_are_asked_for(image, forest) -> None:
    reads = []

    def read(top: int, left: int, bottom: int, right: int) -> np.ndarray:
        reads.append(top)
        return image[top:bottom, left:right]

    found = classify_region(
        read, (90, 140), (0, 0, 90, 140), SELECTION, forest, block_px=8, threads=2
    )
    next(found)
    found.close()
    assert len(reads) <= 4


def test_a_failed_read_is_raised_where_blocks_are_asked_for(forest) -> None:
    def read(*box: int) -> np.ndarray:
        raise OSError("the file is damaged")

    with pytest.raises(OSError, match="damaged"):
        list(classify_region(read, (90, 140), (0, 0, 90, 140), SELECTION, forest))


def test_bad_input_is_refused(image, forest) -> None:
    with pytest.raises(ValueError, match=r"49 features of 1 channel.*trained on 147"):
        classify_pixels(image[..., :1], SELECTION, forest)
    with pytest.raises(ValueError, match=r"expected an .H, W, C. image"):
        classify_pixels(image[..., 0], SELECTION, forest)

    def region(read, box=(0, 0, 10, 10)) -> None:
        list(classify_region(read, (90, 140), box, SELECTION, forest))

    with pytest.raises(ValueError, match="leaves the image of 90 x 140 px"):
        region(None, box=(0, 0, 91, 10))
    with pytest.raises(ValueError, match=r"expected 50 x 54 px, got \(9, 9, 3\)"):
        region(lambda *box: np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(ValueError, match="expected 3 channels, got 1"):
        region(lambda t, l, b, r: np.zeros((b - t, r - l, 1), np.uint8))
    with pytest.raises(ValueError, match="uint8 or float32 pixels, got int64"):
        region(lambda t, l, b, r: np.zeros((b - t, r - l, 3), np.int64))
