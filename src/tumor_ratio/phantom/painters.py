"""Compiled painters of a block: cells, nuclei, ground, and the optics that turn dye into pixels.

All work in float32 on a block with a margin; a pixel's value depends on its position on the slide
and on the profiles' order, never on the block it is painted in. Pixel `(row, column)` of a block
covers `[column, column + 1)` pixels from the block's corner `(x0, y0)` on the slide.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tumor_ratio.phantom.compiled import compiled

Plane = npt.NDArray[np.float32]
GRAIN = 512
"""Side of the periodic noise texture, whose bumps are about 4 pixels wide."""
HALF_DOSE = np.float32(0.25)
"""Share of the section's thickness at which a nucleus reaches half its final darkness."""


@compiled
def _grain_at(grain: Plane, u: float, v: float) -> float:
    """Bilinear value of the periodic texture."""
    fu, fv = np.floor(u), np.floor(v)
    du, dv = np.float32(u - fu), np.float32(v - fv)
    c0, r0 = int(fu) & (GRAIN - 1), int(fv) & (GRAIN - 1)
    c1, r1 = (c0 + 1) & (GRAIN - 1), (r0 + 1) & (GRAIN - 1)
    top = grain[r0, c0] + du * (grain[r0, c1] - grain[r0, c0])
    low = grain[r1, c0] + du * (grain[r1, c1] - grain[r1, c0])
    return top + dv * (low - top)


@compiled
def paint_bodies(
    profiles: Plane, x0: int, y0: int, mpp: float, nearest: Plane, second: Plane
) -> None:
    """Distance to the nearest and second nearest cell, in units of the cells' radii (in place)."""
    rows, columns = nearest.shape
    for n in range(profiles.shape[0]):
        body = profiles[n, 25]
        if body <= 0:
            continue
        reach = body * np.float32(1.35)
        cx, cy = profiles[n, 0] / mpp - x0, profiles[n, 1] / mpp - y0
        r0, r1 = max(int(cy - reach / mpp), 0), min(int(cy + reach / mpp) + 1, rows)
        c0, c1 = max(int(cx - reach / mpp), 0), min(int(cx + reach / mpp) + 1, columns)
        scale = np.float32(mpp / body)
        for r in range(r0, r1):
            dy = np.float32(r + 0.5 - cy) * scale
            for c in range(c0, c1):
                dx = np.float32(c + 0.5 - cx) * scale
                d = dx * dx + dy * dy
                if d < nearest[r, c]:
                    second[r, c] = nearest[r, c]
                    nearest[r, c] = d
                elif d < second[r, c]:
                    second[r, c] = d


