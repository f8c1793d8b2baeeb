"""Which versions of which packages made a result."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Final

PACKAGES: Final = (
    "tumor-ratio", "torch", "timm", "stardist", "tensorflow-cpu", "numpy", "pandas", "scikit-learn",
    "scikit-image", "openslide-python", "tifffile", "kedro", "mlflow",
)  # fmt: skip


def software_versions() -> dict[str, str]:
    """Version by package, Python first; packages that are not installed are left out."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
