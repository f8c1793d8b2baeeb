"""Typed parameters: frozen, bounded, closed; a misspelt name lists the valid ones."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


@dataclasses.dataclass(frozen=True)
class ChangesNoResult:
    """Marks a field that no result depends on, such as a cache's size.

    Fingerprints leave it out, so that a change makes nothing anew: `Annotated[int,
    ChangesNoResult()]`.
    """


Penalties = Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)]
"""Of a ridge regression, to choose from."""


class Params(BaseModel):
    """Base of every parameter group.

    Fields may be scalars, other `Params`, or frozen standard-library dataclasses (the options of
    `tumor_ratio.models`, which does without pydantic).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_names(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            problems = list(unknown_names(cls, values))
            if problems:
                raise ValueError("; ".join(problems))
        return values


def unknown_names(owner: type, values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Complaints about names in `values` that `owner` does not have, nested groups included.

    Parameters
    ----------
    owner : a `Params` subclass or a dataclass.
    values : the raw, nested configuration.
    prefix : dotted path of `owner`, for the message.

    Returns
    -------
    list of str
        One complaint a name, each with the valid names and the closest of them.
    """
    fields = _field_types(owner)
    problems: list[str] = []
    for name, value in values.items():
        if name not in fields:
            close = difflib.get_close_matches(str(name), fields, n=1)
            hint = f" (did you mean '{close[0]}'?)" if close else ""
            problems.append(
                f"unknown parameter '{prefix}{name}'{hint}; valid names: {', '.join(fields)}"
            )
        elif isinstance(value, Mapping):
            group = _group_of(fields[name])
            if group is not None:
                problems += unknown_names(group, value, f"{prefix}{name}.")
    return problems


def _field_types(owner: type) -> dict[str, Any]:
    if isinstance(owner, type) and issubclass(owner, BaseModel):
        return {name: field.annotation for name, field in owner.model_fields.items()}
    hints = typing.get_type_hints(owner)
    return {name: hints[name] for name in owner.__dataclass_fields__}  # type: ignore[attr-defined]


def _group_of(annotation: Any) -> type | None:
    """The parameter group inside an annotation such as `Group` or `Group | None`."""
    for candidate in (annotation, *typing.get_args(annotation)):
        if isinstance(candidate, type) and (
            issubclass(candidate, BaseModel) or dataclasses.is_dataclass(candidate)
        ):
            return candidate
    return None
