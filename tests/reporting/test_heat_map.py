from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.reporting.ratio_fields import planted, without_ratios
from tumor_ratio.reporting.heat_map import draw_map, painted_map, write_map
from tumor_ratio.reporting.lengths import bar_um, length_words
from tumor_ratio.reporting.map_field import NO_INTERVAL, OTHER, REASONS, shown
from tumor_ratio.reporting.map_paint import (
    HALO,
    OUTLINE,
    hatching,
    map_colours,
    map_layers,
    paint,
)
from tumor_ratio.reporting.stamps import SYNTHETIC_TRAINING, stamps_for

CELL_PX = 14.3
STAMPS = stamps_for("phantom")


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(120, 256, (height, width, 3), dtype=np.uint8)


def middle(cell: int) -> int:
    return int((cell + 0.5) * CELL_PX)


def test_a_cell_has_its_values_colour_wherever_it_lies():
    field = planted()
    layers = map_layers(shown(field, "ratio"), "ratio", cell_px=CELL_PX, opacity=1)
    painted = paint(picture(90, 120), layers)
    colours = map_colours("ratio").astype(int)
    for row, column in np.argwhere(np.isfinite(field.ratio)):
        ends = [int(np.ceil(n * CELL_PX - 0.5)) for n in (row, row + 1, column, column + 1)]
        cell = painted[ends[0] : ends[1], ends[2] : ends[3]].reshape(-1, 3).astype(int)
        assert (cell == cell[0]).all()
        step = np.abs(colours - cell[0]).sum(axis=1).argmin()
        assert step / 255 == pytest.approx(field.ratio[row, column], abs=0.003)


def test_what_is_no_cell_and_what_is_glass_stays_as_it_is():
    field, below = planted(), picture(100, 150)
    before = below.copy()
    painted = paint(below, map_layers(shown(field, "ratio"), "ratio", cell_px=CELL_PX))
    assert np.array_equal(below, before)
    assert np.array_equal(painted[:, : int(CELL_PX)], below[:, : int(CELL_PX)])
    right, bottom = int(np.ceil(8 * CELL_PX)), int(np.ceil(6 * CELL_PX))
    assert np.array_equal(painted[:, right:], below[:, right:])
    assert np.array_equal(painted[bottom:], below[bottom:])


def test_colours_mean_values_alone_whatever_the_picture_below():
    field = planted()
    layers = map_layers(shown(field, "ratio"), "ratio", cell_px=CELL_PX, opacity=0.5)
    pink = np.full((90, 120, 3), (230, 120, 190), dtype=np.uint8)
    grey = np.repeat(np.rint(pink @ [0.2126, 0.7152, 0.0722]).astype(np.uint8)[..., None], 3, 2)
    at = middle(2), middle(2)
    assert np.array_equal(paint(pink, layers)[at], paint(grey, layers)[at])


def test_every_reason_has_a_hatching_of_its_own():
    field = planted()
    painted = paint(
        np.full((90, 120, 3), 255, dtype=np.uint8),
        map_layers(shown(field, "ratio"), "ratio", cell_px=CELL_PX),
    )
    for column, reason in enumerate(["white", "blurred", "folded", "pen", "unreadable", OTHER], 1):
        x = int(np.ceil(column * CELL_PX - 0.5))
        cell = painted[0:8, x : x + 8]
        assert np.array_equal(cell, np.roll(hatching(reason), -(x % 8), axis=1))
    patterns = {hatching(reason).tobytes() for reason in REASONS}
    assert len(patterns) == len(REASONS)


def test_blocks_of_any_size_fit_together():
    field = planted()
    labels = np.zeros(field.ratio.shape, dtype=np.int32)
    labels[2:4, 3:5], labels[4, 5] = 1, 1
    layers = map_layers(shown(field, "ratio"), "ratio", cell_px=CELL_PX, labels=labels, line_px=2)
    below = picture(97, 131)
    whole = paint(below, layers)
    for height, width in ((97, 7), (13, 131), (29, 31)):
        pieces = np.zeros_like(whole)
        for y in range(0, 97, height):
            for x in range(0, 131, width):
                window = np.s_[y : y + height, x : x + width]
                pieces[window] = paint(below[window], layers, x_px=x, y_px=y)
        assert np.array_equal(pieces, whole)


