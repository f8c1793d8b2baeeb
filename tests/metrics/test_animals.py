import math

import numpy as np
import pandas as pd
import pytest

from tumor_ratio.metrics.animals import animals_table, cavalieri_reason, groups_table


def sections(animal: str, organ, focus, group: str = "control", **columns) -> pd.DataFrame:
    organ, focus = np.asarray(organ, float), np.asarray(focus, float)
    return pd.DataFrame(
        {
            "slide_id": [f"{animal}-{n}" for n in range(len(organ))],
            "animal_id": animal,
            "group": group,
            "block": "b1",
            "section_index": np.arange(len(organ)) + 3,
            "section_spacing_um": 200.0,
            "organ_mm2": organ,
            "stained_mm2": organ * 0.5,
            "rich_mm2": focus * 0.8,
            "focus_mm2": focus,
            "n_foci": np.arange(len(organ)) + 1,
        }
        | columns
    )


def test_an_animal_is_a_ratio_of_sums_not_a_mean_of_ratios() -> None:
    animal = animals_table(sections("m1", [10, 30], [5, 3])).iloc[0]
    assert animal["focus_share_of_organ"] == pytest.approx(8 / 40)
    assert animal["rich_share_of_organ"] == pytest.approx(6.4 / 40)
    assert animal["rich_share_of_tissue"] == pytest.approx(6.4 / 20)
    assert (animal["n_sections"], animal["n_undefined"]) == (2, 0)
    assert (animal["n_profiles"], animal["profiles_per_mm2"]) == (3, 3 / 40)


def test_systematic_sections_give_the_volume_of_a_ball() -> None:
    """Cavalieri on a ball of radius 1 mm: 4/3 pi, whatever the first section."""
    spacing, volumes = 0.1, []
    for start in np.linspace(0, 0.1, 20, endpoint=False):
        z = np.arange(-1 + start, 1, spacing)
        table = sections("ball", np.full(len(z), 9.0), np.pi * (1 - z**2), section_spacing_um=100.0)
        animal = animals_table(table.sample(frac=1, random_state=1)).iloc[0]
        assert animal["organ_mm3"] == pytest.approx(9 * spacing * len(z))
        volumes.append(animal["focus_mm3"])
    assert np.mean(volumes) == pytest.approx(4 / 3 * np.pi, rel=1e-3)
    assert np.allclose(volumes, 4 / 3 * np.pi, rtol=0.02)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"section_spacing_um": [200.0, 200.0, 300.0]}, "not one positive number"),
        ({"section_spacing_um": 0.0}, "not one positive number"),
        ({"section_spacing_um": [200.0, math.nan, 200.0]}, "spacing_um is not given"),
        ({"section_index": [1, 2, 4]}, "sections are missing"),
        ({"section_index": [1, 2, 2]}, "same section_index"),
        ({"section_index": math.nan}, "section_index is not given"),
        ({"block": ["b1", "b1", "b2"]}, "several blocks"),
        ({"block": ["b1", None, "b1"]}, "several blocks"),
    ],
)
def test_sections_that_are_not_systematic_give_no_volume_but_shares(columns, reason) -> None:
    table = sections("m1", [10, 10, 10], [1, 2, 3], **columns)
    animal = animals_table(table).iloc[0]
    assert math.isnan(animal["focus_mm3"])
    assert math.isnan(animal["organ_mm3"])
    assert reason in animal["volume_reason"]
    assert animal["focus_share_of_organ"] == pytest.approx(0.2)
    assert cavalieri_reason(sections("m1", [1, 1, 1], [0, 0, 0])) == ""


def test_one_section_and_unknown_places_are_said() -> None:
    table = sections("m1", [10], [1])
    assert animals_table(table)["volume_reason"].tolist() == ["one section has no spacing"]
    bare = pd.concat([table, sections("m2", [5, 5], [0, 0])]).drop(
        columns=["block", "section_index", "section_spacing_um", "n_foci"]
    )
    found = animals_table(bare)
    assert found["volume_reason"].tolist()[1] == "section_spacing_um is not given for every section"
    assert found["n_profiles"].isna().all()
    assert found["focus_share_of_organ"].tolist() == [0.1, 0.0]


def test_an_undefined_section_is_counted_and_never_0() -> None:
    animal = animals_table(sections("m1", [10, 10, 10], [1, math.nan, 3])).iloc[0]
    assert animal["n_undefined"] == 1
    assert math.isnan(animal["focus_share_of_organ"])
    assert animal["volume_reason"] == "a section has no organ or focus area"
    assert math.isnan(animal["focus_mm3"])
    assert animal["organ_mm2"] == 30
    no_organ = animals_table(sections("m1", [0, 0], [0, 0])).iloc[0]
    assert math.isnan(no_organ["focus_share_of_organ"])


def test_groups_count_animals_not_sections() -> None:
    table = pd.concat(
        [
            sections("m1", [10] * 6, [1] * 6),
            sections("m2", [10], [3]),
            sections("m3", [10, 10], [2, math.nan]),
            sections("t1", [10, 10], [0, 1], "treated"),
        ]
    )
    groups = groups_table(animals_table(table))
    share = groups[groups["measure"] == "focus_share_of_organ"].set_index("group")
    control, treated = share.loc["control"], share.loc["treated"]
    assert (control["n_animals"], control["n_undefined"]) == (2, 1)
    assert control["mean"] == pytest.approx(0.2)
    assert control["sd"] == pytest.approx(np.std([0.1, 0.3], ddof=1))
    assert control["median"] == pytest.approx(0.2)
    assert (treated["n_animals"], treated["mean"]) == (1, 0.05)
    assert math.isnan(treated["sd"])
    volume = groups[groups["measure"] == "focus_mm3"].set_index("group")
    assert volume.loc["control", "n_animals"] == 1
    assert volume.loc["control", "mean"] == pytest.approx(6 * 0.2)
    assert not groups["measure"].str.contains("n_foci").any()


def test_slides_without_an_animal_stand_for_themselves() -> None:
    table = sections("m1", [10, 20], [1, 2]).assign(animal_id=["", None])
    assert animals_table(table)["animal_id"].tolist() == ["m1-0", "m1-1"]


def test_what_would_count_twice_is_refused() -> None:
    one = sections("m1", [10, 10], [1, 1])
    with pytest.raises(ValueError, match="slide m1-0 is listed twice"):
        animals_table(pd.concat([one, one]))
    with pytest.raises(ValueError, match="animal m1 is in two groups"):
        animals_table(one.assign(group=["control", "treated"]))
    with pytest.raises(ValueError, match="lack the columns rich_mm2"):
        animals_table(one.drop(columns="rich_mm2"))
