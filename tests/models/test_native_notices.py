import os

import pytest

from tumor_ratio.models.native_notices import without_notices

NOTICES = (
    b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    b"I0000 00:00:1796119403.113260    2239 port.cc:153] oneDNN custom operations are on.\n"
)
ERROR = b"E0000 00:00:1796119403.113260    2239 port.cc:153] no memory\n"


def test_notices_are_held_back_and_errors_are_not(capfd):
    with without_notices():
        os.write(2, NOTICES + ERROR)
    os.write(2, b"later\n")
    assert capfd.readouterr().err.encode() == ERROR + b"later\n"


def broken_import():
    with without_notices():
        os.write(2, ERROR)
        raise ImportError("broken")


def test_an_exception_comes_with_what_was_written_before_it(capfd):
    with pytest.raises(ImportError, match="broken"):
        broken_import()
    assert capfd.readouterr().err.encode() == ERROR
