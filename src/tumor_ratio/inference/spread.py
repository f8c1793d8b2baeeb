"""A few of many, evenly spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def spread(things: Sequence[T], count: int) -> list[T]:
    """At most `count` of the things, evenly spread over all, in their order."""
    n = len(things)
    if n <= count:
        return list(things)
    return [things[i] for i in sorted({math.floor((i + 0.5) * n / count) for i in range(count)})]
