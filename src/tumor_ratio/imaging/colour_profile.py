"""The ICC profile that a slide file embeds: named for the record, never applied to pixels.

Stain densities are measured on the pixels as stored, as OpenSlide and QuPath show them. A profile
that differs between two scanners is a reason to look at the colours, so it is told by name.
"""

from __future__ import annotations

import io

from PIL import ImageCms


def profile_name(icc_profile: bytes | None) -> str | None:
    """Description that an ICC profile gives of itself.

    Returns
    -------
    str or None
        One line; "unreadable profile" for bytes that are no profile; None where there are none.
    """
    if not icc_profile:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
        text = ImageCms.getProfileDescription(profile)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return "unreadable profile"
    return " ".join(text.split())[:120] or "unnamed profile"
