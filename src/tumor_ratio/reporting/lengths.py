"""Lengths, areas and shares in words, and the bar that shows a length on a picture."""

from __future__ import annotations

import math


def bar_um(width_um: float, share: float = 0.25) -> float:
    """Length of a scale bar: 1, 2 or 5 times a power of ten, at most `share` of the width.

    Raises
    ------
    ValueError
        If the width is not positive.
    """
    if not width_um > 0:
        raise ValueError(f"a picture's width must be positive, not {width_um} um")
    room = share * width_um
    decade = 10.0 ** math.floor(math.log10(room))
    return max(step * decade for step in (1, 2, 5) if step * decade <= room * (1 + 1e-9))


def length_words(um: float) -> str:
    """A length in micrometres, from a millimetre on in millimetres."""
    return f"{um / 1000:g} mm" if um >= 1000 else f"{um:g} µm"


def area_words(um2: float) -> str:
    """An area with three digits: in mm² from 0.01 mm² on, else in µm²; a dash if undefined."""
    if not math.isfinite(um2):
        return "-"
    return f"{um2 / 1e6:.3g} mm²" if um2 >= 1e4 else f"{um2:.0f} µm²"


def mm2_words(mm2: float) -> str:
    """An area with three digits in mm²; a dash if undefined."""
    return f"{mm2:.3g} mm²" if math.isfinite(mm2) else "-"


def share_words(share: float) -> str:
    """A share as per cent with one decimal; a dash if undefined."""
    return f"{share:.1%}" if math.isfinite(share) else "-"
