"""The files that the parameters name, checked before hours of work rest on them."""

from __future__ import annotations

from pathlib import Path

from tumor_ratio.approaches.cyclegan import NAME as APPROACH
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.models.shipped import SHIPPED
from tumor_ratio.pipelines.gan_translation.kid import kid_network
from tumor_ratio.pipelines.gan_translation.params import CycleGanParams

REMEDY = "correct the path, or leave the setting empty"


def check_given_files(params: CycleGanParams) -> None:
    """Look for the files, and try the network that KID needs, which is used last of all.

    Networks of `checkpoint` and `initial` are read when the training starts.

    Raises
    ------
    ConfigurationError
        Naming all files that are missing; or if KID's network does not fit.
    ModelUnavailableError
        If the file of `kid.weights_path` holds no weights of that network.
    """
    missing = [
        f"{APPROACH}.{setting}: there is no file {path}"
        for setting, path in _files(params)
        if not path.is_file()
    ]
    if missing:
        raise ConfigurationError("; ".join(missing), REMEDY)
    if params.kid.weights_path:
        kid_network(params.kid, params.translation)


def _files(params: CycleGanParams) -> list[tuple[str, Path]]:
    files = [("checkpoint", params.checkpoint), ("kid.weights_path", params.kid.weights_path)]
    found = [(setting, Path(file).expanduser().absolute()) for setting, file in files if file]
    if params.initial and params.initial != SHIPPED:
        # torch takes seconds to import.
        from tumor_ratio.models.cyclegan.checkpoint_files import checkpoint_path
        from tumor_ratio.models.cyclegan.networks import NETWORK_NAMES

        folder = Path(params.initial).expanduser().absolute()
        found += [("initial", checkpoint_path(folder, name)) for name in NETWORK_NAMES]
    return found
