"""What a kind of approach says of itself; everything heavy is named, and imported when needed."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from typing import Any

Reference = str
"""An object as entry points name it: `package.module:attribute`."""

ANSWERS = "answers"
"""Key of a model's card: which kind opens it (`ApproachSpec.answers`); networks have none."""


@dataclass(frozen=True)
class ApproachSpec:
    """One kind of approach.

    Parameters
    ----------
    kind : its name.
    names : approaches of this kind, as configurations name them.
    pipeline : name under which its pipeline is registered.
    create_pipeline : `(approaches) -> Pipeline` in a namespace an approach, with the tag
        `approach.<name>`; it ends in `tail.create_tail`.
    parameters : class of an approach's parameters, which are those of its own name.
    open_model : `(folder, card, compute) -> RegionModel`; a worker process calls it, so that its
        module imports no Kedro. With `flips` it takes these by keyword, too.
    learned_from : in words, what approaches of this kind learn from.
    check : `(parameters) -> None` raises what can be found wrong before a run; empty for nothing.
    answers : what a model's card has as `answers`.
    default : those of `names` that a plain run trains.
    others : whether it serves all names that no kind claims.
    flips : whether its models answer flipped regions.
    slide_models : folder of its models for new slides, below that of all models.
    """

    kind: str
    names: tuple[str, ...]
    pipeline: str
    create_pipeline: Reference
    parameters: Reference
    open_model: Reference
    learned_from: str
    check: Reference = ""
    answers: str = ""
    default: tuple[str, ...] = ()
    others: bool = False
    flips: bool = False
    slide_models: str = "{approach}_slides"


def load(reference: Reference) -> Any:
    """The object that a spec names.

    Raises
    ------
    ImportError, AttributeError
        If there is none.
    """
    return pkgutil.resolve_name(reference)
