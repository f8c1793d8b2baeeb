"""Lets timm import where torchvision's build does not match torch's.

timm imports torchvision unconditionally, although the networks used here need none of its
operators. A torchvision compiled for another torch (a CUDA torchvision beside a CPU torch, as
package indexes hand out) cannot load its operator library, and its import then stops with
``operator torchvision::nms does not exist``. Declaring the missing operators' schemas beforehand
is enough: they are never called, and a call would say that they have no kernel.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

OPERATORS = ("nms", "qnms")
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


@functools.cache
def ensure_torchvision() -> bool:
    """Make ``import torchvision`` work; call it before the first ``import timm``.

    Returns
    -------
    bool
        True where torchvision's operators had to be declared, False where it imports natively.

    Raises
    ------
    ImportError
        If torchvision is not installed.
    RuntimeError
        If torchvision's import fails for another reason than the missing operators.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    else:
        return False
    # A failed import leaves its finished submodules behind; torchvision stops before it
    # registers anything with torch, so importing anew is safe.
    for name in [m for m in sys.modules if m == "torchvision" or m.startswith("torchvision.")]:
        del sys.modules[name]
    _declare_operators()
    import torchvision  # noqa: F401

    return True


@functools.cache
def _declare_operators() -> Any:
    """Declare the operators without kernels; they live as long as the library, hence the cache."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in OPERATORS:
        if not hasattr(torch.ops.torchvision, operator):
            library.define(operator + SCHEMA)
    return library