@compiled
def paint_nuclei(
    profiles: Plane,
    x0: int,
    y0: int,
    mpp: float,
    thickness: float,
    grain: Plane,
    first: Plane,
    dab: Plane,
    cover: Plane,
    visible_share: float,
    labels: npt.NDArray[np.int32],
    label_dose: Plane,
) -> None:
    """Add the nuclei's dyes to `first` and `dab`, and how much of a pixel they fill to `cover`.

    `labels` takes the number (row of `profiles` + 1) of the nucleus that fills most of the section
    in the pixel, where that is at least `visible_share` of it; `label_dose` is its zeroed scratch
    plane. Pass empty arrays to do without.
    """
    rows, columns = first.shape
    labelled = labels.size > 0
    half = np.float32(0.5 * thickness)
    per_thickness = np.float32(1.0 / thickness)
    one = np.float32(1.0)
    for n in range(profiles.shape[0]):
        reach = profiles[n, 26]
        cx, cy = profiles[n, 0] / mpp - x0, profiles[n, 1] / mpp - y0
        r0, r1 = max(int(cy - reach / mpp), 0), min(int(cy + reach / mpp) + 1, rows)
        c0, c1 = max(int(cx - reach / mpp), 0), min(int(cx + reach / mpp) + 1, columns)
        if r0 >= r1 or c0 >= c1:
            continue
        cos, sin = profiles[n, 2], profiles[n, 3]
        per_long, per_short = one / profiles[n, 4], one / profiles[n, 5]
        deep, depth = profiles[n, 6], profiles[n, 7]
        amount, brown = profiles[n, 8], profiles[n, 9]
        per_grain, gain = one / profiles[n, 10], profiles[n, 11]
        grain_u, grain_v = profiles[n, 12], profiles[n, 13]
        l2c, l2s, l3c, l3s = profiles[n, 14], profiles[n, 15], profiles[n, 16], profiles[n, 17]
        spot_u, spot_v, spot_gain = profiles[n, 18], profiles[n, 19], profiles[n, 21]
        per_spot2 = one / (profiles[n, 20] * profiles[n, 20] + np.float32(1e-6))
        spot2_u, spot2_v, rim = profiles[n, 22], profiles[n, 23], profiles[n, 24]
        for r in range(r0, r1):
            dy = np.float32((r + 0.5 - cy) * mpp)
            for c in range(c0, c1):
                dx = np.float32((c + 0.5 - cx) * mpp)
                u, v = cos * dx + sin * dy, cos * dy - sin * dx
                a, b = u * per_long, v * per_short
                rho2 = a * a + b * b
                if rho2 > np.float32(2.0):
                    continue
                inverse = one / np.sqrt(rho2 + np.float32(1e-6))
                p, q = a * inverse, b * inverse
                lobe = (
                    l2c * (p * p - q * q)
                    + l2s * np.float32(2.0) * p * q
                    + l3c * p * (np.float32(4.0) * p * p - np.float32(3.0))
                    + l3s * q * (np.float32(3.0) - np.float32(4.0) * q * q)
                )
                rho2 *= (one + lobe) * (one + lobe)
                if rho2 >= one:
                    continue
                h = deep * np.sqrt(one - rho2)
                path = (min(depth + h, half) - max(depth - h, -half)) * per_thickness
                if path <= 0:
                    continue
                dose = path * (one + HALF_DOSE) / (path + HALF_DOSE)
                texture = one + gain * _grain_at(
                    grain, grain_u + u * per_grain, grain_v + v * per_grain
                )
                texture += rim * (np.float32(4.0) * rho2 * rho2 * (one - rho2))
                s = ((u - spot_u) ** 2 + (v - spot_v) ** 2) * per_spot2
                s = min(s, ((u - spot2_u) ** 2 + (v - spot2_v) ** 2) * per_spot2)
                if s < np.float32(2.0):
                    texture += spot_gain / (one + s * s * s)
                texture = max(texture, np.float32(0.15))
                value = amount * dose * texture
                old = first[r, c]
                first[r, c] = max(old, value) + np.float32(0.35) * min(old, value)
                if brown > 0:
                    dab[r, c] += brown * dose * (one + np.float32(0.5) * (texture - one))
                if labelled and path >= visible_share and dose > label_dose[r, c]:
                    labels[r, c] = n + 1
                    label_dose[r, c] = dose
                if dose > cover[r, c]:
                    cover[r, c] = dose


@compiled
def paint_discs(discs: Plane, x0: int, y0: int, mpp: float, plane: Plane) -> None:
    """Raise `plane` to the value of soft-edged ellipses: lumens, vessels, dust.

    `discs`: (N, 8) x, y, cos, sin, long, short (um), softness (share of the radius), value.
    """
    rows, columns = plane.shape
    for n in range(discs.shape[0]):
        cos, sin, long, short = discs[n, 2], discs[n, 3], discs[n, 4], discs[n, 5]
        soft, value = discs[n, 6], discs[n, 7]
        reach = max(long, short) * (1 + soft)
        cx, cy = discs[n, 0] / mpp - x0, discs[n, 1] / mpp - y0
        r0, r1 = max(int(cy - reach / mpp), 0), min(int(cy + reach / mpp) + 1, rows)
        c0, c1 = max(int(cx - reach / mpp), 0), min(int(cx + reach / mpp) + 1, columns)
        for r in range(r0, r1):
            for c in range(c0, c1):
                dx, dy = np.float32((c + 0.5 - cx) * mpp), np.float32((r + 0.5 - cy) * mpp)
                a, b = (cos * dx + sin * dy) / long, (cos * dy - sin * dx) / short
                inside = (np.float32(1.0) - np.sqrt(a * a + b * b)) / soft + np.float32(0.5)
                if inside > 0:
                    plane[r, c] = max(plane[r, c], value * min(inside, np.float32(1.0)))


