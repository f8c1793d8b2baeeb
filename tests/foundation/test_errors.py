"""Errors say what, where and what next, and survive the way back from a worker process."""

from __future__ import annotations

import pickle

from tumor_ratio.errors import ManifestError, SlideError, TumorRatioError


def test_a_slide_error_names_slide_and_remedy():
    error = SlideError("s07", "no pixel size in the file", "set he_mpp in the manifest")
    assert str(error) == "slide s07: no pixel size in the file; set he_mpp in the manifest"


def test_errors_survive_pickling():
    for error in (
        SlideError("s07", "no pixel size", "set he_mpp"),
        TumorRatioError("disk full", "free 3 GB"),
        ManifestError("m.csv", ["row 2: no slide_id", "row 5: he_mpp 'x'"]),
    ):
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert str(copy) == str(error)


def test_a_manifest_error_lists_every_problem():
    text = str(ManifestError("m.csv", ["row 2: no slide_id", "row 5: bad mpp"]))
    assert "2 problem(s)" in text
    assert "row 2: no slide_id" in text
    assert "row 5: bad mpp" in text
