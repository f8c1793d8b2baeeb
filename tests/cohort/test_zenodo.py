"""From a record's listing to planned downloads: both forms, pairing, choice, space."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from tests.zenodo_server import Repository, answers, running
from tumor_ratio.cohort.fetching import fetch_pair
from tumor_ratio.cohort.patient_http import DownloadParams
from tumor_ratio.cohort.zenodo import ZenodoParams, list_record
from tumor_ratio.cohort.zenodo_pairs import PlannedDownload, pair_files, plan_downloads
from tumor_ratio.errors import ConfigurationError, DownloadError, SlideError

NAMES = [f"{slide:02d}_{stain}.tif" for slide in range(1, 6) for stain in ("HE", "Ki67")]


@pytest.fixture
def server():
    with running(Repository(files={name: name.encode() * 50 for name in NAMES})) as repository:
        yield repository


@pytest.fixture
def params(server, tmp_path) -> ZenodoParams:
    return of(server, tmp_path)


def of(server: Repository, tmp_path: Path, **values: object) -> ZenodoParams:
    return ZenodoParams(
        record_id=7,
        base_url=server.base_url,
        folder=str(tmp_path / "zenodo"),
        download=DownloadParams(attempts=2, backoff_s=0.01, timeout_s=5),
        **values,
    )


@pytest.mark.parametrize("paged", [0, 3, 100])
def test_a_record_is_listed_whole_in_either_form(server, params, paged):
    server.paged = paged
    listing = list_record(params)
    assert [remote.name for remote in listing.files] == NAMES
    first = listing.files[0]
    assert first.size == len(server.files[first.name])
    assert first.url.endswith("/files/01_HE.tif/content")
    assert len(first.md5) == 32


def test_a_listing_that_stutters_is_asked_again(server, params):
    server.listing_faults = [answers(429, Retry_After="0")]
    assert len(list_record(params).files) == len(NAMES)


def test_without_a_network_the_earlier_listing_serves(server, params, caplog):
    listing = list_record(params)
    server.listing_faults = [answers(500)] * 2
    assert list_record(params) == listing
    assert "going on with the listing of an earlier run" in caplog.text


def test_a_missing_record_says_what_to_check(server, tmp_path):
    params = of(server, tmp_path).model_copy(update={"record_id": 8})
    with pytest.raises(DownloadError, match=r"records/8: HTTP 404; check cohort.zenodo.record_id"):
        list_record(params)


def test_a_record_without_files_says_so(server, params):
    server.files.clear()
    with pytest.raises(DownloadError, match=r"lists no files; the record may be closed"):
        list_record(params)


def test_what_cannot_be_trusted_is_left_out_and_named(server, params, caplog):
    server.listed = {
        "01_HE.tif": {"key": "../../01_HE.tif"},
        "02_HE.tif": {"key": "/etc/02_HE.tif"},
        "03_HE.tif": {"checksum": "sha256:00"},
        "04_HE.tif": {"size": -1},
    }
    assert [pair.slide_id for pair in plan_downloads(params)] == ["05"]
    for line in (
        "'../../01_HE.tif': a path, not a file name",
        "'/etc/02_HE.tif': a path, not a file name",
        "'03_HE.tif': listed without an md5",
        "'04_HE.tif': listed without a size",
        "slide 03: no H&E file beside 03_Ki67.tif",
    ):
        assert line in caplog.text
    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 1


def test_files_are_paired_by_name_and_the_rest_is_named(server, params):
    server.files |= {"readme.txt": b"", "06_HE.tif": b"", "07_CD3.tif": b"", "01-he (2).svs": b""}
    pairing = pair_files(list_record(params).files, params)
    assert [pair.slide_id for pair in pairing.pairs] == ["02", "03", "04", "05"]
    second = pairing.pairs[0]
    assert (second.he.name, second.ihc.name) == ("02_HE.tif", "02_Ki67.tif")
    assert set(pairing.leftovers) == {
        "readme.txt: not matched by the pattern",
        "07_CD3.tif: not matched by the pattern",
        "slide 06: no IHC file beside 06_HE.tif",
        "slide 01: several H&E files (01-he (2).svs, 01_HE.tif); narrow the pattern",
    }


@pytest.mark.parametrize(
    ("he", "ihc", "slide_id"),
    [
        ("case 3 H&E.ndpi", "case 3 ki-67.ndpi", "case_3"),
        ("the_1_HE.tif", "the_1_IHC.ome.tiff", "the_1"),
        ("17HE.TIF", "17ki67.tif", "17"),
        ("S_2_HE_registered.tiff", "s_2_Ki67_registered.tiff", "S_2"),
    ],
)
def test_the_default_pattern_reads_common_names(server, params, he, ihc, slide_id):
    server.files = {he: b"a", ihc: b"b"}
    (pair,) = plan_downloads(params)
    assert (pair.slide_id, pair.he.name, pair.ihc.name) == (slide_id, he, ihc)


def test_a_pattern_of_ones_own(server, tmp_path):
    server.files = {
        "CD3-p1-a.svs": b"",
        "hx-p1-a.svs": b"",
        "hx-p1-b.svs": b"",
        "CD3-p1-b.svs": b"",
    }
    params = of(
        server, tmp_path, pattern=r"(?P<stain>\w+)-(?P<slide>(?P<case>p\d)-\w)\.svs",
        he_stains=("hx",), ihc_stains=("CD3",),
    )  # fmt: skip
    assert [(p.slide_id, p.case_id) for p in plan_downloads(params)] == [
        ("p1-a", "p1"),
        ("p1-b", "p1"),
    ]


def test_no_pair_at_all_shows_the_names(server, params):
    server.files = {"slides_part1.zip": b"", "slides_part2.zip": b""}
    with pytest.raises(ConfigurationError, match=r"(?s)slides_part1.zip.*fit cohort.zenodo.patt"):
        plan_downloads(params)


@pytest.mark.parametrize("pattern", ["(", "(?P<slide>.*)"])
def test_a_bad_pattern_is_refused(pattern):
    with pytest.raises(ValueError, match=r"regular expression|named groups"):
        ZenodoParams(pattern=pattern)


@pytest.mark.parametrize("slides", ["03 01", "3;1", ["01", "03"], "[01,03]"])
def test_some_slides_only(server, tmp_path, slides):
    chosen = plan_downloads(of(server, tmp_path, slides=slides))
    assert [pair.slide_id for pair in chosen] == ["01", "03"]
    assert [pair.slide_id for pair in plan_downloads(of(server, tmp_path, slides=4))] == ["04"]


def test_slides_that_do_not_exist_are_all_named(server, tmp_path):
    del server.files["02_Ki67.tif"]
    with pytest.raises(ConfigurationError) as caught:
        plan_downloads(of(server, tmp_path, slides="01 9 x 02"))
    text = str(caught.value)
    assert "9: no such slide" in text
    assert "x: no such slide" in text
    assert "02: no IHC file beside 02_HE.tif" in text
    assert "the record has 4 pairs: 01, 03, 04, 05" in text


def test_too_small_a_disk_stops_before_any_download(server, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 2_000_000_000))
    big = {"size": 1_000_000_000}
    server.listed = dict.fromkeys(NAMES[:4], big)
    with pytest.raises(ConfigurationError) as caught:
        plan_downloads(of(server, tmp_path, slides="1 2", spare_gb=0.5))
    assert "4.0 GB are to be downloaded" in str(caught.value)
    assert "0.5 GB kept spare, but only 2.0 GB are free; free some space" in str(caught.value)
    assert server.requests == []
    assert plan_downloads(of(server, tmp_path, slides="3", spare_gb=1.9))


def test_what_is_there_needs_no_space(server, params, monkeypatch):
    folder = params.record_folder
    folder.mkdir(parents=True)
    for name in NAMES[1:]:
        (folder / name).write_bytes(server.files[name])
    (folder / f"{NAMES[0]}.part").write_bytes(server.files[NAMES[0]][:100])
    usage = namedtuple("usage", "total used free")
    params = params.model_copy(update={"spare_gb": 0.0})
    rest = len(server.files[NAMES[0]]) - 100
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, rest))
    assert len(plan_downloads(params)) == 5
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, rest - 1))
    with pytest.raises(ConfigurationError, match="to be downloaded"):
        plan_downloads(params)


def test_plans_are_plain_json(params):
    plans = plan_downloads(params)
    records = json.loads(json.dumps([plan.to_record() for plan in plans]))
    assert tuple(map(PlannedDownload.from_record, records)) == plans


def test_a_fingerprint_tells_a_touched_file_but_not_an_address(server, params):
    from tumor_ratio.datasets.fingerprint import describe

    plan = plan_downloads(params)[0]
    before = describe(plan, Path("/"))
    server.listed = {name: {"links": {"self": "http://elsewhere/x"}} for name in NAMES}
    assert describe(plan_downloads(params)[0], Path("/")) == before
    patience = DownloadParams(attempts=9)
    assert describe(patience, Path("/")) == describe(DownloadParams(), Path("/"))
    with pytest.raises(SlideError):  # fetched, though no image
        fetch_pair(plan, params.download)
    assert describe(plan, Path("/")) == before
    (params.record_folder / plan.he.name).write_bytes(b"?")
    assert describe(plan, Path("/")) != before


def test_a_slide_that_cannot_be_had_names_itself(server, params):
    plan = plan_downloads(params)[0]
    del server.files["01_Ki67.tif"]
    with pytest.raises(SlideError, match=r"slide 01: .*01_Ki67.tif/content: HTTP 404; "):
        fetch_pair(plan, params.download)


def test_unknown_facts_and_parameters_are_refused():
    with pytest.raises(ValueError, match="unknown: animal; valid: animal_id"):
        ZenodoParams(about={"animal": "mouse"})
    with pytest.raises(ValueError, match="unknown parameter 'slide'"):
        ZenodoParams.model_validate({"slide": "01"})


def test_a_full_disk_at_the_listing_leaves_no_half_listing(params, monkeypatch):
    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", no_space)
        with pytest.raises(DownloadError, match=r"7.listing.json: no space left in .*; free some"):
            list_record(params)
    assert not (Path(params.folder) / "7.listing.json").exists()
    assert len(list_record(params).files) == len(NAMES)
