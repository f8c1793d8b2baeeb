import dataclasses
import json
import pickle

import numpy as np
import pytest
from pydantic import ValidationError

from tumor_ratio.phantom.factors import TRAINING
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.phantom.plan import PhantomSlide, plan_phantom


def _numbers(plan: PhantomSlide) -> dict[str, float]:
    """Every number in the plan that is not the truth itself, flat."""
    truth = {"burden", "expected_ratio", "index", "seed", "tumor_labelling"}
    flat: dict[str, float] = {}
    for name, value in plan.to_record().items():
        if isinstance(value, dict):
            for inner, item in value.items():
                parts = item if isinstance(item, tuple) else (item,)
                flat |= {f"{name}.{inner}{i}": float(v) for i, v in enumerate(parts)}
        elif isinstance(value, int | float) and name not in truth:
            flat[name] = float(value)
    return flat


@pytest.mark.parametrize("family", ["development", "final", "shifted"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_factor_tells_burden_or_ratio(family: str, seed: int) -> None:
    plans = plan_phantom(PhantomParams(family=family, seed=seed))
    table = [_numbers(plan) for plan in plans]
    content = {"follicle_share", "gland_share", "background_labelling"}
    for target in ("burden", "expected_ratio"):
        truth = [getattr(plan, target) for plan in plans]
        for name in table[0]:
            values = np.array([row[name] for row in table])
            if values.std() == 0 or (name in content and target == "expected_ratio"):
                continue  # these shares are part of the ratio
            assert abs(np.corrcoef(values, truth)[0, 1]) <= 0.1, name


def test_labelling_is_independent_of_burden() -> None:
    plans = plan_phantom(PhantomParams())
    r = np.corrcoef([p.burden for p in plans], [p.tumor_labelling for p in plans])[0, 1]
    assert abs(r) <= 0.1


def test_same_parameters_same_plan_other_family_other_streams() -> None:
    first, again = (plan_phantom(PhantomParams(n_slides=4)) for _ in range(2))
    assert first == again
    other = plan_phantom(PhantomParams(n_slides=4, family="final"))
    assert {p.key for p in first}.isdisjoint({p.key for p in other})
    assert [p.burden for p in first] != [p.burden for p in other]


def test_shifted_family_leaves_the_training_ranges() -> None:
    for plan in plan_phantom(PhantomParams(family="shifted")):
        for name in ("thickness_um", "displacement_um", "tumor_diameter_um", "hyperchromasia"):
            span = TRAINING[name]
            assert not span.low <= getattr(plan, name) <= span.high, name
        assert plan.he.blur_um > TRAINING["he.blur_um"].high


def test_names_are_neutral_and_unique() -> None:
    plans = plan_phantom(PhantomParams(n_slides=12))
    assert [p.slide_id for p in plans] == [f"p{i:02d}" for i in range(1, 13)]
    assert len({p.case_id for p in plans}) == 12


def test_plan_survives_pickle_and_json() -> None:
    plan = plan_phantom(PhantomParams(n_slides=2))[1]
    assert pickle.loads(pickle.dumps(plan)) == plan  # our own object
    assert PhantomSlide.from_record(json.loads(json.dumps(plan.to_record()))) == plan
    assert dataclasses.is_dataclass(plan)


@pytest.mark.parametrize("n_slides", [1, 2, 3])
def test_few_slides_can_be_planned(n_slides: int) -> None:
    assert len(plan_phantom(PhantomParams(n_slides=n_slides))) == n_slides


def test_gaps_are_shared_out() -> None:
    gaps = [plan.gap_um for plan in plan_phantom(PhantomParams())]
    assert sorted(gaps) == [0.0] * 4 + [4.0] * 4 + [20.0] * 4


def test_wrong_parameters_are_refused() -> None:
    with pytest.raises(ValidationError, match="jpeg_quality must be two numbers in order"):
        PhantomParams(jpeg_quality=(95, 80))
    with pytest.raises(ValidationError, match="did you mean 'n_slides'"):
        PhantomParams(n_slide=3)  # type: ignore[call-arg]
