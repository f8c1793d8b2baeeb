"""The truth beside a phantom pair: for evaluation, nuclei training and tests, never for a model."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from tumor_ratio.imaging.transform import Transform
from tumor_ratio.phantom.fields import FIELD_UM, TissueFields
from tumor_ratio.phantom.plan import PhantomSlide
from tumor_ratio.phantom.sections import Section

SECTIONS = ("he", "ihc")


def truth_nuclei(truth_dir: Path, section: str) -> pd.DataFrame:
    """Profiles of the nuclei that a section cuts.

    Parameters
    ----------
    truth_dir : a pair's sidecar folder.
    section : `he` or `ihc`.

    Returns
    -------
    pd.DataFrame
        volume_id (the nucleus; equal in both sections), x_px, y_px (level 0 of the own slide),
        x_he_px, y_he_px, area_um2, positive, cell_type, diameter_um (of the whole nucleus), dab
        (amount), mitotic, chord_um (the longest path through the nucleus within the section).

    Raises
    ------
    ValueError
        For any other section.
    FileNotFoundError
        Where the folder holds no phantom's truth.
    """
    if section not in SECTIONS:
        raise ValueError(f"section is one of {SECTIONS}, not {section!r}")
    return pd.read_parquet(Path(truth_dir) / f"nuclei_{section}.parquet")


def truth_tumor_mask(truth_dir: Path) -> tuple[npt.NDArray[np.float32], float]:
    """Share of tumor nest on a coarse grid over the H&E slide, and its step in um."""
    with Image.open(Path(truth_dir) / "tumor_share.png") as image:
        return np.asarray(image, dtype=np.float32) / 255.0, FIELD_UM


def truth_plan(truth_dir: Path) -> PhantomSlide:
    """The plan that the pair was rendered from."""
    record = json.loads((Path(truth_dir) / "plan.json").read_text(encoding="utf-8"))
    return PhantomSlide.from_record(record["plan"])


def write_truth(
    folder: Path,
    plan: PhantomSlide,
    tissue: TissueFields,
    sections: tuple[Section, ...],
    transform: Transform,
) -> None:
    """Write the sidecars into an existing folder."""
    for section in sections:
        section.table.to_parquet(folder / f"nuclei_{section.name}.parquet", index=False)
    share = np.rint(255 * np.clip(tissue.tumor, 0, 1)).astype(np.uint8)
    _write_png(folder / "tumor_share.png", share)
    record = {"plan": plan.to_record(), "transform": transform.to_record()}
    _write_json(folder / "plan.json", record)
    lesions = {
        kind: [vars(disc) for disc in discs]
        for kind, discs in (
            ("follicles", tissue.follicles),
            ("micro_foci", tissue.foci),
            ("glands", tissue.glands),
        )
    }
    _write_json(folder / "lesions.json", lesions)


def _write_png(path: Path, grey: npt.NDArray[np.uint8]) -> None:
    buffer = io.BytesIO()  # writing a file itself, Pillow would not say that the disk is full
    Image.fromarray(grey).save(buffer, format="PNG")
    path.write_bytes(buffer.getvalue())


def _write_json(path: Path, record: object) -> None:
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
