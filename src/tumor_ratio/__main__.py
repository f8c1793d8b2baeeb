"""`python -m tumor_ratio`: the project's own `kedro run`."""

import sys
from pathlib import Path
from typing import Any

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project


def main(*args: Any, **kwargs: Any) -> Any:
    """Run the project as an installed package, with the options of `kedro run`."""
    configure_project(Path(__file__).parent.name)
    kwargs["standalone_mode"] = not hasattr(sys, "ps1")
    return find_run_command(Path(__file__).parent.name)(*args, **kwargs)


if __name__ == "__main__":
    main()
