"""Ratios of patches from a trained network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tumor_ratio.models.devices import Compute
from tumor_ratio.models.normalisation import AnyNormalisation
from tumor_ratio.models.patch_source import (
    ArrayPatches,
    PatchSource,
    RgbBatch,
    in_batches,
    read_ahead,
)
from tumor_ratio.models.regressor import RatioRegressor

BATCH_SIZE = 32


@dataclass(frozen=True)
class Predictor:
    """A regressor with everything it needs to answer.

    Parameters
    ----------
    network : already on the device of `compute`.
    normalisation : the one it was trained with.
    compute : in float32 an answer depends on neither the order of patches nor batch size nor
        threads, to 1e-6; under bf16 it may move by some 0.005 against float32.
    """

    network: RatioRegressor
    normalisation: AnyNormalisation
    compute: Compute

    def predict(self, rgb: RgbBatch, *, batch_size: int = BATCH_SIZE) -> NDArray[np.float32]:
        """Ratios of patches in memory.

        Parameters
        ----------
        rgb : (N, patch_px, patch_px, 3) uint8
        batch_size : patches computed at once.

        Returns
        -------
        (N,) float32
            As the network gives them: an unbounded head may leave [0, 1].

        Raises
        ------
        ValueError
            If the patches are not 8-bit RGB of the network's size.
        """
        return self.predict_source(ArrayPatches(rgb), batch_size=batch_size)

    def predict_source(
        self, source: PatchSource, *, batch_size: int = BATCH_SIZE
    ) -> NDArray[np.float32]:
        """(N,) float32 ratios of a source's patches; reads ahead, holds a few batches in memory."""
        ratios = np.empty(len(source), dtype=np.float32)
        batches = in_batches(np.arange(len(source)), batch_size)
        self.network.eval()
        with self.compute.threading(), torch.no_grad():
            for indices, rgb in read_ahead(source, batches):
                self._check(rgb)
                images = self.normalisation.apply(self.compute.images(rgb))
                with self.compute.autocast():
                    ratios[indices] = self.network(images).float().cpu().numpy()
        return ratios

    def _check(self, rgb: RgbBatch) -> None:
        side = self.network.architecture.patch_px
        if rgb.dtype != np.uint8 or rgb.ndim != 4 or rgb.shape[1:] != (side, side, 3):
            raise ValueError(
                f"the network takes (N, {side}, {side}, 3) uint8 patches, "
                f"not {rgb.shape} {rgb.dtype}"
            )
