"""Which files a served model reads, whoever asks."""

from __future__ import annotations

import os

import pytest

from tumor_ratio.errors import SlideError
from tumor_ratio.inference.allowed_places import ALLOWED_ROOTS, allowed_file, allowed_roots


@pytest.fixture
def places(tmp_path):
    """An allowed folder and one beside it whose name starts alike; each has a file."""
    for name in ("slides", "slides_of_others"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "a.svs").write_text("pixels")
    return tmp_path / "slides", tmp_path / "slides_of_others"


def allowed(named, *roots):
    environment = {ALLOWED_ROOTS: os.pathsep.join(map(str, roots))}
    return allowed_file(str(named), "s", allowed_roots(environment))


def test_files_in_the_folders_are_allowed_also_by_links_that_stay_inside(places, tmp_path):
    inside, other = places
    (inside / "deep" / "link.svs").symlink_to(inside / "a.svs")
    (tmp_path / "root").symlink_to(inside)
    for named in (inside / "a.svs", inside / "deep" / "link.svs", tmp_path / "root" / "a.svs"):
        assert allowed(named, inside) == inside / "a.svs"
        assert allowed(named, tmp_path / "root") == inside / "a.svs"
    assert allowed(other / "a.svs", inside, other) == other / "a.svs"


def test_nothing_is_allowed_where_no_folder_is_named(places, monkeypatch):
    inside, _ = places
    monkeypatch.chdir(inside)  # neither an empty entry nor a relative one means this folder
    for entries in ("", os.pathsep, ".", f"slides{os.pathsep}"):
        assert allowed_roots({ALLOWED_ROOTS: entries}) == ()
    assert allowed_roots({}) == ()
    with pytest.raises(SlideError, match=f"slide s: no folder is allowed: .*{ALLOWED_ROOTS}=/path"):
        allowed(inside / "a.svs")


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("{inside}/../slides_of_others/a.svs", r"climbs by '\.\.'"),
        ("{inside}/deep/../a.svs", r"climbs by '\.\.'"),
        ("{outside}/a.svs", "outside the allowed"),
        ("{outside}/none.svs", "outside the allowed"),  # says nothing of what exists
        ("{inside}/out.svs", "outside the allowed"),
        ("{inside}/outer/a.svs", "outside the allowed"),
        ("{inside}/outer/none.svs", "outside the allowed"),
        ("/dev/zero", "outside the allowed"),
        ("{inside}/zero", "outside the allowed"),
        ("{inside}/pipe", "no regular file"),
        ("{inside}/deep", "no regular file"),
        ("{inside}", "no regular file"),
        ("{inside}/none.svs", "no such file"),
        ("{inside}/a.svs/more", "cannot be followed"),
        ("{inside}/circle", "cannot be followed"),
        ("{inside}/" + "x" * 300, "cannot be followed"),
        ("{inside}/\ud800", "cannot be followed"),
        ("{inside}/a.svs\0", "not absolute"),
        ("a.svs", "not absolute"),
        ("~/a.svs", "not absolute"),
        ("", "not absolute"),
        ("file://{inside}/a.svs", "URL"),
        ("FILE:{inside}/a.svs", "URL"),
        ("s3://bucket/a.svs", "URL"),
        ("//host{inside}/a.svs", "URL"),
    ],
)
def test_all_else_is_refused(places, monkeypatch, named, why):
    inside, outside = places
    (inside / "out.svs").symlink_to(outside / "a.svs")
    (inside / "outer").symlink_to(outside)
    (inside / "zero").symlink_to("/dev/zero")
    (inside / "circle").symlink_to(inside / "circle")
    os.mkfifo(inside / "pipe")
    monkeypatch.chdir(inside)
    with pytest.raises(SlideError, match=f"slide s: .*{why}"):
        allowed(named.replace("{inside}", str(inside)).replace("{outside}", str(outside)), inside)


def test_with_the_whole_machine_allowed_a_device_is_still_none():
    with pytest.raises(SlideError, match="no regular file"):
        allowed("/dev/zero", "/")
