"""What distinguishes the kinds of cells: size, shape, chromatin, and the body around the nucleus.

Diameters: lymphocytes 6 to 7 um, stroma 5 x 12 um, tumor 8 to 14 um. Every kind stains with about
the same hematoxylin per nuclear area: size, shape, texture and arrangement tell them apart,
as it must be where stain strength is a property of the laboratory.
"""

from __future__ import annotations

from dataclasses import dataclass

CELL_TYPES = ("lymphocyte", "stroma", "parenchyma", "tumor", "epithelium", "blast")
LYMPHOCYTE, STROMA, PARENCHYMA, TUMOR, EPITHELIUM, BLAST = range(len(CELL_TYPES))


@dataclass(frozen=True)
class CellKind:
    """Parameters of one kind of cell; lengths in um, spreads as relative standard deviations."""

    diameter_um: float
    """Diameter of the resting nucleus; tumor's and parenchyma's are factors of the slide."""
    spread: float
    elongation: float
    """Long over short axis."""
    elongation_spread: float
    lobing: float
    """Amplitude of the outline's second and third harmonics."""
    hematoxylin: float
    """Optical amount at full section thickness."""
    body: float
    """Radius of the cell over that of its nucleus; 0 where no body is drawn."""


KINDS = (
    CellKind(6.5, 0.03, 1.06, 0.04, 0.015, 1.12, 1.3),
    CellKind(7.75, 0.12, 2.4, 0.20, 0.03, 1.05, 0.0),
    CellKind(8.9, 0.05, 1.10, 0.05, 0.012, 0.97, 1.9),
    CellKind(10.7, 0.11, 1.22, 0.12, 0.055, 0.97, 1.8),
    CellKind(8.4, 0.07, 1.45, 0.10, 0.02, 1.0, 1.5),
    CellKind(8.6, 0.09, 1.12, 0.08, 0.04, 0.98, 1.45),
)

# A nucleus doubles its content from G1 to G2, so its diameter grows by up to 2^(1/3) = 1.26.
LARGEST_CYCLING_GROWTH = 2.0 ** (1.0 / 3.0)
LARGEST_DIAMETER_UM = 14.0
MITOTIC_SHARE = 0.04
"""Share of the positive nuclei that are in mitosis."""
WEAK_SHARE = 0.12
"""Share of the positive nuclei that stain weakly."""
