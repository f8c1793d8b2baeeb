"""Do translations look like the stain as a whole? The kernel distance of patches (KID)."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tumor_ratio.approaches.cyclegan import NAME as APPROACH
from tumor_ratio.cohort.frame_readers import SectionInFrame
from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.patches import PatchReader
from tumor_ratio.imaging.regions import iter_regions
from tumor_ratio.metrics.kernel_distance import kernel_distance_of_subsets
from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.pipelines.gan_translation.params import KidParams

if TYPE_CHECKING:
    from tumor_ratio.models.image_features import FeatureNetwork
    from tumor_ratio.models.patch_source import PatchSource

logger = logging.getLogger(__name__)

GROUP = f"{APPROACH}.kid"


def kid_of_slides(
    slides: Mapping[str, tuple[PatchSource, PatchSource]],
    params: KidParams,
    compute: ComputeOptions,
) -> dict[str, float]:
    """The distance of virtual patches to real ones, all slides together.

    Parameters
    ----------
    slides : patches of the real and of the virtual Ki-67 slide by slide id, see `kid_readers`.
    params : without weights nothing is computed.
    compute : what to compute with.

    Returns
    -------
    dict
        `translation_kid`, and `translation_kid_sd` over subsets; what is undefined is left out. A
        slide that cannot be read is left out with a warning.

    Raises
    ------
    ConfigurationError, ModelUnavailableError
        If the network or its weights cannot be had.

    Notes
    -----
    It says whether virtual patches look like real ones, not whether they show positive nuclei where
    they are: a translation that invents them at random can come out well. Real and virtual patches
    of one place are not independent, which lowers the distance by a share of 1 / patches.
    """
    if not params.weights_path or not slides:
        return {}
    network = kid_network(params, compute)
    found = []
    for sources in slides.values():
        if not all(len(source) for source in sources):
            continue
        try:
            found.append([network.features(source) for source in sources])
        except SlideError as error:
            logger.warning("left out of the kernel distance: %s", error)
    if not found:
        return {}
    real, virtual = (np.concatenate(features) for features in zip(*found, strict=True))
    distance = kernel_distance_of_subsets(
        real, virtual, subsets=params.subsets, subset_size=params.subset_size, seed=params.seed
    )
    figures = {"translation_kid": distance.mean, "translation_kid_sd": distance.sd}
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def kid_network(params: KidParams, compute: ComputeOptions) -> FeatureNetwork:
    """The network whose features are compared.

    Raises
    ------
    ConfigurationError, ModelUnavailableError
        If it or its weights cannot be had.
    """
    # torch takes seconds to import and is of no use to the other steps of this package.
    from tumor_ratio.models.devices import resolve_compute
    from tumor_ratio.models.image_features import load_feature_network

    path = Path(params.weights_path).expanduser()
    return load_feature_network(params.network, path, resolve_compute(compute), group=GROUP)


def kid_readers(
    pair: SlidePair, translated: SlidePair, patches: pd.DataFrame, params: KidParams
) -> tuple[PatchReader, PatchReader]:
    """Patches of one slide on real Ki-67 and on its translation, at the same places.

    Parameters
    ----------
    pair : the slide pair; its Ki-67 section is read in the H&E slide's frame.
    translated : the same with its virtual Ki-67 slide, see `slide_steps.as_virtual`.
    patches : `schemas.Regions` of that slide, all of one size.
    params : `patches` of them are taken, spread evenly.

    Returns
    -------
    PatchReader, PatchReader
        Real, virtual; nothing is read yet.
    """
    n = min(params.patches, len(patches))
    places = ((np.arange(n) + 0.5) * len(patches) / max(n, 1)).astype(np.intp)
    regions = list(iter_regions(patches.iloc[places]))
    real, virtual = (
        PatchReader({pair.slide_id: SectionInFrame(each, "ihc")}, regions, 0)
        for each in (pair, translated)
    )
    return real, virtual
