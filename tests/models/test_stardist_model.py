import numpy as np
import pytest
from scipy.spatial import cKDTree

from tumor_ratio.errors import ModelUnavailableError
from tumor_ratio.models.segmentation_blocks import segment_blocks
from tumor_ratio.models.segmenter import SHIPPED_FOLDER, open_segmenter
from tumor_ratio.models.stardist_model import is_blank

from .drawn_nuclei import DAB, HEMATOXYLIN, draw_section


@pytest.fixture(scope="module")
def segmenter():
    return open_segmenter("shipped")


def glass(height: int, width: int, noise: float = 3.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (245 - np.abs(rng.normal(0, noise, (height, width, 3)))).astype(np.uint8)


def found_share(found, section) -> float:
    """Share of the drawn nuclei that a found one overlaps with an IoU of at least 0.5."""
    hits = 0
    for label in range(1, section.labels.max() + 1):
        drawn = section.labels == label
        inside = found.labels[drawn]
        candidate = np.bincount(inside).argmax() if inside.size else 0
        if candidate:
            other = found.labels == candidate
            hits += (drawn & other).sum() / (drawn | other).sum() >= 0.5
    return hits / section.labels.max()


def test_drawn_nuclei_are_found_in_their_place(segmenter):
    section = draw_section(np.random.default_rng(1), side_px=256)
    found = segmenter.segment(section.rgb, "ihc")
    assert found_share(found, section) > 0.85
    assert len(found) == pytest.approx(len(section.nuclei), rel=0.15)
    assert ((found.score > 0) & (found.score <= 1)).all()


def test_drawn_nuclei_are_found_with_their_area(segmenter):
    section = draw_section(np.random.default_rng(1), side_px=256)
    found = segmenter.segment(section.rgb, "ihc")
    assert found.area_px.sum() == pytest.approx(section.nuclei["area_px"].sum(), rel=0.25)


def test_the_labels_are_numbered_like_the_columns(segmenter):
    found = segmenter.segment(draw_section(np.random.default_rng(2), side_px=192).rgb, "ihc")
    assert found.labels.dtype == np.int32
    assert np.unique(found.labels).tolist() == list(range(len(found) + 1))
    for index in range(len(found)):
        rows, columns = np.nonzero(found.labels == index + 1)
        assert found.area_px[index] == len(rows)
        assert found.x_px[index] == pytest.approx(columns.mean() + 0.5)
        assert found.y_px[index] == pytest.approx(rows.mean() + 0.5)


@pytest.mark.parametrize(
    ("name", "hematoxylin", "dab"),
    [("pale blue", 0.25, 0), ("dark blue", 1.1, 0), ("brown", 0.2, 0.7), ("near black", 0.6, 1.8)],
)
def test_nuclei_of_every_shade_are_found(segmenter, name, hematoxylin, dab):
    section = draw_section(
        np.random.default_rng(3),
        side_px=224,
        hematoxylin=(hematoxylin, hematoxylin),
        positive_share=float(dab > 0),
        dab=(dab, dab),
    )
    assert found_share(segmenter.segment(section.rgb, "ihc"), section) > 0.75


@pytest.mark.parametrize("image", [np.full((300, 200, 3), 255, np.uint8), glass(256, 256)])
def test_a_blank_image_holds_nothing(segmenter, image):
    found = segmenter.segment(image, "ihc")
    assert len(found) == 0
    assert found.labels.shape == image.shape[:2]
    assert not found.labels.any()


def test_blank_images_never_reach_the_network(segmenter, monkeypatch):
    def refuse(pixels):
        raise AssertionError("a blank image reached the network")

    monkeypatch.setattr(segmenter, "_predict", refuse)
    assert len(segmenter.segment(glass(128, 128), "ihc")) == 0


def test_faint_even_stain_without_nuclei_holds_nothing(segmenter):
    rng = np.random.default_rng(4)
    density = 0.05 * HEMATOXYLIN + 0.03 * DAB
    light = 256 * np.power(10.0, -density) - 1 + rng.normal(0, 2, (256, 256, 3))
    assert len(segmenter.segment(np.clip(light, 0, 255).astype(np.uint8), "ihc")) == 0


def test_one_pale_nucleus_is_not_blank():
    image = glass(256, 256)
    image[100:112, 100:112] = (150, 150, 200)
    assert not is_blank(image)
    assert is_blank(glass(3, 3))


@pytest.mark.parametrize("shape", [(1, 1), (7, 250), (131, 90)])
def test_any_size_is_taken(segmenter, shape):
    image = np.full((*shape, 3), 120, dtype=np.uint8)
    assert segmenter.segment(image, "ihc").labels.shape == shape


def test_blocks_and_whole_find_the_same_nuclei(segmenter):
    section = draw_section(np.random.default_rng(5), side_px=640, spacing_px=20)
    pad = segmenter.margin_px
    picture = np.pad(section.rgb, ((pad, pad), (pad, pad), (0, 0)), constant_values=255)

    def read(x, y, width, height):
        return picture[y + pad : y + pad + height, x + pad : x + pad + width]

    def nuclei(block_px):
        rows = []
        for block, _, found, own in segment_blocks(
            read, np.array([[0, 0, 640, 640]]), segmenter, "ihc", block_px=block_px
        ):
            left, top = block.read_box[:2]
            rows.append(np.stack([found.x_px + left, found.y_px + top, found.area_px], axis=1)[own])
        table = np.concatenate(rows)
        return table[np.lexsort(table.T)]

    whole, blocked = nuclei(1024), nuclei(432)
    assert len(whole) > 500
    assert len(blocked) == len(whole)
    # Rounding differs with a block's shape, so a border pixel may go the other way; no more.
    distance, partner = cKDTree(whole[:, :2]).query(blocked[:, :2])
    assert sorted(partner) == list(range(len(whole)))
    assert distance.max() < 0.5
    assert (distance < 1e-6).mean() > 0.95
    np.testing.assert_allclose(blocked[:, 2], whole[partner, 2], rtol=0.1)


def test_the_margin_is_as_wide_as_the_networks_view(segmenter):
    """Whatever lies beyond the margin changes nothing inside it."""
    rgb = draw_section(np.random.default_rng(8), side_px=400, spacing_px=20).rgb
    near = slice(160 - segmenter.margin_px, 240 + segmenter.margin_px)
    changed = np.full_like(rgb, 60)
    changed[near, near] = rgb[near, near]
    center = slice(80, 120)  # 160 to 240 px on the network's grid of 2 px
    for before, after in zip(
        segmenter.predict(rgb, "ihc"), segmenter.predict(changed, "ihc"), strict=True
    ):
        np.testing.assert_allclose(after[center, center], before[center, center], atol=1e-4)
        assert np.abs(after - before).max() > 0.1


def test_files_that_make_no_model_are_refused(tmp_path):
    for file in SHIPPED_FOLDER.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "weights_best.h5").write_bytes(b"damaged")
    with pytest.raises(ModelUnavailableError, match="cannot be loaded"):
        open_segmenter(str(tmp_path))


def test_a_one_channel_model_sees_the_band_of_its_stain(tmp_path):
    import json

    from tumor_ratio.models.stardist_model import StarDistSegmenter, import_stardist

    _, stardist_models = import_stardist()
    config = json.loads((SHIPPED_FOLDER / "config.json").read_text())
    config["n_channel_in"] = 1
    config["net_input_shape"] = [None, None, 1]
    model = stardist_models.StarDist2D(stardist_models.Config2D(**config), basedir=None)
    model.keras_model.save_weights(str(tmp_path / "weights_best.h5"))
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "thresholds.json").write_text('{"prob": 0.5, "nms": 0.4}')
    segmenter = StarDistSegmenter(tmp_path, tmp_path / "weights_best.h5")
    assert segmenter.mpp == 0.5
    image = np.full((64, 64, 3), 250, np.uint8)
    image[20:40, 20:40, 2] = 50
    band = segmenter._input(image, "single_stain")
    assert band.shape == (64, 64, 1)
    assert band[30, 30, 0] > 0.9
    assert abs(band[0, 0, 0]) < 0.1
    almost_empty = segmenter._input(glass(64, 64), "single_stain")
    assert almost_empty.max() < 0.3
