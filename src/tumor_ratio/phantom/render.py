"""Paints any block of a section: the same pixels whatever the block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tumor_ratio.imaging.transform import Transform
from tumor_ratio.phantom.artefacts import (
    DUST_OD,
    dust_discs,
    fold_gain,
    lumen_discs,
    pen_colour,
    pen_ink,
    unevenness,
)
from tumor_ratio.phantom.block_rows import near, rows_near
from tumor_ratio.phantom.factors import SectionLook
from tumor_ratio.phantom.fields import FIELD_UM, TissueFields
from tumor_ratio.phantom.painters import (
    GRAIN,
    Plane,
    develop,
    expose,
    paint_bodies,
    paint_discs,
    paint_nuclei,
)
from tumor_ratio.phantom.plan import PhantomSlide
from tumor_ratio.phantom.sections import Section
from tumor_ratio.phantom.streams import stream, stream_word
from tumor_ratio.phantom.stress_paint import StressPaint, stress_paint
from tumor_ratio.phantom.stress_sections import stressed_tissue


@dataclass(frozen=True)
class SectionPainter:
    """Everything a section's blocks are painted from; a few coarse planes and tables."""

    plan: PhantomSlide
    look: SectionLook
    section: Section
    ground: npt.NDArray[np.float32]
    grain: Plane
    grain_offset: Plane
    lumens: Plane
    dust: Plane
    stains: Plane
    blur: Plane
    word: int
    stress: StressPaint | None = None

    def block(self, x0: int, y0: int, width_px: int, height_px: int) -> npt.NDArray[np.uint8]:
        """Pixels of the block whose top-left pixel is `(x0, y0)`; (height, width, 3) uint8."""
        return self._paint(x0, y0, width_px, height_px, None, 0.0)

    def labelled_block(
        self, x0: int, y0: int, width_px: int, height_px: int, visible_share: float
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
        """The block and, per pixel, 1 + the row of the nucleus seen there, 0 for none.

        `visible_share`: share of the section's thickness that a nucleus must fill to be labelled.
        """
        labels = np.zeros((height_px, width_px), np.int32)
        rgb = self._paint(x0, y0, width_px, height_px, labels, visible_share)
        return rgb, labels

    def _paint(
        self,
        x0: int,
        y0: int,
        width_px: int,
        height_px: int,
        labels: npt.NDArray[np.int32] | None,
        visible_share: float,
    ) -> npt.NDArray[np.uint8]:
        margin = self.blur.shape[1] // 2
        left, top = x0 - margin, y0 - margin
        shape = (height_px + 2 * margin, width_px + 2 * margin)
        mpp = self.plan.mpp
        first, dab, cover, hole, dust = (np.zeros(shape, np.float32) for _ in range(5))
        nearest, second = (np.full(shape, 9.0, np.float32) for _ in range(2))
        paint_discs(near(self.lumens, left, top, shape, mpp), left, top, mpp, hole)
        paint_discs(near(self.dust, left, top, shape, mpp), left, top, mpp, dust)
        rows = rows_near(self.section.profiles, left, top, shape, mpp)
        profiles = self.section.profiles[rows]
        wide = np.zeros(shape if labels is not None else (0, 0), np.int32)
        paint_bodies(profiles, left, top, mpp, nearest, second)
        paint_nuclei(
            profiles,
            left,
            top,
            mpp,
            self.plan.thickness_um,
            self.grain,
            first,
            dab,
            cover,
            visible_share,
            wide,
            np.zeros(wide.shape, np.float32),
        )
        if labels is not None:
            inner = wide[margin : margin + height_px, margin : margin + width_px]
            numbers = np.concatenate([[0], rows + 1]).astype(np.int32)
            labels[:] = numbers[inner]
        if self.stress is not None:
            self.stress.add_dyes(left, top, first, dab, cover, hole)
        light = np.empty((*shape, 3), np.float32)
        is_he = self.section.name == "he"
        develop(
            self.ground,
            FIELD_UM,
            left,
            top,
            mpp,
            self.grain,
            self.grain_offset,
            nearest,
            second,
            hole,
            dust,
            first,
            dab,
            cover,
            0.05 if is_he else self.look.cytoplasm,
            self.look.cytoplasm if is_he else 0.0,
            self.look.background_dab,
            self.stains,
            light,
        )
        if self.stress is not None:
            self.stress.absorb(left, top, light)
        rgb = np.empty((height_px, width_px, 3), np.uint8)
        white = np.array([self.look.white], np.float32)
        expose(light, self.blur, white, self.look.noise, self.word, x0, y0, rgb)
        return rgb


def section_painter(
    plan: PhantomSlide, tissue: TissueFields, section: Section, transform: Transform
) -> SectionPainter:
    """Prepare a section's painter: sample the tissue at the section's own coarse grid.

    `tissue` is the slide's own, `section` what is shown of it (`stress_sections`).
    """
    look = plan.he if section.name == "he" else plan.ihc
    rng = stream(plan.key, section.name, "grain")
    grain = ndimage.gaussian_filter(
        rng.standard_normal((GRAIN, GRAIN), dtype=np.float32), 1.5, mode="wrap"
    )
    sigma_px = look.blur_um / plan.mpp
    taps = np.arange(-max(int(np.ceil(3 * sigma_px)), 1), max(int(np.ceil(3 * sigma_px)), 1) + 1)
    blur = np.exp(-0.5 * (taps / sigma_px) ** 2)
    grain /= grain.std()
    return SectionPainter(
        plan=plan,
        look=look,
        section=section,
        ground=_ground(plan, stressed_tissue(plan, tissue), section.name, look, transform),
        grain=grain,
        grain_offset=rng.uniform(0, GRAIN, (3, 2)).astype(np.float32),
        lumens=lumen_discs(plan, tissue, section.name, transform),
        dust=dust_discs(plan, section.name),
        stains=np.array(
            [look.first_od, look.second_od, DUST_OD, pen_colour(plan, section.name)], np.float32
        ),
        blur=(blur / blur.sum())[None].astype(np.float32),
        word=stream_word(plan.key, section.name, "noise"),
        stress=stress_paint(plan, tissue, section, transform, grain),
    )


def _ground(
    plan: PhantomSlide,
    tissue: TissueFields,
    section: str,
    look: SectionLook,
    transform: Transform,
) -> npt.NDArray[np.float32]:
    rows, columns = tissue.shape
    y, x = np.mgrid[:rows, :columns].astype(np.float32) * np.float32(FIELD_UM)
    if section == "he":
        planes = [tissue.edge_um, tissue.stroma, *tissue.fibre, tissue.eosin]
    else:
        origin = transform.inverse(np.stack([x.ravel(), y.ravel()], axis=1))
        planes = [
            tissue.at(plane, origin[:, 0], origin[:, 1]).reshape(rows, columns)
            for plane in (tissue.edge_um, tissue.stroma, *tissue.fibre, tissue.eosin)
        ]
    planes += [
        unevenness(plan, section, (rows, columns), look.unevenness),
        fold_gain(plan, section, x, y),
        pen_ink(plan, section, x, y, planes[0]),
    ]
    return np.ascontiguousarray(np.stack(planes, axis=2), np.float32)
