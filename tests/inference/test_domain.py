from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.imaging.appearance import FEATURES, Appearance
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.inference.domain import (
    DomainWarning,
    TrainedDomain,
    appearance_limit,
    interval_reason,
    judge_appearance,
    judge_declared,
    judge_domain,
    judge_focus,
    judge_pixel_size,
    trained_domain,
    warning_text,
)

CENTRE = {
    "red_od": 0.25,
    "green_od": 0.4,
    "blue_od": 0.25,
    "nuclei_green_over_red": 1.2,
    "nuclei_blue_over_red": 0.7,
    "rest_red_over_green": 0.3,
    "rest_blue_over_green": 0.5,
    "contrast_od": 0.25,
    "nuclear_share": 0.25,
    "nucleus_um": 7.0,
}
DECLARED = {"species": "Mouse", "organ": "lung", "stain": "he"}
TRAINED = {"species": ["mouse"], "organ": ["lung", "liver"], "stain": ["HE"]}


def slide_like(rng=None, spread=1.0, **changes) -> Appearance:
    """A slide that differs from the others by about the floors' spread."""
    off = rng.normal(0, spread, len(FEATURES)) if rng else np.zeros(len(FEATURES))
    features = {
        name: CENTRE[name] + floor * step
        for (name, floor), step in zip(FEATURES.items(), off, strict=True)
    }
    plain = {
        "mpp": 0.25,
        "glass": True,
        "dark_field": False,
        "eosin_share": 0.9,
        "tissue_share": 0.5,
        "nuclei_per_mm2": 3000.0,
        "sharpness": 0.5,
    }
    return Appearance(**{**plain, **features, **changes})


def trained(n=12, seed=0) -> TrainedDomain:
    rng = np.random.default_rng(seed)
    return TrainedDomain(TRAINED, tuple(slide_like(rng) for _ in range(n)))


def kinds(warnings: list[DomainWarning]) -> list[str]:
    return [warning.about for warning in warnings]


def test_a_slide_of_the_trainings_kind_has_no_warning():
    assert judge_domain(slide_like(), DECLARED, trained()) == []


def test_a_slide_that_is_less_sharp_or_sharper_than_the_trainings_is_warned_of():
    known = [0.5, 0.48, math.nan, 0.6]
    for fine in (0.44, 0.48, 0.65, math.nan):
        assert judge_focus(fine, known) == []
    (blurred,) = judge_focus(0.42, known)
    assert blurred.about == "focus"
    assert (
        blurred.text == "less sharp than the training slides: sharpness 0.42, theirs 0.48 to 0.60"
    )
    (sharpened,) = judge_focus(0.67, known)
    assert sharpened.text.startswith("sharper than the training slides: sharpness 0.67")
    assert judge_focus(0.2, []) == judge_focus(0.2, [math.nan]) == []
    warnings = judge_domain(slide_like(sharpness=0.4), DECLARED, trained())
    assert kinds(warnings) == ["focus"]
    assert "less sharp" in interval_reason(warnings, 20)
    assert interval_reason(warnings, 20, anyway=True) == ""


def test_what_is_declared_is_compared():
    assert judge_declared(DECLARED, TRAINED) == []
    nothing = warning_text(judge_declared({}, TRAINED))
    assert nothing == "species undeclared; organ undeclared; stain undeclared"
    unknown = warning_text(judge_declared(DECLARED, {}))
    assert unknown.count("of the training slides undeclared") == 3
    other = judge_domain(slide_like(), {**DECLARED, "organ": "brain"}, trained())
    assert other == [DomainWarning("declared", "organ 'brain' is not the training's (lung, liver)")]


@pytest.mark.parametrize(
    ("change", "about", "text"),
    [
        ({"mpp": 0.5}, "pixel_size", "scanned at 0.5 um/px, the training slides at 0.25"),
        ({"eosin_share": 0.03}, "stain", "only 3% of what is stained is eosin-pink"),
        ({"dark_field": True}, "stain", "light on a dark ground"),
        ({"eosin_share": math.nan}, "not_a_slide", "too little stained tissue"),
        ({"nuclei_per_mm2": math.nan}, "not_a_slide", "too little stained tissue"),
        ({"nuclei_per_mm2": 20.0}, "not_a_slide", "20 spots like nuclei a mm2: no slide"),
        ({"glass": False}, "appearance", "shows no glass, which every training slide does"),
        ({"blue_od": 0.9}, "appearance", "blue_od is 0.90, theirs 0."),
        ({"nucleus_um": 14.0}, "appearance", "nucleus_um is 14.00"),
    ],
)
def test_every_planted_difference_is_named_and_withholds_the_interval(change, about, text):
    found = judge_domain(slide_like(**change), DECLARED, trained())
    assert kinds(found) == [about]
    assert text in found[0].text
    reason = interval_reason(found, 12)
    assert reason.startswith("interval withheld: ")
    assert text in reason
    overridden = interval_reason(found, 12, anyway=True) == ""
    assert overridden == (about in ("pixel_size", "appearance"))


