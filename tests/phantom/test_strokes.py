"""Strokes lie on what they name."""

import numpy as np
import pytest

from tumor_ratio.phantom.pair import render_pair
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.phantom.plan import plan_phantom
from tumor_ratio.phantom.strokes import CLASSES, draw_strokes
from tumor_ratio.phantom.truth import truth_nuclei

MPP, SIDE_UM, SIZE_PX = 0.5, 240, 256
CORNER = (100, 60)


@pytest.fixture(scope="module")
def truth_dir(tmp_path_factory):
    plan = plan_phantom(PhantomParams(n_slides=2, width_um=SIDE_UM, height_um=SIDE_UM, seed=3))[1]
    return render_pair(plan, tmp_path_factory.mktemp("phantom")).truth_dir


def strokes(truth_dir, section, *, error_rate=0.0, per_class=8, seed=0):
    return draw_strokes(
        truth_dir, section, CORNER, MPP, SIZE_PX, MPP,
        per_class=per_class, error_rate=error_rate, rng=np.random.default_rng(seed),
    )  # fmt: skip


def nearest(truth_dir, section, labels):
    """Of each labelled pixel: its value, the nearest nucleus, and the distance to its centre."""
    nuclei = truth_nuclei(truth_dir, section)
    rows, columns = np.nonzero(labels)
    xy = np.stack([columns + 0.5, rows + 0.5], axis=1) + CORNER
    away = np.linalg.norm(xy[:, None] - nuclei[["x_he_px", "y_he_px"]].to_numpy()[None], axis=2)
    index = away.argmin(axis=1)
    return labels[rows, columns], nuclei.iloc[index], away[np.arange(len(index)), index] * MPP


@pytest.mark.parametrize("section", ["he", "ihc"])
def test_every_class_is_drawn_sparsely(truth_dir, section):
    labels = strokes(truth_dir, section)
    counts = np.bincount(labels.ravel(), minlength=4)
    assert len(counts) == 1 + len(CLASSES[section])
    assert (counts[1:3] > 20).all()
    assert counts[1:].sum() < 0.05 * labels.size


def test_strokes_on_h_and_e_follow_morphology(truth_dir):
    value, nucleus, _ = nearest(truth_dir, "he", strokes(truth_dir, "he"))
    on_nuclei = value > 1
    assert ((nucleus["cell_type"] == "tumor").to_numpy() == (value == 3))[on_nuclei].all()


def test_strokes_on_h_and_e_do_not_know_ki67(truth_dir, tmp_path):
    """The same nuclei with other Ki-67 states get the same strokes."""
    truth_nuclei(truth_dir, "he").assign(positive=False, dab=0.0).to_parquet(
        tmp_path / "nuclei_he.parquet"
    )
    assert np.array_equal(strokes(tmp_path, "he"), strokes(truth_dir, "he"))


def test_strokes_on_ki67_follow_positivity(truth_dir):
    value, nucleus, _ = nearest(truth_dir, "ihc", strokes(truth_dir, "ihc"))
    on_nuclei = value > 1
    assert (nucleus["positive"].to_numpy() == (value == 3))[on_nuclei].all()


@pytest.mark.parametrize("section", ["he", "ihc"])
def test_strokes_stay_inside_nuclei_and_background_strokes_outside(truth_dir, section):
    value, nucleus, away_um = nearest(truth_dir, section, strokes(truth_dir, section))
    radius_um = np.sqrt(nucleus["area_um2"].to_numpy() / np.pi)
    assert (away_um < radius_um)[value > 1].all()
    assert (away_um > radius_um + 1)[value == 1].all()


@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_a_share_of_the_strokes_is_wrong(truth_dir, rate):
    """The same strokes with other values: errors move no stroke."""
    wrong, drawn = [], []
    for seed in range(12):
        right, other = (
            draw_strokes(
                truth_dir, "he", CORNER, MPP, SIZE_PX, MPP, per_class=20, error_rate=error_rate,
                rng=np.random.default_rng(seed),
            )
            for error_rate in (0.0, rate)
        )  # fmt: skip
        wrong.append(((right != other) & (right > 0) & (other > 0)).sum())
        drawn.append(((right > 0) & (other > 0)).sum())
    assert sum(wrong) / sum(drawn) == pytest.approx(rate, rel=0.3)


def test_the_same_generator_draws_the_same(truth_dir):
    assert np.array_equal(strokes(truth_dir, "he", seed=5), strokes(truth_dir, "he", seed=5))
    assert not np.array_equal(strokes(truth_dir, "he", seed=5), strokes(truth_dir, "he", seed=6))


def test_there_are_two_sections(truth_dir):
    with pytest.raises(ValueError, match="section is one of"):
        strokes(truth_dir, "dapi")
