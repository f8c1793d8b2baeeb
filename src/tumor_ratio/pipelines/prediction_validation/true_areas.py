"""What a phantom's H&E section truly shows, on the cells of a prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from tumor_ratio.inference.fields import RatioField
from tumor_ratio.inference.survey import mask_shares
from tumor_ratio.inference.tumor_area import tissue_ratio
from tumor_ratio.metrics.ratios import region_ratios
from tumor_ratio.phantom.artefacts import lumen_discs
from tumor_ratio.phantom.cells import CELL_TYPES, TUMOR
from tumor_ratio.phantom.fields import FIELD_UM, tissue_fields
from tumor_ratio.phantom.plan import PhantomSlide
from tumor_ratio.phantom.sections import section_transform
from tumor_ratio.phantom.truth import truth_nuclei, truth_tumor_mask

HOLE_UM2 = 400.0
"""Lumens from this area on are no tissue, as in `imaging.tissue_classes`."""
MASK_UM = 1.0


@dataclass(frozen=True)
class TrueField:
    """The truth on the cells of a `RatioField`.

    Parameters
    ----------
    ratio : (R, C) float64, true ratio of the H&E section's nuclei; NaN with too few of them.
    tissue : (R, C) float64, share of the cell that is tissue.
    tumor_um2 : (R, C) float64, area of tumor nest.
    stained_um2 : tissue of the whole section.
    """

    ratio: NDArray[np.float64]
    tissue: NDArray[np.float64]
    tumor_um2: NDArray[np.float64]
    stained_um2: float


def true_field(
    planned: PhantomSlide, truth_dir: Path, field: RatioField, min_nuclei: int
) -> TrueField:
    """Bring a phantom's truth onto the cells of its prediction.

    Parameters
    ----------
    planned : the slide's plan, without stress.
    truth_dir : its sidecar folder.
    field : whose cells.
    min_nuclei : cells with fewer nuclei have no true ratio.
    """
    shape, cell_px = field.ratio.shape, field.cell_px
    corners = np.array(
        [(c * cell_px, r * cell_px) for r in range(shape[0]) for c in range(shape[1])]
    )
    cells = pd.DataFrame(
        {
            "region_id": range(len(corners)),
            "slide_id": planned.slide_id,
            "x_px": corners[:, 0],
            "y_px": corners[:, 1],
            "size_px": cell_px,
            "mpp": planned.mpp,
        }
    )
    nuclei = truth_nuclei(truth_dir, "he")
    ratios = region_ratios(cells, nuclei, planned.mpp, min_nuclei=min_nuclei)
    mask = true_tissue(planned)
    return TrueField(
        ratio=ratios["tumor_ratio"].to_numpy(dtype=np.float64).reshape(shape),
        tissue=mask_shares(mask, corners, cell_px, MASK_UM / planned.mpp).reshape(shape),
        tumor_um2=_tumor_um2(truth_dir, shape, field.cell_um),
        stained_um2=float(mask.sum()) * MASK_UM**2,
    )


def nuclei_areas_mm2(truth_dir: Path) -> dict[str, float]:
    """Area of the H&E section's nuclei in mm2: of tumor and of all others, and of those the
    positive; `tumor_nuclei_mm2`, `tumor_positive_mm2`, `other_nuclei_mm2`, `other_positive_mm2`.
    """
    nuclei = truth_nuclei(truth_dir, "he")
    area, positive = nuclei["area_um2"] / 1e6, nuclei["positive"].astype(bool)
    is_tumor = nuclei["cell_type"] == CELL_TYPES[TUMOR]
    return {
        f"{name}_{what}_mm2": float(area[chosen].sum())
        for name, kind in (("tumor", is_tumor), ("other", ~is_tumor))
        for what, chosen in (("nuclei", kind), ("positive", kind & positive))
    }


def true_tissue_ratio(field: RatioField, truth: TrueField) -> float:
    """As `tissue_ratio`, of true ratios in the cells that have both."""
    both = np.where(np.isfinite(field.ratio), truth.ratio, np.nan)
    return tissue_ratio(replace(field, ratio=both))


def true_tissue(planned: PhantomSlide) -> NDArray[np.bool_]:
    """Tissue of the H&E section, (H, W) bool at `MASK_UM` a pixel.

    What lies inside the outline without lumens of `HOLE_UM2` and more, folds included.
    """
    tissue = tissue_fields(planned)
    height, width = round(planned.height_um / MASK_UM), round(planned.width_um / MASK_UM)
    y, x = (np.mgrid[:height, :width].astype(np.float32) + 0.5) * np.float32(MASK_UM)
    inside = ndimage.map_coordinates(tissue.edge_um, [y / FIELD_UM, x / FIELD_UM], order=1) > 0
    transform = section_transform(planned)
    for cx, cy, cos, sin, long, short, *_ in lumen_discs(planned, tissue, "he", transform):
        if np.pi * long * short < HOLE_UM2:
            continue
        reach = int(np.ceil(max(long, short))) + 1
        window = tuple(
            slice(max(int(middle / MASK_UM) - reach, 0), int(middle / MASK_UM) + reach + 1)
            for middle in (cy, cx)
        )
        dx, dy = x[window] - cx, y[window] - cy
        along, across = cos * dx + sin * dy, cos * dy - sin * dx
        inside[window] &= (along / long) ** 2 + (across / short) ** 2 > 1
    return inside


def _tumor_um2(truth_dir: Path, shape: tuple[int, int], cell_um: float) -> NDArray[np.float64]:
    """Area of tumor nest in each cell; what the grid's nodes beyond the slide hold is left out."""
    share, step_um = truth_tumor_mask(truth_dir)
    rows, columns = ((np.arange(n) * step_um // cell_um).astype(np.int64) for n in share.shape)
    inside = np.ix_(rows < shape[0], columns < shape[1])
    area = np.zeros(shape)
    place = np.ix_(rows[rows < shape[0]], columns[columns < shape[1]])
    np.add.at(area, place, share[inside].astype(np.float64) * step_um**2)
    return area