@compiled
def develop(
    ground: npt.NDArray[np.float32],
    ground_um: float,
    x0: int,
    y0: int,
    mpp: float,
    grain: Plane,
    grain_offset: Plane,
    nearest: Plane,
    second_nearest: Plane,
    hole: Plane,
    dust: Plane,
    first: Plane,
    dab: Plane,
    cover: Plane,
    haze: float,
    counter: float,
    background: float,
    stains: Plane,
    out: npt.NDArray[np.float32],
) -> None:
    """Add the ground (cytoplasm, collagen, glass) to the nuclei and turn dye into light.

    `ground`: (rows, columns, 8) coarse planes every `ground_um`: distance to the outline (um),
    collagen share, across and along the collagen (um), cytoplasm amount, unevenness, fold, ink.
    `stains`: (4, 3) optical densities (log10) of the first stain, the second, dust and ink.
    `haze`, `counter`, `background`: amounts of the first stain, of eosin and of unspecific DAB in
    cytoplasm. `out`: (rows, columns, 3) transmittance.
    """
    rows, columns = first.shape
    one = np.float32(1.0)
    n_ground = ground.shape[1]
    line = np.empty((n_ground, 8), np.float32)
    value = np.empty(8, np.float32)
    per_ground = mpp / ground_um
    log10 = np.float32(-2.302585093)
    cell_low = int((x0 + 0.5) * per_ground) if x0 >= 0 else 0
    cell_low = min(max(cell_low, 0), n_ground - 2)
    cell_high = min(max(int((x0 + columns + 0.5) * per_ground) + 2, 2), n_ground)
    for r in range(rows):
        y_um = (y0 + r + 0.5) * mpp
        gy = min(max((y0 + r + 0.5) * per_ground, 0.0), ground.shape[0] - 1.001)
        i = int(gy)
        fy = np.float32(gy - i)
        for j in range(cell_low, cell_high):
            for k in range(8):
                line[j, k] = ground[i, j, k] + fy * (ground[i + 1, j, k] - ground[i, j, k])
        for c in range(columns):
            x_um = (x0 + c + 0.5) * mpp
            gx = min(max((x0 + c + 0.5) * per_ground, 0.0), n_ground - 1.001)
            j = int(gx)
            fx = np.float32(gx - j)
            for k in range(8):
                value[k] = line[j, k] + fx * (line[j + 1, k] - line[j, k])
            od0 = od1 = np.float32(0.0)
            if value[0] > -6:
                fine = _grain_at(
                    grain, x_um * 1.9 + grain_offset[0, 0], y_um * 1.9 + grain_offset[0, 1]
                )
                broad = _grain_at(
                    grain, x_um * 0.43 + grain_offset[1, 0], y_um * 0.43 + grain_offset[1, 1]
                )
                alpha = min(max((value[0] + 2 * broad) * np.float32(0.7), np.float32(0)), one)
                alpha *= one - hole[r, c]
                collagen = value[1]
                body = np.float32(0.0)
                texture = one + np.float32(0.13) * fine + np.float32(0.12) * broad
                if collagen > 0.02:
                    streak = _grain_at(
                        grain,
                        value[2] * 1.35 + grain_offset[2, 0] + 0.8 * broad,
                        value[3] * 0.16 + grain_offset[2, 1],
                    )
                    cleft = max(streak - np.float32(1.0), np.float32(0.0))
                    texture += collagen * (np.float32(0.26) * streak - np.float32(0.55) * cleft)
                if nearest[r, c] < 1.8:
                    d = np.sqrt(nearest[r, c])
                    body = min(max((np.float32(1.12) - d) * np.float32(5.0), np.float32(0)), one)
                    apart = np.sqrt(second_nearest[r, c]) - d
                    border = max(one - apart * np.float32(7.0), np.float32(0.0)) * body
                    texture += (one - collagen) * (
                        np.float32(0.10) * (body - np.float32(0.55)) + np.float32(0.22) * border
                    )
                gap = (one - collagen) * (one - body) * (one - cover[r, c])
                texture *= one - np.float32(0.38) * gap
                texture = max(texture, np.float32(0.02))
                thin = alpha * value[5] * value[6]
                ground_dye = value[4] * texture
                od0 = thin * (haze * ground_dye + first[r, c])
                od1 = thin * (
                    (counter * (one - np.float32(0.55) * cover[r, c]) + background) * ground_dye
                    + dab[r, c]
                )
            od2, od3 = dust[r, c], value[7]
            if od0 + od1 + od2 + od3 < np.float32(1e-4):
                out[r, c, 0] = out[r, c, 1] = out[r, c, 2] = one
                continue
            for k in range(3):
                od = (
                    od0 * stains[0, k]
                    + od1 * stains[1, k]
                    + od2 * stains[2, k]
                    + od3 * stains[3, k]
                )
                out[r, c, k] = np.exp(log10 * od)


