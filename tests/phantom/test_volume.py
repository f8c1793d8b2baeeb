import dataclasses

import numpy as np
import pytest

from tumor_ratio.phantom.cells import CELL_TYPES
from tumor_ratio.phantom.fields import tissue_fields
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.phantom.plan import PhantomSlide, plan_phantom
from tumor_ratio.phantom.sections import Section, cut_section, section_transform
from tumor_ratio.phantom.volume import tissue_volume


def _sections(plan: PhantomSlide) -> tuple[Section, Section]:
    tissue = tissue_fields(plan)
    volume = tissue_volume(plan, tissue)
    transform = section_transform(plan)
    he, ihc = (cut_section(plan, tissue, volume, name, transform) for name in ("he", "ihc"))
    return he, ihc


@pytest.fixture(scope="module", params=[0.0, 4.0, 20.0])
def sections(request: pytest.FixtureRequest) -> tuple[PhantomSlide, Section, Section]:
    plans = plan_phantom(PhantomParams(n_slides=3, width_um=1200, height_um=1200))
    plan = max(plans, key=lambda plan: plan.burden)  # enough nuclei of every size
    plan = dataclasses.replace(plan, gap_um=request.param, thickness_um=4.0)
    return plan, *_sections(plan)


def test_shared_share_of_nuclei_follows_the_formula(
    sections: tuple[PhantomSlide, Section, Section],
) -> None:
    """A nucleus of depth D in one section is in the other with max(0, D - g) / (D + t)."""
    plan, he, ihc = sections
    depth_um = 2.0 * he.profiles[:, 6].astype(float)
    shared = np.isin(he.table["volume_id"], ihc.table["volume_id"])
    for low, high in ((3.0, 6.0), (6.0, 7.0), (7.0, 9.0), (9.0, 11.0), (11.0, 15.0)):
        these = (depth_um >= low) & (depth_um < high)
        expected = np.maximum(0, depth_um[these] - plan.gap_um) / (
            depth_um[these] + plan.thickness_um
        )
        n = int(these.sum())
        assert n > 200
        error = np.sqrt(max(float(np.mean(expected * (1 - expected))), 1e-6) / n)
        assert abs(shared[these].mean() - expected.mean()) < 4 * error + 0.005, (low, n)


def test_a_shared_nucleus_keeps_its_state(
    sections: tuple[PhantomSlide, Section, Section],
) -> None:
    _, he, ihc = sections
    both = he.table.merge(ihc.table, on="volume_id", suffixes=("_he", "_ihc"))
    for name in ("positive", "cell_type", "dab", "diameter_um", "x_he_px"):
        assert (both[f"{name}_he"] == both[f"{name}_ihc"]).all(), name


def test_sections_agree_less_with_a_wider_gap() -> None:
    plan = plan_phantom(PhantomParams(n_slides=1, width_um=600, height_um=600))[0]
    shared = []
    for gap_um in (0.0, 4.0, 20.0):
        he, ihc = _sections(dataclasses.replace(plan, gap_um=gap_um))
        shared.append(np.isin(he.table["volume_id"], ihc.table["volume_id"]).mean())
    assert shared[0] > shared[1] > shared[2] == 0.0


def test_diameters_are_those_of_the_literature(
    sections: tuple[PhantomSlide, Section, Section],
) -> None:
    _, he, _ = sections
    resting = he.table[~he.table["positive"]]
    by_kind = resting.groupby("cell_type")["diameter_um"].median()
    assert 6.0 <= by_kind["lymphocyte"] <= 7.0
    assert 8.0 <= by_kind["tumor"] <= 14.0
    stroma = he.profiles[(he.table["cell_type"] == "stroma").to_numpy()]
    assert np.median(2 * stroma[:, 4]) == pytest.approx(12, abs=1)
    assert np.median(2 * stroma[:, 5]) == pytest.approx(5, abs=0.5)
    tumor = he.table.loc[he.table["cell_type"] == "tumor", "diameter_um"]
    assert tumor.max() < 15


def test_cycling_nuclei_grow_by_at_most_a_doubling_of_volume(
    sections: tuple[PhantomSlide, Section, Section],
) -> None:
    _, he, _ = sections
    tumor = he.table[he.table["cell_type"] == "tumor"]
    medians = tumor.groupby("positive")["diameter_um"].median()
    assert 1.03 < medians[True] / medians[False] < 2 ** (1 / 3)


def test_caps_are_smaller(sections: tuple[PhantomSlide, Section, Section]) -> None:
    plan, he, _ = sections
    beyond = np.abs(he.profiles[:, 7]) > plan.thickness_um / 2
    full = np.pi * he.profiles[:, 4] * he.profiles[:, 5]
    share = he.table["area_um2"] / full
    mitotic = he.table["mitotic"].to_numpy()
    assert np.allclose(share[~beyond & ~mitotic], 1, rtol=1e-4)
    assert share[beyond].mean() < 0.8


def test_every_kind_of_cell_lives_in_a_cohort_and_labels_as_it_should() -> None:
    plans = plan_phantom(PhantomParams(n_slides=6, width_um=900, height_um=900))
    tables = [_sections(plan)[0].table for plan in plans]
    positive = {
        kind: np.concatenate([t.loc[t["cell_type"] == kind, "positive"] for t in tables])
        for kind in CELL_TYPES
    }
    share = {kind: values.mean() for kind, values in positive.items()}
    assert share["blast"] > 0.7 > share["tumor"] > 0.25
    assert share["lymphocyte"] < 0.04
    assert share["stroma"] < 0.05
    assert 0.03 < share["epithelium"] < 0.5
    mitoses = np.concatenate([t["mitotic"] & t["positive"] for t in tables])
    assert 0 < mitoses.sum() < 0.1 * sum(v.sum() for v in positive.values())
    dab = np.concatenate([t.loc[t["positive"], "dab"] for t in tables])
    assert 0.05 < (dab < 0.32).mean() < 0.2  # weak positives, in a continuum
