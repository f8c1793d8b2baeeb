"""Ratios of patches from a trained network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

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
from tumor_ratio.models.prediction_options import Flips
from tumor_ratio.models.regressor import RatioRegressor

BATCH_SIZE = 32


def views(images: torch.Tensor, flips: Flips) -> Iterator[torch.Tensor]:
    """(B, C, H, H) images as they are, or in all eight flips and quarter turns."""
    yield images
    if flips == "dihedral":
        for turns in range(1, 4):
            yield _channels_last(images.rot90(turns, (-2, -1)))
        for turns in range(4):
            yield _channels_last(images.flip(-1).rot90(turns, (-2, -1)))


def _channels_last(images: torch.Tensor) -> torch.Tensor:
    return images.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Predictor:
    """A regressor with everything it needs to answer.

    Parameters
    ----------
    network : already on the device of `compute`.
    normalisation : the one it was trained with.
    compute : in float32 an answer depends on neither the order of patches nor batch size nor
        threads, to 1e-6; under bf16 it may move by some 0.005 against float32.
    others : further members of an ensemble, alike but for their weights; answers are the mean.
    flips : `dihedral` averages over the eight flips and quarter turns of each patch.
    """

    network: RatioRegressor
    normalisation: AnyNormalisation
    compute: Compute
    others: tuple[RatioRegressor, ...] = ()
    flips: Flips = "none"

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
        return self._answers(source, lambda network, images: network(images), batch_size)

    def bin_shares(
        self, source: PatchSource, *, batch_size: int = BATCH_SIZE
    ) -> NDArray[np.float32]:
        """(N, K) float32 probabilities of the K bins; for heads with bins."""
        return self._answers(
            source, lambda network, images: network.bin_shares(network.features(images)), batch_size
        )

    def seen(self, source: PatchSource, *, batch_size: int = BATCH_SIZE) -> NDArray[np.float32]:
        """(N, ...) float32: what the backbone sees (`RatioRegressor.seen`); of one network,
        unflipped.
        """
        alone = replace(self, others=(), flips="none")
        return alone._answers(source, lambda network, images: network.seen(images), batch_size)

    def _answers(
        self,
        source: PatchSource,
        ask: Callable[[RatioRegressor, torch.Tensor], torch.Tensor],
        batch_size: int,
    ) -> NDArray[np.float32]:
        """Mean answer of all networks to all views of each patch, in the source's order."""
        networks = (self.network, *self.others)
        batches = in_batches(np.arange(len(source)), batch_size)
        if not batches:
            return np.empty(0, dtype=np.float32)
        found = []
        for network in networks:
            network.eval()
        with self.compute.threading(), torch.no_grad():
            for _, rgb in read_ahead(source, batches, self.compute.readers):
                self._check(rgb)
                images = self.normalisation.apply(self.compute.images(rgb))
                answers = []
                for view in views(images, self.flips):
                    with self.compute.autocast():
                        answers += [ask(network, view).float() for network in networks]
                found.append(torch.stack(answers).mean(dim=0))  # a GPU need not wait for us
            return torch.cat(found).cpu().numpy()

    def _check(self, rgb: RgbBatch) -> None:
        side = self.network.architecture.patch_px
        if rgb.dtype != np.uint8 or rgb.ndim != 4 or rgb.shape[1:] != (side, side, 3):
            raise ValueError(
                f"the network takes (N, {side}, {side}, 3) uint8 patches, "
                f"not {rgb.shape} {rgb.dtype}"
            )
