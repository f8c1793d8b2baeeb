import math

import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import structural_similarity

from tumor_ratio.imaging.similarity import ssim_rgb, structure_score

H, E, DAB = np.array([0.65, 0.7, 0.29]), np.array([0.07, 0.99, 0.11]), np.array([0.27, 0.57, 0.78])


def cells(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """Positions (N, 2) of nuclei, denser in some parts, as in tissue; pixels of 2 um."""
    field = ndimage.gaussian_filter(rng.normal(size=(size, size)), 12)
    weights = np.exp(field / field.std()).ravel()
    index = rng.choice(size * size, 3000, p=weights / weights.sum())
    return np.stack(np.divmod(index, size), axis=1)


def painted(rng, nuclei: np.ndarray, second: np.ndarray, share: float, counter: float, size=256):
    """A section in which `share` of the nuclei carry the second stain (H&E: all tissue does)."""
    dots = np.zeros((2, size, size))
    positive = rng.random(len(nuclei)) < share
    for plane, chosen in enumerate((~positive, positive)):
        np.add.at(dots[plane], tuple(nuclei[chosen].T), 1.0)
    dots = ndimage.gaussian_filter(dots, (0, 1.5, 1.5)) * 12
    od = dots[0][..., None] * H * 0.5 + dots[1][..., None] * second * 0.5 + counter * second
    rgb = 245 * 10**-od + rng.normal(0, 2, od.shape)
    return np.clip(rgb, 0, 255).astype(np.uint8)


@pytest.fixture
def neighbours(rng):
    nuclei = cells(rng)
    jitter = rng.normal(0, 2, nuclei.shape).round().astype(int)
    next_nuclei = np.clip(nuclei + jitter, 0, 255)[rng.random(len(nuclei)) < 0.7]
    he = painted(rng, nuclei, E, 0.0, 0.2)
    ihc = painted(rng, next_nuclei, DAB, 0.25, 0.02)
    return he, ihc


@pytest.mark.parametrize("shape", [(7, 7), (31, 64), (200, 90)])
@pytest.mark.parametrize("noise", [0.0, 12.0, 90.0])
def test_ssim_equals_scikit_image(rng, shape, noise) -> None:
    first = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    second = np.clip(first + rng.normal(0, noise, first.shape), 0, 255).astype(np.uint8)
    expected = structural_similarity(first, second, channel_axis=2)
    assert ssim_rgb(first, second) == pytest.approx(expected, abs=1e-9)


def test_ssim_of_flat_and_strided_images(rng) -> None:
    black, white = np.zeros((40, 40, 3), np.uint8), np.full((40, 40, 3), 255, np.uint8)
    assert ssim_rgb(black, black) == 1.0
    expected = structural_similarity(black, white, channel_axis=2)
    assert ssim_rgb(black, white) == pytest.approx(expected, abs=1e-9)
    view = rng.integers(0, 256, (80, 80, 3), dtype=np.uint8)[::2, ::-2]
    assert ssim_rgb(view, view) == pytest.approx(1.0)


def test_ssim_is_symmetric(rng) -> None:
    first, second = (rng.integers(0, 256, (50, 60, 3), dtype=np.uint8) for _ in range(2))
    assert ssim_rgb(first, second) == pytest.approx(ssim_rgb(second, first), abs=1e-12)


def test_wrong_images_are_refused(rng) -> None:
    image = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="differ in shape"):
        ssim_rgb(image, image[:10])
    with pytest.raises(ValueError, match="at least 7 px"):
        ssim_rgb(image[:6], image[:6])
    with pytest.raises(ValueError, match="uint8"):
        structure_score(image.astype(float), image, 2.0)


def test_neighbours_agree_across_stains(neighbours) -> None:
    he, ihc = neighbours
    assert structure_score(he, ihc, 2.0) > 0.7


def test_a_wrong_a_shifted_and_a_mirrored_partner_do_not(rng, neighbours) -> None:
    he, ihc = neighbours
    stranger = painted(rng, cells(rng), DAB, 0.25, 0.02)
    assert abs(structure_score(he, stranger, 2.0)) < 0.35
    assert structure_score(he, np.roll(ihc, 60, axis=1), 2.0) < 0.3
    assert structure_score(he, ihc[:, ::-1], 2.0) < 0.35


def test_the_score_falls_with_the_shift(neighbours) -> None:
    he, ihc = neighbours
    scores = [structure_score(he, np.roll(ihc, shift, axis=0), 2.0) for shift in (0, 6, 15, 40)]
    assert scores == sorted(scores, reverse=True)


def test_positivity_hardly_matters(rng) -> None:
    nuclei = cells(rng)
    he = painted(rng, nuclei, E, 0.0, 0.2)
    scores = [
        structure_score(he, painted(rng, nuclei, DAB, share, 0.02), 2.0) for share in (0.0, 0.9)
    ]
    assert min(scores) > 0.8


def test_a_shared_tissue_edge_alone_is_no_structure(rng) -> None:
    glass = np.zeros((256, 256), bool)
    glass[:, :128] = True
    tiles = []
    for second, counter in ((E, 0.2), (DAB, 0.02)):
        tile = painted(rng, cells(rng), second, 0.0, counter)
        tile[glass] = 243
        tiles.append(tile)
    assert structure_score(*tiles, 2.0) < 0.4
    assert ssim_rgb(*tiles) > 0.4  # the trap of SSIM across stains


def test_the_background_is_coarser_than_the_blur(neighbours) -> None:
    with pytest.raises(ValueError, match="coarser than the blur"):
        structure_score(*neighbours, 2.0, blur_um=20.0, background_um=20.0)


def test_blank_is_undefined_and_not_alike(rng, neighbours) -> None:
    he, ihc = neighbours
    blank = np.clip(rng.normal(243, 2, he.shape), 0, 255).astype(np.uint8)
    for pair in ((blank, blank[::-1]), (he, blank), (blank, ihc)):
        assert math.isnan(structure_score(*pair, 2.0))
    white = np.full_like(he, 255)
    assert math.isnan(structure_score(white, white, 2.0))
    assert ssim_rgb(blank, blank[::-1]) > structural_similarity(he, ihc, channel_axis=2)


def test_bounds_and_symmetry(neighbours) -> None:
    he, ihc = neighbours
    assert structure_score(he, he, 2.0) == pytest.approx(1.0)
    assert structure_score(he, ihc, 2.0) == pytest.approx(structure_score(ihc, he, 2.0))
    assert structure_score(255 - he, he, 2.0) >= -1.0
