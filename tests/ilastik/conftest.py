"""What the tests of ilastik's files share."""

from __future__ import annotations

import pytest

from tumor_ratio.ilastik import exports, image_files, project_reading


@pytest.fixture(autouse=True)
def no_probe(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Files are not read in a process of their own first (half a second), but in its own tests."""
    if request.node.get_closest_marker("probe") is None:
        for module in (exports, image_files, project_reading):
            monkeypatch.setattr(module, "check_survives", lambda path: None)
