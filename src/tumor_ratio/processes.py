"""What this machine's other processes are up to."""

from __future__ import annotations

import os


def is_running(pid: int) -> bool:
    """Whether a process of this number runs on this machine; True where one cannot tell."""
    if os.name == "nt":
        return True  # signal 0 would interrupt the process there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's process
    return True
