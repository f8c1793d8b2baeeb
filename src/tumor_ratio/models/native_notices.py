"""What compiled libraries write of themselves while they start is held back, all else passed on."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_NOTICE = re.compile(
    rb"[IW]\d{4} |WARNING: All log messages before absl::|To enable the following instructions:"
)
"""Information and warnings of absl, before TensorFlow has read TF_CPP_MIN_LOG_LEVEL."""


@contextmanager
def without_notices() -> Iterator[None]:
    """Keep absl's information and warnings off the process's stderr; everything else comes after.

    C++ writes to the file descriptor, which Python's `redirect_stderr` does not touch.
    """
    sys.stderr.flush()
    try:
        stderr = os.dup(2)
    except OSError:  # the process has none
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if not _NOTICE.match(line):
                    os.write(2, line)
