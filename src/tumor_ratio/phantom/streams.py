"""Random streams: one for each (family, seed, slide, section, factor), none shared.

A factor that draws more, or a slide that is added, leaves every other stream as it was.
"""

from __future__ import annotations

import hashlib
from typing import NewType

import numpy as np

StreamKey = NewType("StreamKey", str)
"""Names the slide a stream belongs to: family, seed and slide."""


def stream_key(family: str, seed: int, slide: int | str) -> StreamKey:
    """Key of a slide's streams; families are disjoint because the name is part of the key."""
    return StreamKey(f"{family}/{seed}/{slide}")


def stream(key: StreamKey, section: str, factor: str) -> np.random.Generator:
    """Generator of one factor of one section (`volume` for what both sections share)."""
    return np.random.Generator(
        np.random.Philox(np.random.SeedSequence(_digest(key, section, factor)))
    )


def stream_word(key: StreamKey, section: str, factor: str) -> int:
    """A 63-bit number of the stream, for noise that is a function of the pixel's position."""
    return _digest(key, section, factor) & 0x7FFFFFFFFFFFFFFF


def _digest(key: StreamKey, section: str, factor: str) -> int:
    """Stable between processes and Python versions, unlike `hash`."""
    name = f"tumor-ratio phantom/{key}/{section}/{factor}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=16).digest(), "little")