def test_too_few_calibration_slides_are_never_overridden():
    declared = judge_declared({}, TRAINED)
    assert interval_reason([], 9) == ""
    assert interval_reason(declared, 9, anyway=True) == ""
    for anyway in (False, True):
        assert interval_reason([], 3, anyway=anyway) == (
            "interval withheld: 3 calibration slides, fewer than 9"
        )
    both = interval_reason(declared, 0)
    assert both.startswith("interval withheld: 0 calibration slides, fewer than 9; species")


def test_pixel_sizes_a_little_apart_are_alike():
    assert judge_pixel_size(0.29, [0.24, 0.25]) == []
    assert judge_pixel_size(0.5, []) == []
    (found,) = judge_pixel_size(0.33, [0.24, 0.25])
    assert found.text == "scanned at 0.33 um/px, the training slides at 0.24 to 0.25"


def test_slides_of_the_trainings_kind_are_called_unlike_as_seldom_as_promised(monkeypatch):
    n, found = 6, {0.0: [], 4.0: []}
    for least, unlike in found.items():
        monkeypatch.setattr("tumor_ratio.inference.domain.LEAST_DISTANCE", least)
        for seed in range(300):
            rng = np.random.default_rng([7, seed])
            own, *others = (slide_like(rng) for _ in range(n + 1))
            unlike.append(bool(judge_appearance(own, others)))
    assert np.mean(found[0.0]) == pytest.approx(1 / (n + 1), abs=0.045)
    assert np.mean(found[4.0]) < 0.02  # slides that differ by no more than laboratories do


def test_the_limit_leaves_each_slide_out_and_never_falls_below_four():
    rng = np.random.default_rng(0)
    known = np.stack([slide_like(rng).features() for _ in range(12)])
    new = slide_like().features()
    assert appearance_limit(known, new) == 4.0
    known[3, 0] += 10 * FEATURES["red_od"]
    assert 7.0 < appearance_limit(known, new) < 12.0
    known[:, 9] = np.nan  # what is unknown of all says nothing
    assert 7.0 < appearance_limit(known, new) < 12.0


def test_the_look_of_few_slides_cannot_be_judged():
    (found,) = judge_appearance(slide_like(), trained(4).appearances)
    assert found.about == "appearance"
    assert "of 4 training slides is known, fewer than 5" in found.text


def test_a_domain_is_read_as_it_was_written():
    domain = trained()
    odd = dataclasses.replace(domain.appearances[0], nucleus_um=math.nan)
    domain = TrainedDomain(TRAINED, (odd, *domain.appearances))
    record = json.loads(json.dumps(domain.to_record(), allow_nan=False))
    assert TrainedDomain.from_record(record).to_record() == domain.to_record()


def pair(name: str, kind: str, tmp_path, **meta) -> SlidePair:
    slide = Slide(name, tmp_path / name, 10, 10, 0.25, ((10, 10, 1.0),), "pillow")
    return SlidePair(name, name, slide, None, data_kind=kind, meta=meta)


def test_phantoms_declare_that_they_are_phantoms(tmp_path):
    looks = {"a": slide_like(), "elsewhere": slide_like()}
    drawn = trained_domain([pair(n, "phantom", tmp_path) for n in "ab"], looks)
    assert drawn.declared == {name: ["phantom"] for name in ("species", "organ", "stain")}
    assert drawn.appearances == (looks["a"],)
    assert judge_declared(dict.fromkeys(drawn.declared, "phantom"), drawn.declared) == []
    real = [pair("a", "real", tmp_path, species="mouse"), pair("b", "real", tmp_path)]
    assert trained_domain(real, {}).declared == {"species": [], "organ": [], "stain": []}
