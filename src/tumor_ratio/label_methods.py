"""The ways a region's ratio is measured: values of `label_method`, and what people read."""

from __future__ import annotations

NUCLEUS = "nucleus"
STUDY = "study"
RECOLOR = "recolor"
OTSU = "otsu"
ILASTIK = "ilastik"
TITLES = {
    NUCLEUS: "per nucleus",
    STUDY: "the study’s D / (D + H)",
    RECOLOR: "recoloured pixels",
    OTSU: "rgb2hed and Otsu",
    ILASTIK: "pixel classes",
}
"""In the order in which tables and figures show them; the first is ours."""
NETWORK_METHODS = (NUCLEUS, STUDY)
"""Those in which a nuclei network finds what is counted."""