def test_a_focus_is_red_inside_and_white_outside_its_border():
    field = planted(cell_px=80.0)
    labels = np.zeros(field.ratio.shape, dtype=np.int32)
    labels[2:4, 3:5], labels[4, 3:5] = 1, 2
    layers = map_layers(
        shown(field, "ratio"), "ratio", cell_px=10, labels=labels, line_px=2, opacity=1
    )
    plain = paint(
        picture(60, 80), map_layers(shown(field, "ratio"), "ratio", cell_px=10, opacity=1)
    )
    painted = paint(picture(60, 80), layers)
    assert (painted[25, 30:32] == OUTLINE).all()
    assert (painted[25, 28:30] == HALO).all()
    assert np.array_equal(painted[25, 32:48], plain[25, 32:48])
    assert np.array_equal(painted[:18], plain[:18])
    assert (painted[38:42, 35] == OUTLINE).all(), "no border between two foci"


def test_the_widths_map_says_where_the_interval_is_withheld():
    field = planted()
    cells = shown(field, "width")
    assert cells.reason[-1, -1] == NO_INTERVAL
    assert np.isnan(cells.value[-1, -1])
    assert cells.value[2, 2] == pytest.approx(0.3)
    assert (cells.reason[0] == shown(field, "ratio").reason[0]).all()
    assert (cells.reason[:, 0] == "").all(), "glass is no cell without an interval"


@pytest.mark.parametrize(("height", "width"), [(120, 170), (400, 90), (60, 500)])
def test_everything_written_lies_on_the_figure_and_the_stamp_is_large(height, width):
    labels = np.zeros((6, 8), dtype=np.int32)
    labels[2:4, 2:4] = 1
    figure = draw_map(planted(), picture(height, width), 14.0, stamps=STAMPS, labels=labels)
    figure.canvas.draw()
    texts = {text.get_text(): text for text in figure.texts}
    assert texts[SYNTHETIC_TRAINING].get_fontsize() >= 10
    assert "mouse 7" in texts
    below_map = figure.axes[0].get_window_extent().y0
    for text in texts.values():
        box = text.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= figure.bbox.x1, text.get_text()
        assert 0 <= box.y0 < box.y1 <= figure.bbox.y1, text.get_text()
    stamps = [text for text in texts.values() if "research" in text.get_text()]
    assert all(text.get_window_extent().y1 < below_map for text in stamps)
    legend = figure.legends[0].get_window_extent()
    assert texts[SYNTHETIC_TRAINING].get_window_extent().y1 < legend.y0 < legend.y1 < below_map
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [
        "too little tissue", "blurred", "folded", "pen", "cannot be read", "left out",
        "Ki-67-rich focus",
    ]  # fmt: skip


def test_a_written_map_carries_its_stamps(tmp_path):
    figure = draw_map(without_ratios(planted()), picture(50, 60), 30.0, "width", stamps=STAMPS)
    write_map(tmp_path / "map.png", figure, STAMPS)
    with Image.open(tmp_path / "map.png") as image:
        assert image.text["Description"] == " ".join(STAMPS)
        assert "Software" not in image.text


def test_a_map_lies_where_the_picture_shows_the_cells():
    field = planted(cell_px=200.0)
    field.ratio[:] = np.nan
    field.ratio[4, 6] = 1.0
    painted, mpp = painted_map(field, np.full((300, 400, 3), 255, dtype=np.uint8), 4.0)
    y, x = np.nonzero((painted != 255).any(axis=2) & (np.arange(painted.shape[0]) > 100)[:, None])
    assert painted.shape == (525, 700, 3)
    assert (x.min(), x.max() + 1) == pytest.approx((6 * 50 * 1.75, 7 * 50 * 1.75), abs=1)
    assert (y.min(), y.max() + 1) == pytest.approx((4 * 50 * 1.75, 5 * 50 * 1.75), abs=1)
    assert mpp == pytest.approx(4 * 0.25 / 1.75)


def test_what_cannot_be_painted_is_refused():
    cells = shown(planted(), "ratio")
    with pytest.raises(ValueError, match="differ in shape"):
        map_layers(cells, "ratio", cell_px=5, labels=np.zeros((6, 7), dtype=int))
    with pytest.raises(ValueError, match="most 0"):
        map_layers(cells, "ratio", cell_px=5, most=0)
    with pytest.raises(ValueError, match="positive"):
        bar_um(0)


@pytest.mark.parametrize(
    ("width_um", "words"),
    [(8000, "2 mm"), (7900, "1 mm"), (1999, "200 µm"), (900, "200 µm"), (21, "5 µm")],
)
def test_a_scale_bar_is_a_round_length(width_um, words):
    assert length_words(bar_um(width_um)) == words
