"""How an image becomes a training crop: the reference's `preprocess` options."""

from __future__ import annotations

import numpy as np
import torch

from tumor_ratio.errors import TumorRatioError
from tumor_ratio.models.cyclegan.options import PreprocessOptions
from tumor_ratio.models.cyclegan.rgb_values import RgbImage


def preprocess(
    rgb: RgbImage,
    options: PreprocessOptions,
    generator: np.random.Generator,
    *,
    name: str,
    multiple_px: int = 4,
) -> RgbImage:
    """Scale, cut and mirror one image.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    generator : decides place of the crop and mirroring.
    name : for messages.
    multiple_px : sides that are not cropped are rounded to multiples of it.

    Returns
    -------
    (h, w, 3) uint8

    Raises
    ------
    TumorRatioError
        If the image is smaller than the crop.
    """
    if options.preprocess == "resize_and_crop":
        rgb = resized(rgb, options.load_size, options.load_size)
    elif options.preprocess in ("scale_width", "scale_width_and_crop"):
        height = round(rgb.shape[0] * options.load_size / rgb.shape[1])
        rgb = resized(rgb, max(height, options.crop_size), options.load_size)
    if options.crops:
        rgb = _crop(rgb, options.crop_size, generator, name)
    else:
        rgb = resized(rgb, *(_rounded(side, multiple_px) for side in rgb.shape[:2]))
    if not options.no_flip and generator.random() < 0.5:
        rgb = rgb[:, ::-1]
    if options.turns:
        rgb = np.rot90(rgb, int(generator.integers(4)))
    return np.ascontiguousarray(rgb)


def resized(rgb: RgbImage, height: int, width: int) -> RgbImage:
    """(height, width, 3) uint8, bicubic, smoothed where it shrinks."""
    if rgb.shape[:2] == (height, width):
        return rgb
    image = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None]
    image = torch.nn.functional.interpolate(image, (height, width), mode="bicubic", antialias=True)
    return image[0].permute(1, 2, 0).contiguous().numpy()


def _crop(rgb: RgbImage, size_px: int, generator: np.random.Generator, name: str) -> RgbImage:
    height, width = rgb.shape[:2]
    if min(height, width) < size_px:
        raise TumorRatioError(
            f"{name} is {width} x {height} px, smaller than the crop of {size_px} px",
            "lower `crop_size`, take larger tiles, or set `preprocess: resize_and_crop`",
        )
    y, x = (int(generator.integers(side - size_px + 1)) for side in (height, width))
    return rgb[y : y + size_px, x : x + size_px]


def _rounded(side: int, multiple: int) -> int:
    return max(multiple, round(side / multiple) * multiple)
