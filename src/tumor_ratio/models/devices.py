"""Where and how precisely networks compute: device, number format, memory layout, threads."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from tumor_ratio.errors import ConfigurationError
from tumor_ratio.processes import own_threads

logger = logging.getLogger(__name__)

DeviceName = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bf16"]

MOST_READERS = 16


@dataclass(frozen=True)
class ComputeOptions:
    """What the user asks for.

    Parameters
    ----------
    device : `auto` takes CUDA where there is a usable GPU.
    precision : `auto` takes bf16 (by autocast; the weights stay float32) where the processor
        multiplies it natively, `float32` otherwise. bf16 keeps 8 bits of mantissa: a predicted
        ratio moves by some 0.005, and the last digits may depend on batch size.
    threads : CPU threads of torch, at least 1; None leaves torch's own choice, which follows
        `OMP_NUM_THREADS` and the number of cores.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    device: DeviceName = "auto"
    precision: Precision = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        """Check the bounds."""
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1, not {self.threads}")


@dataclass(frozen=True)
class Compute:
    """What this machine does.

    Parameters
    ----------
    device : `cpu` or `cuda`.
    bf16 : whether forward passes run under bf16 autocast.
    threads : CPU threads of torch.
    """

    device: Literal["cpu", "cuda"]
    bf16: bool
    threads: int

    @property
    def precision(self) -> str:
        """`bf16` or `float32`, for the model card."""
        return "bf16" if self.bf16 else "float32"

    @property
    def readers(self) -> int:
        """Threads that read for the network: one where it computes on the cores itself, and all
        cores but one beside a GPU, which takes patches faster than a core decodes them.
        """
        return 1 if self.device == "cpu" else max(1, min(MOST_READERS, own_threads() - 1))

    def place(self, module: Any) -> Any:
        """Move a module to the device, with convolution weights channels-last; returns it."""
        import torch

        return module.to(device=self.device, memory_format=torch.channels_last)

    def images(self, rgb: Any) -> Any:
        """(B, H, W, 3) uint8 array as a (B, 3, H, W) float32 tensor on the device, 0 to 255.

        The array's own layout is channels-last already, so nothing is copied to reorder it.
        """
        import torch

        batch = torch.from_numpy(rgb).to(self.device, non_blocking=True)
        return batch.permute(0, 3, 1, 2).float()

    def for_training(self, module: Any) -> Compute:
        """How to train a network: in float32 where it has depthwise convolutions on a CPU, whose
        gradients take twice as long in bf16.
        """
        depthwise = any(getattr(each, "groups", 1) > 1 for each in module.modules())
        return replace(self, bf16=self.bf16 and not (depthwise and self.device == "cpu"))

    def autocast(self) -> Any:
        """Context in which forward passes and losses run."""
        import torch

        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.bf16)

    @contextlib.contextmanager
    def threading(self) -> Iterator[None]:
        """Within the context torch uses `threads` CPU threads."""
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def resolve_compute(options: ComputeOptions) -> Compute:
    """Settle `auto` on this machine.

    Raises
    ------
    ConfigurationError
        If `cuda` is asked for and there is no usable GPU.
    """
    import torch

    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError(
            "device 'cuda' is asked for and torch sees no usable GPU",
            "set `device: auto` or `device: cpu`, or install a torch built for this GPU's driver",
        )
    native = has_native_bf16(device)
    if options.precision == "bf16" and not native:
        logger.warning("this %s does not multiply bf16 natively: `precision: bf16` is slow", device)
    bf16 = native if options.precision == "auto" else options.precision == "bf16"
    if device == "cuda":
        # Convolutions of float32 would multiply 10 bits of mantissa: float32 means float32.
        torch.backends.cudnn.conv.fp32_precision = "ieee"
    return Compute(device, bf16, options.threads or torch.get_num_threads())


def has_native_bf16(device: str) -> bool:
    """Whether the device multiplies bf16 in hardware, so that autocast is a gain and no loss."""
    import torch

    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # torch has no public name for these before `get_capabilities`; without them: float32.
    if hasattr(torch.cpu, "get_capabilities"):
        known = torch.cpu.get_capabilities()
        return bool(known.get("avx512_bf16") or known.get("amx_bf16") or known.get("arm_bf16"))
    avx512 = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return bool(avx512() or amx())
