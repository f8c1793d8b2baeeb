"""What the user sets of data_processing; the groups live beside the code that they steer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tumor_ratio.cohort.contact_sheet import ContactSheetParams
from tumor_ratio.cohort.manifest import ManifestParams
from tumor_ratio.cohort.selection import TileSelectionParams
from tumor_ratio.cohort.tile_scores import TileScoreParams
from tumor_ratio.cohort.tiles import PatchParams, TileParams
from tumor_ratio.cohort.zenodo import ZenodoParams
from tumor_ratio.params import Params
from tumor_ratio.phantom.params import PhantomParams

__all__ = [
    "CohortParams",
    "ContactSheetParams",
    "ManifestParams",
    "PatchParams",
    "PhantomParams",
    "TileParams",
    "TileScoreParams",
    "TileSelectionParams",
    "ZenodoParams",
]


class CohortParams(Params):
    """Where the slide pairs come from."""

    source: Literal["phantom", "manifest", "zenodo"] = "phantom"
    """Synthetic pairs with known truth, the user's own slides, or a Zenodo record's."""
    folder: str = "data/01_raw/phantoms"
    """Where phantoms are rendered."""
    pyramids: str = "data/01_raw/pyramids"
    """Where tiled copies of large TIFFs in strips are kept; empty reads such files as they are."""
    max_size_difference: float = Field(0.01, ge=0, le=1)
    """Sections of a pair whose widths or heights differ by more, as a share, are refused: they are
    not registered onto one canvas. For manifests and records."""
    phantom: PhantomParams = PhantomParams.model_validate({})
    manifest: ManifestParams = ManifestParams()
    zenodo: ZenodoParams = ZenodoParams.model_validate({})
