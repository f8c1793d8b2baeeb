"""Fetches StarDist's own pretrained models; fails at once where there is no network.

Addresses and hashes are those of the stardist package (BSD-3-Clause). StarDist's own download needs
TensorFlow imported and retries for a minute; this one does neither.
"""

from __future__ import annotations

import hashlib
import io
import os
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from tumor_ratio.errors import ModelUnavailableError

_RELEASE = "https://github.com/stardist/stardist-models/releases/download/v0.1"
PRETRAINED = {
    "2D_versatile_fluo": (
        f"{_RELEASE}/python_2D_versatile_fluo.zip",
        "4ad678d0758eed6e55625f1b5ae30771e59adb79f1239e09b9772eac8846c3dd",
    ),
}
MODEL_MEMBERS = ("config.json", "thresholds.json", "weights_best.h5")
TIMEOUT_S = 5.0
CACHE_VARIABLE = "TUMOR_RATIO_CACHE"


def cache_folder() -> Path:
    """Where fetched models are kept: `TUMOR_RATIO_CACHE`, or `~/.cache/tumor_ratio`."""
    return Path(os.environ.get(CACHE_VARIABLE, "~/.cache/tumor_ratio")).expanduser()


def fetch_pretrained(name: str) -> Path:
    """The folder of a pretrained model; downloads it once.

    Parameters
    ----------
    name : a key of `PRETRAINED`.

    Raises
    ------
    ModelUnavailableError
        If it is not in the cache and the download fails or is damaged.
    """
    folder = cache_folder() / "stardist" / name
    if all((folder / member).is_file() for member in MODEL_MEMBERS):
        return folder
    address, expected = PRETRAINED[name]
    remedy = (
        f"unpack {address} yourself and give the folder's path as nuclei_model.choice, or choose "
        "'shipped'"
    )
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as reply:
            archive = reply.read()
    except (OSError, urllib.error.URLError) as error:
        raise ModelUnavailableError(
            f"nuclei model '{name}' is not at hand and cannot be downloaded ({error})", remedy
        ) from error
    if hashlib.sha256(archive).hexdigest() != expected:
        raise ModelUnavailableError(
            f"nuclei model '{name}': the download is damaged or is another file", remedy
        )
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(archive)) as members:
        for member in MODEL_MEMBERS:
            unfinished = folder / f"{member}.part{os.getpid()}"
            unfinished.write_bytes(members.read(member))
            unfinished.replace(folder / member)
    return folder