@compiled
def expose(
    light: npt.NDArray[np.float32],
    kernel: Plane,
    white: Plane,
    noise: float,
    word: int,
    x0: int,
    y0: int,
    out: npt.NDArray[np.uint8],
) -> None:
    """Blur, add the sensor's noise, and quantise.

    `kernel`: (1, 2 m + 1) the blur; `light` carries a margin of m pixels; `(x0, y0)` is the slide
    position of `out`'s corner, which, with `word`, decides the noise.
    """
    rows, columns = out.shape[:2]
    taps = kernel.shape[1]
    half_taps = taps // 2
    wide = light.shape[1] * 3
    flat = light.reshape(light.shape[0], wide)
    column_sum = np.empty(wide, np.float32)
    row_sum = np.empty(columns * 3, np.float32)
    noise_scale = np.float32(noise / np.sqrt(2 * (65536.0**2 - 1) / 12))
    for r in range(rows):
        for i in range(wide):
            column_sum[i] = kernel[0, half_taps] * flat[r + half_taps, i]
        for k in range(half_taps):
            w = kernel[0, k]
            for i in range(wide):
                column_sum[i] += w * (flat[r + k, i] + flat[r + taps - 1 - k, i])
        for i in range(columns * 3):
            row_sum[i] = kernel[0, half_taps] * column_sum[i + 3 * half_taps]
        for k in range(half_taps):
            w = kernel[0, k]
            for i in range(columns * 3):
                row_sum[i] += w * (column_sum[i + 3 * k] + column_sum[i + 3 * (taps - 1 - k)])
        for c in range(columns):
            for k in range(3):
                z = np.uint64(word) + np.uint64(0x9E3779B97F4A7C15) * np.uint64(
                    ((y0 + r) * 4194304 + x0 + c) * 4 + k
                )
                z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
                z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
                z ^= z >> np.uint64(31)
                spread = np.float32(
                    np.int64(z & np.uint64(0xFFFF))
                    + np.int64((z >> np.uint64(16)) & np.uint64(0xFFFF))
                    - 65535
                )
                level = row_sum[3 * c + k] * white[0, k] + noise_scale * spread
                out[r, c, k] = np.uint8(min(max(level + np.float32(0.5), np.float32(0)), 255.0))
