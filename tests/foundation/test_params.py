"""A misspelt parameter never passes, and the message lists the valid names."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from pydantic import Field, ValidationError

from tumor_ratio.params import Params, unknown_names


@dataclass(frozen=True)
class Optimizer:
    learning_rate: float = 0.1
    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012


class Head(Params):
    width: int = Field(512, gt=0)


class Training(Params):
    head: Head = Head()
    optimizer: Optimizer = Optimizer()
    warmup: Head | None = None


def test_valid_values_are_taken_at_every_depth():
    params = Training.model_validate({"head": {"width": 8}, "optimizer": {"learning_rate": 2.0}})
    assert (params.head.width, params.optimizer.learning_rate) == (8, 2.0)


@pytest.mark.parametrize(
    ("values", "name", "valid"),
    [
        ({"haed": {}}, "haed", "head, optimizer, warmup"),
        ({"head": {"widht": 3}}, "head.widht", "width"),
        ({"optimizer": {"lerning_rate": 3}}, "optimizer.lerning_rate", "learning_rate"),
        ({"warmup": {"size": 3}}, "warmup.size", "width"),
    ],
)
def test_unknown_names_are_refused_with_the_valid_ones(values, name, valid):
    with pytest.raises(ValidationError, match=rf"unknown parameter '{name}'.*valid names: {valid}"):
        Training.model_validate(values)


def test_the_closest_name_is_offered():
    assert "did you mean 'width'?" in unknown_names(Head, {"widht": 1})[0]


def test_every_unknown_name_is_named_at_once():
    assert len(unknown_names(Training, {"a": 1, "b": 2, "head": {"c": 3}})) == 3


def test_bounds_hold_and_groups_are_frozen():
    with pytest.raises(ValidationError, match="greater than 0"):
        Head(width=0)
    with pytest.raises(ValidationError, match="frozen"):
        Head().width = 3
