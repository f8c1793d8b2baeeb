"""Batches of two domains whose images have nothing to do with each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.errors import TumorRatioError
from tumor_ratio.models.cyclegan.options import CycleGanOptions
from tumor_ratio.models.cyclegan.preprocessing import preprocess
from tumor_ratio.models.patch_source import Indices, PatchSource, in_batches, read_ahead

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""(B, h, w, 3) uint8 images of domain A and of domain B."""


class UnpairedImages:
    """Draws images of two domains.

    Parameters
    ----------
    domain_a, domain_b : images of equal or differing sizes; read one at a time.
    options : see there; `direction: BtoA` swaps the domains.
    multiple_px : see `preprocess`.

    Raises
    ------
    TumorRatioError
        If a domain is empty.
    """

    def __init__(
        self,
        domain_a: PatchSource,
        domain_b: PatchSource,
        options: CycleGanOptions,
        *,
        multiple_px: int = 4,
    ) -> None:
        for name, source in (("A", domain_a), ("B", domain_b)):
            if len(source) == 0:
                raise TumorRatioError(
                    f"domain {name} is empty: unpaired translation needs images of both",
                    "check which slides and splits it is made from",
                )
        if options.paired and len(domain_a) != len(domain_b):
            raise TumorRatioError(
                f"the domains hold {len(domain_a)} and {len(domain_b)} images, and the stain loss "
                "compares those of the same place",
                "give both domains an image of each place, or set `lambda_stain: 0`",
            )
        swapped = options.direction == "BtoA"
        self.domains = (domain_b, domain_a) if swapped else (domain_a, domain_b)
        self.options, self.multiple_px = options, multiple_px

    def __len__(self) -> int:
        """Images of an epoch: as many as the larger domain has."""
        return max(self._lengths())

    def n_batches(self) -> int:
        """Batches of an epoch."""
        return -(-len(self) // self.options.batch_size)

    def batches(self, generator: np.random.Generator) -> Iterator[Pair]:
        """One epoch; everything random is drawn before the first batch.

        Every image of the larger domain comes once. The other domain's are drawn, or come in turn
        with `serial_batches`; with the stain loss it is the image of the same place, cut alike.
        """
        n, (n_a, n_b) = len(self), self._lengths()
        order = np.arange(n) if self.options.serial_batches else generator.permutation(n)
        drawn = order % n_b if self.options.serial_batches else generator.integers(n_b, size=n)
        if n_b > n_a and not self.options.serial_batches:
            first, second = generator.integers(n_a, size=n), order
        else:
            first, second = order % n_a, order if self.options.paired else drawn
        seeds = generator.integers(2**62, size=n)
        plan = _Plan(self, first, second, seeds)
        for _, pair in read_ahead(plan, in_batches(np.arange(n), self.options.batch_size)):
            yield pair

    def read(self, domain: int, index: int, seed: int) -> NDArray[np.uint8]:
        """(h, w, 3) uint8: one preprocessed image.

        Parameters
        ----------
        domain : 0 for A, 1 for B.
        seed : of crop and mirroring.
        """
        rgb = self.domains[domain].read([index])[0]
        name = f"image {index + 1} of domain {'AB'[domain]}"
        options, generator = self.options.images, np.random.default_rng(seed)
        return preprocess(rgb, options, generator, name=name, multiple_px=self.multiple_px)

    def _lengths(self) -> tuple[int, int]:
        most = self.options.max_dataset_size
        n_a, n_b = (len(d) if most is None else min(most, len(d)) for d in self.domains)
        return n_a, n_b


class _Plan:
    """An epoch's images by their place in it."""

    def __init__(self, images: UnpairedImages, first: Indices, second: Indices, seeds: Indices):
        self.images, self.chosen, self.seeds = images, (first, second), seeds

    def read(self, places: Indices) -> Pair:
        apart = not self.images.options.paired
        a, b = (
            np.stack(
                [
                    self.images.read(
                        domain, int(chosen[place]), int(self.seeds[place]) + apart * domain
                    )
                    for place in places
                ]
            )
            for domain, chosen in enumerate(self.chosen)
        )
        return a, b
