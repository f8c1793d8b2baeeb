from __future__ import annotations

from dataclasses import replace

import pytest

from tumor_ratio.cohort.origin import DOMAIN_FIELDS, training_origin
from tumor_ratio.reporting.stamps import RESEARCH_USE, SYNTHETIC_TRAINING

MOUSE = {"species": "mouse", "organ": "brain", "stain": "H&E", "marker": "Ki-67"}


@pytest.fixture
def pairs(make_pair):
    """Two real pairs that declare all but what the marker means, and that on the first alone."""
    first, second = make_pair("s1"), make_pair("s2")
    return [
        replace(first, data_kind="real", meta={**MOUSE, "marker_meaning": "proliferation"}),
        replace(second, data_kind="real", meta={**MOUSE, "organ": "lung"}),
    ]


def test_the_domain_holds_each_value_once_and_sorted(pairs):
    found = training_origin([*reversed(pairs), *pairs])
    assert tuple(found["domain"]) == DOMAIN_FIELDS
    assert found["domain"] == {
        "species": ["mouse"],
        "organ": ["brain", "lung"],
        "stain": ["H&E"],
        "marker": ["Ki-67"],
        "marker_meaning": [],  # the second declares none: what holds for all is unknown
    }
    assert training_origin(pairs) == training_origin(pairs[::-1])


def test_an_unknown_value_is_as_one_not_declared(pairs):
    unknown = replace(pairs[1], meta={**MOUSE, "species": None})
    assert training_origin([pairs[0], unknown])["domain"]["species"] == []
    assert training_origin([pairs[0], unknown])["domain"]["marker"] == ["Ki-67"]


def test_one_phantom_makes_the_training_synthetic(pairs):
    real = training_origin(pairs)
    assert (real["training_data"], real["stamps"]) == ("real", [RESEARCH_USE])
    for mixed in (
        [replace(pairs[0], data_kind="phantom"), pairs[1]],
        [pairs[0], replace(pairs[1], data_kind="phantom")],
    ):
        found = training_origin(mixed)
        assert found["training_data"] == "phantom"
        assert found["stamps"] == [RESEARCH_USE, SYNTHETIC_TRAINING]
        assert found["domain"] == real["domain"]
