"""The size that a JPEG stream declares, known before anything makes room for its pixels."""

from __future__ import annotations

_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset(range(0xD0, 0xD9)) | {0x01}  # markers that no length follows


def declared_px(jpeg: bytes) -> int:
    """Width times height of a JPEG stream; 0 where it declares none (ITU-T T.81, annex B)."""
    at = 0
    while at + 9 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in _START_OF_FRAME:
            return int.from_bytes(jpeg[at + 5 : at + 7]) * int.from_bytes(jpeg[at + 7 : at + 9])
        else:
            at += 2 + int.from_bytes(jpeg[at + 2 : at + 4])
    return 0
