"""What must not tell the ratio does not, and what should tell it does.

Regions of 112 um, target: the ratio of the IHC section in the same place. Skill is
(L_b - L) / (L_b - L_c), L the slide-macro mean absolute error, b the training median, c an oracle
that is given the H&E section's true ratio and that of its surroundings; all by grouped splits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import openslide
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tumor_ratio.phantom.fields import tissue_fields
from tumor_ratio.phantom.pair import PhantomFiles
from tumor_ratio.phantom.plan import PhantomSlide
from tumor_ratio.phantom.sections import cut_section, section_transform
from tumor_ratio.phantom.truth import truth_nuclei
from tumor_ratio.phantom.volume import tissue_volume

SIDE_UM, STEP_UM = 112.0, 56.0
Model = Callable[[], object]


def ridge() -> object:
    return make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 6, 13)))


def forest() -> object:
    return RandomForestRegressor(60, min_samples_leaf=5, max_features=0.4, random_state=0)


def median_trees() -> object:
    """Trees fitted to the absolute error, the loss that skill is measured by."""
    return HistGradientBoostingRegressor(
        loss="absolute_error", max_iter=60, max_leaf_nodes=8, min_samples_leaf=20, random_state=0
    )


@dataclass(frozen=True)
class Regions:
    """All regions of the cohort, one row each; `slide` numbers the pairs."""

    slide: np.ndarray
    ratio: np.ndarray
    colour: np.ndarray
    density: np.ndarray
    morphology: np.ndarray
    oracle: np.ndarray
    outside: np.ndarray
    """Glass colour, file sizes, tissue area: what a slide tells without its tissue."""

    def out_of_fold(self, features: np.ndarray, model: Model, target: np.ndarray) -> np.ndarray:
        predicted = np.zeros(len(target))
        for train, test in GroupKFold(6).split(features, target, self.slide):
            predicted[test] = model().fit(features[train], target[train]).predict(features[test])
        return np.clip(predicted, 0, 1)

    def mae(self, predicted: np.ndarray, target: np.ndarray | None = None) -> float:
        errors = pd.Series(np.abs(predicted - (self.ratio if target is None else target)))
        return float(errors.groupby(self.slide).mean().mean())

    @cached_property
    def baseline(self) -> float:
        predicted = np.zeros(len(self.ratio))
        for train, test in GroupKFold(6).split(self.slide, self.ratio, self.slide):
            predicted[test] = np.median(self.ratio[train])
        return self.mae(predicted)

    @cached_property
    def ceiling(self) -> float:
        return self.mae(self.out_of_fold(self.oracle, ridge, self.ratio))

    def skill(self, features: np.ndarray, model: Model) -> float:
        loss = self.mae(self.out_of_fold(features, model, self.ratio))
        return (self.baseline - loss) / (self.baseline - self.ceiling)


def _region_ratio(table: pd.DataFrame, corner_um: np.ndarray, mpp: float) -> np.ndarray:
    xy = table[["x_he_px", "y_he_px"]].to_numpy() * mpp
    area, positive = table["area_um2"].to_numpy(), table["positive"].to_numpy()
    ratios = np.full(len(corner_um), np.nan)
    for i, corner in enumerate(corner_um):
        inside = ((xy >= corner) & (xy < corner + SIDE_UM)).all(axis=1)
        if inside.sum() >= 20:
            ratios[i] = area[inside & positive].sum() / area[inside].sum()
    return ratios


def _colour(rgb: np.ndarray) -> np.ndarray:
    pixels = rgb.reshape(-1, 3)
    bins = [np.bincount(pixels[:, k] >> 4, minlength=16) / len(pixels) for k in range(3)]
    return np.concatenate([pixels.mean(axis=0) / 255, pixels.std(axis=0) / 255, *bins])


def _morphology(table: pd.DataFrame, profiles: np.ndarray) -> np.ndarray:
    """Sizes, shapes and chromatin grain of the nuclei that a region shows."""
    area = table["area_um2"].to_numpy()
    slender = profiles[:, 4] / profiles[:, 5]
    edges = [0, 20, 30, 40, 50, 60, 70, 80, 90, 100, 115, 130, 160, 400]
    sizes = np.histogram(area, edges, weights=area)[0] / area.sum()
    grain = np.histogram(profiles[:, 10], [0, 0.4, 0.6, 0.8, 1.0, 9], weights=area)[0] / area.sum()
    return np.concatenate(
        [sizes, grain, [area.mean(), area.std(), slender.mean(), table["mitotic"].sum()]]
    )


def _slide_regions(index: int, plan: PhantomSlide, files: PhantomFiles) -> dict[str, np.ndarray]:
    mpp = plan.mpp
    he, ihc = (truth_nuclei(files.truth_dir, section) for section in ("he", "ihc"))
    tissue = tissue_fields(plan)
    section = cut_section(plan, tissue, tissue_volume(plan, tissue), "he", section_transform(plan))
    assert len(section.table) == len(he)
    with openslide.OpenSlide(files.he_path) as slide:
        rgb = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))
    glass = rgb.min(axis=2) > 220
    y, x = np.mgrid[0 : plan.height_um - SIDE_UM : STEP_UM, 0 : plan.width_um - SIDE_UM : STEP_UM]
    corners = np.stack([x.ravel(), y.ravel()], axis=1)
    he_ratio, ihc_ratio = (_region_ratio(table, corners, mpp) for table in (he, ihc))
    around = pd.DataFrame(he_ratio.reshape(y.shape))
    around = around.rolling(3, center=True, min_periods=1).mean()
    around = around.T.rolling(3, center=True, min_periods=1).mean().T.to_numpy().ravel()
    size_px = round(SIDE_UM / mpp)
    rows: dict[str, list[np.ndarray]] = {}
    outside = np.array(
        [
            *rgb[glass].mean(axis=0),
            *rgb[glass].std(axis=0),
            glass.mean(),
            files.he_path.stat().st_size * 1e-6,
            files.ihc_path.stat().st_size * 1e-6,
        ]
    )
    for corner, own, target, near in zip(corners, he_ratio, ihc_ratio, around, strict=True):
        column, row = (corner / mpp).astype(int)
        patch = rgb[row : row + size_px, column : column + size_px]
        blank = glass[row : row + size_px, column : column + size_px].mean()
        if not np.isfinite(own + target) or blank > 0.3:
            continue
        xy = he[["x_px", "y_px"]].to_numpy() * mpp
        inside = ((xy >= corner) & (xy < corner + SIDE_UM)).all(axis=1)
        for name, value in {
            "slide": np.array(index),
            "ratio": np.array(target),
            "colour": _colour(patch),
            "density": np.array([inside.sum(), he["area_um2"][inside].sum()]),
            "morphology": _morphology(he[inside], section.profiles[inside]),
            "oracle": np.array([own, near]),
            "outside": outside,
        }.items():
            rows.setdefault(name, []).append(value)
    return {name: np.stack(values) for name, values in rows.items()}


@pytest.fixture(scope="module")
def regions(
    cohort_plans: tuple[PhantomSlide, ...], cohort_files: tuple[PhantomFiles, ...]
) -> Regions:
    slides = [
        _slide_regions(i, plan, files)
        for i, (plan, files) in enumerate(zip(cohort_plans, cohort_files, strict=True))
    ]
    return Regions(**{name: np.concatenate([s[name] for s in slides]) for name in slides[0]})


def test_ratios_are_skewed_as_in_the_study(regions: Regions) -> None:
    assert 0.65 <= (regions.ratio < 0.2).mean() <= 0.85
    assert 0.003 <= (regions.ratio > 0.5).mean() <= 0.08


def test_sections_agree_better_than_any_constant(regions: Regions) -> None:
    assert regions.ceiling <= 0.05
    assert regions.baseline >= 2.2 * regions.ceiling


@pytest.mark.parametrize("model", [ridge, forest, median_trees])
def test_colour_does_not_tell_the_ratio(regions: Regions, model: Model) -> None:
    """Mean colour and histogram: all that a pixel-shuffled patch keeps, too."""
    assert regions.skill(regions.colour, model) <= 0.3


@pytest.mark.parametrize("model", [ridge, median_trees])
def test_density_of_nuclei_hardly_tells_the_ratio(regions: Regions, model: Model) -> None:
    features = np.hstack([regions.density, regions.colour[:, :3]])
    assert regions.skill(features, model) <= 0.3


@pytest.mark.parametrize("model", [ridge, median_trees])
def test_glass_and_file_size_tell_nothing(regions: Regions, model: Model) -> None:
    assert regions.skill(regions.outside, model) <= 0.05


def test_permuted_labels_cannot_be_learned(regions: Regions) -> None:
    permuted = np.random.default_rng(0).permutation(regions.ratio)
    predicted = regions.out_of_fold(regions.morphology, median_trees, permuted)
    constant = np.full(len(permuted), np.median(permuted))
    gain = regions.mae(constant, permuted) - regions.mae(predicted, permuted)
    assert abs(gain) / (regions.baseline - regions.ceiling) <= 0.05


def test_morphology_tells_the_ratio(regions: Regions) -> None:
    assert regions.skill(regions.morphology, forest) > 0.6
    assert regions.skill(regions.morphology, forest) > 2 * max(
        regions.skill(regions.density, ridge), 0.0
    )
