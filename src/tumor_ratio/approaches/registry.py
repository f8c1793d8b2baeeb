"""All kinds of approaches: those of this package, and those that installed packages bring."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import entry_points

from tumor_ratio.approaches import cyclegan, ilastik, network
from tumor_ratio.approaches.contract import ApproachSpec
from tumor_ratio.errors import ConfigurationError, ModelUnavailableError

ENTRY_POINTS = "tumor_ratio.approaches"
"""Group of entry points; each names an `ApproachSpec`."""


@cache
def all_specs() -> tuple[ApproachSpec, ...]:
    """Every kind, in the order of the story.

    Raises
    ------
    ConfigurationError
        If a package brings something else, or takes what another kind has.
    """
    brought = []
    for point in entry_points(group=ENTRY_POINTS):
        spec = point.load()
        if not isinstance(spec, ApproachSpec):
            raise ConfigurationError(
                f"the entry point '{point.name}' of {ENTRY_POINTS} is no ApproachSpec",
                f"let it name one, or uninstall {point.value}",
            )
        brought.append(spec)
    specs = (ilastik.SPEC, cyclegan.SPEC, *brought, network.SPEC)
    claimed = [("kind", spec.kind) for spec in specs]
    claimed += [("pipeline", spec.pipeline) for spec in specs]
    claimed += [("model", spec.answers) for spec in specs]
    claimed += [("approach", name) for spec in specs for name in spec.names]
    twice = [f"{what} '{name}'" for (what, name), count in Counter(claimed).items() if count > 1]
    if twice or sum(spec.others for spec in specs) > 1:
        raise ConfigurationError(
            f"two kinds of approaches claim {', '.join(twice) or 'all other names'}",
            "rename one, or uninstall the package that brings it",
        )
    return specs


def spec_of(approach: str) -> ApproachSpec:
    """The kind that serves an approach."""
    found = (spec for spec in all_specs() if approach in spec.names)
    return next(found, network.SPEC)


def spec_opening(answers: str) -> ApproachSpec:
    """The kind whose models have this as `answers` in their card.

    Raises
    ------
    ModelUnavailableError
        If none does.
    """
    for spec in all_specs():
        if spec.answers == answers:
            return spec
    known = ", ".join(spec.answers for spec in all_specs() if spec.answers)
    raise ModelUnavailableError(
        f"no kind of approach opens a model of '{answers}', only {known} and networks",
        "install the package that brings it",
    )


def served(spec: ApproachSpec, approaches: Iterable[str]) -> list[str]:
    """Those approaches that a kind serves."""
    return [name for name in approaches if spec_of(name) is spec]


def known_names() -> Sequence[str]:
    """All names that a kind claims."""
    return [name for spec in all_specs() for name in spec.names]


def default_approaches() -> tuple[str, ...]:
    """What a plain run trains where the configuration does not say."""
    return tuple(name for spec in all_specs() for name in spec.default)
