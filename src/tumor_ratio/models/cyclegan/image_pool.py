"""Earlier translations for the discriminators, against oscillation (Shrivastava et al. 2017)."""

from __future__ import annotations

from typing import Any

import torch


class ImagePool:
    """Keeps up to `size` images; once full, half of the queries get an earlier one in exchange.

    Parameters
    ----------
    size : 0 gives every image straight back.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[torch.Tensor] = []

    def exchange(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Images to show instead of these.

        Parameters
        ----------
        images : (B, 3, H, W) without gradient.
        generator : on the CPU, whatever the images' device.

        Returns
        -------
        (B, 3, H, W)
        """
        if self.size == 0:
            return images
        return torch.cat([self._exchange_one(image, generator) for image in images.split(1)])

    def _exchange_one(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        if len(self.images) < self.size:
            self.images.append(image.clone())  # a view would keep its batch
            return image
        if torch.rand(1, generator=generator) <= 0.5:
            return image
        place = int(torch.randint(self.size, (1,), generator=generator))
        earlier, self.images[place] = self.images[place], image.clone()
        return earlier

    def state(self) -> list[torch.Tensor]:
        """The images, for a checkpoint."""
        return [image.cpu() for image in self.images]

    def load_state(self, state: list[Any], device: str) -> None:
        """Take back what `state` gave."""
        self.images = [image.to(device) for image in state]
