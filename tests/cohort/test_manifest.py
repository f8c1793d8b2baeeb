import os
import re
import unicodedata
from pathlib import Path

import pytest

from tumor_ratio.cohort.manifest import PlannedPair, read_manifest
from tumor_ratio.errors import ManifestError


@pytest.fixture
def manifest(tmp_path: Path):
    def write(text: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / "lists" / "slides.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode(encoding))
        return path

    return write


def problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)
    return caught.value.problems


def test_rows_become_planned_pairs(manifest, tmp_path) -> None:
    path = manifest(
        "slide_id,case_id,he_path,ihc_path,he_mpp,ihc_mpp,organ,section_index,marker_meaning\n"
        "s1,a,he/s1.svs,/data/s1.ndpi,0.25,0.5,lung,3,Tumor\n"
        "\n"
        "s2,,he/s2.svs,,,,,,\n"
    )
    first, second = read_manifest(path)
    assert first == PlannedPair(
        slide_id="s1",
        case_id="a",
        he_path=tmp_path / "lists/he/s1.svs",
        ihc_path=Path("/data/s1.ndpi"),
        he_mpp=0.25,
        ihc_mpp=0.5,
        meta={**second.meta, "organ": "lung", "section_index": 3.0, "marker_meaning": "tumor"},
    )
    assert (second.case_id, second.ihc_path, second.he_mpp) == ("s2", None, None)
    assert set(second.meta.values()) == {None}
    assert PlannedPair.from_record(first.to_record()) == first


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_spreadsheets_dialects(manifest, separator, encoding) -> None:
    rows = [["slide_id", "ihc_path", "organ"], ["s1", "a.tif", "Kopf-Hals, Größe"]]
    text = "\r\n".join(
        separator.join(f'"{cell}"' if separator in cell else cell for cell in row) for row in rows
    )
    (pair,) = read_manifest(manifest(text, encoding))
    assert pair.meta["organ"] == "Kopf-Hals, Größe"
    assert pair.he_path is None


def test_a_relative_manifest_starts_from_the_root(manifest, tmp_path) -> None:
    manifest("slide_id,he_path\ns1,a.svs\n")
    (pair,) = read_manifest("lists/slides.csv", tmp_path)
    assert pair.he_path == tmp_path / "lists/a.svs"


def test_missing_images_are_no_manifest_error(manifest) -> None:
    assert len(read_manifest(manifest("slide_id,he_path\ns1,/nowhere/none.svs\n"))) == 1


def test_a_manifest_in_the_users_own_folder(manifest, tmp_path, monkeypatch) -> None:
    manifest("slide_id,he_path\ns1,a.svs\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    (pair,) = read_manifest("~/lists/slides.csv", Path("/elsewhere"))
    assert pair.he_path == tmp_path / "lists/a.svs"


def test_every_bad_row_is_named_at_once(manifest) -> None:
    found = problems(
        manifest(
            "slide_id,case_id,he_path,ihc_path,he_mpp,thickness_um,marker_meaning\n"
            "s1,a,1.svs,,0.25,4,\n"
            ",a,2.svs,,,,\n"
            "a/b,a,3.svs,,,,\n"
            "s4,a,,,,,\n"
            "s5,a,5.svs,5.svs,,,\n"
            "s6,a,6.svs,,wide,,\n"
            "s7,a,7.svs,,1000,,\n"
            "s8,a,8.svs,,,-4,\n"
            "s9,a,9.svs,,,,tumour\n"
            "S1,a,10.svs,,,,\n"
            "s11,b,1.svs,,,,\n"
        )
    )
    expected = [
        "line 3 (no slide_id): no slide_id",
        "line 4 (a/b): slide_id 'a/b' becomes part of file names",
        "line 5 (s4): neither he_path nor ihc_path",
        "line 6 (s5): he_path and ihc_path name the same file",
        "line 7 (s6): he_mpp 'wide' is not a number",
        "line 8 (s7): he_mpp 1000 is not believable",
        "line 9 (s8): thickness_um -4 must be a positive number",
        "line 10 (s9): marker_meaning 'tumour' is unknown; use one of proliferation, tumor",
        "slide_id 's1' on lines 2, 11",
        "1.svs on lines 2, 12 belongs to several cases",
    ]
    assert len(found) == len(expected)
    for problem, start in zip(found, expected, strict=True):
        assert start in problem


def test_a_file_under_several_names_belongs_to_one_case(manifest, tmp_path) -> None:
    (tmp_path / "a.svs").touch()
    (tmp_path / "link.svs").symlink_to("a.svs")
    rows = "slide_id,case_id,he_path,ihc_path\ns1,a,../a.svs,1.svs\ns2,{},../link.svs,2.svs\n"
    (found,) = problems(manifest(rows.format("b") + "s3,c,../lists/../a.svs,3.svs\n"))
    assert "a.svs on lines 2, 3, 4 belongs to several cases" in found
    assert len(read_manifest(manifest(rows.format("a")))) == 2
    (found,) = problems(manifest("slide_id,he_path,ihc_path\ns1,../a.svs,../link.svs\n"))
    assert "he_path and ihc_path name the same file" in found


@pytest.mark.parametrize(
    "missing", ["NA", "N/A", "nan", "NaN", "-", "NULL", "None", "#N/A", "<NA>", "n.a.", "–"]
)
def test_what_programs_write_for_nothing_is_nothing(manifest, missing, caplog) -> None:
    text = "slide_id,case_id,he_path,ihc_path,he_mpp,organ,section_index,marker_meaning\n"
    path = manifest(text + f"s1,{missing},1.svs" + f",{missing}" * 5 + "\n")
    (pair,) = read_manifest(path)
    assert (pair.case_id, pair.ihc_path, pair.he_mpp) == ("s1", None, None)
    assert set(pair.meta.values()) == {None}
    assert f"6 cells are taken as empty: case_id '{missing}' (1)" in caplog.text
    assert problems(manifest(f"slide_id,he_path\n{missing},1.svs\n"))[0].endswith(
        "no slide_id; give each slide a name"
    )


def test_a_group_may_be_called_none(manifest) -> None:
    (pair,) = read_manifest(manifest("slide_id,he_path,group\ns1,1.svs,none\n"))
    assert pair.meta["group"] == "none"


@pytest.mark.parametrize(
    ("one", "other"),
    [("2", "2.0"), ("07", "7"), ("M1", "m1"), ("Zoë", "Zoe\u0308"), ("a  b", "A b")],
)
def test_a_case_has_one_name_however_it_is_written(manifest, caplog, one, other) -> None:
    rows = f"s1,{one},x,1.svs\ns2,{other},X,2.svs\ns3,{one}1,y,3.svs\ns4,{other},x,1.svs\n"
    path = manifest("slide_id,case_id,animal_id,he_path\n" + rows)
    pairs = read_manifest(path)
    assert [pair.case_id for pair in pairs] == [one, one, f"{one}1", one]
    assert [pair.meta["animal_id"] for pair in pairs] == ["x", "x", "y", "x"]
    assert f"taken as one: case '{one}' and '{other}'; animal 'x' and 'X'" in caplog.text
    caplog.clear()
    read_manifest(path, warn=False)
    assert not caplog.text


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"D:\scans\a.svs", "path of Windows; .*/mnt/d/scans/a.svs"),
        ("d:/scans/a.svs", "path of Windows; .*/mnt/d/scans/a.svs"),
        (r"\\server\scans\a.svs", "network path of Windows; give the folder where it is mounted"),
        ("file:///scans/my%20a.svs", "is an address; write the path: /scans/my a.svs"),
        ("s3://bucket/a.svs", "is an address; download the file"),
        ("https://x.org/a.svs", "is an address; download the file"),
        ("'/scans/a.svs'", "stands in quotes; leave them out"),
        ("~nobody-of-this-name/a.svs", "no user of that name"),
        (r"he\a.svs", "Windows' separators; write he/a.svs"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="Windows' own paths are meant as they are there")
def test_what_is_no_path_of_this_system_says_what_is_meant(manifest, tmp_path, written, meant):
    (tmp_path / "lists" / "he").mkdir(parents=True)
    (tmp_path / "lists" / "he" / "a.svs").touch()
    (found,) = problems(manifest(f"slide_id;ihc_path\ns1;{written}\n"))
    assert re.search(meant, found), found
    assert found.startswith("line 2 (s1): ihc_path ")


def test_a_slide_may_lie_in_the_users_own_folder(manifest, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (pair,) = read_manifest(manifest("slide_id,he_path\ns1,~/a.svs\n"))
    assert pair.he_path == tmp_path / "a.svs"


@pytest.mark.parametrize(("on_disk", "listed"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_accents_may_be_composed_otherwise_on_disk(manifest, tmp_path, on_disk, listed) -> None:
    names = [unicodedata.normalize(on_disk, name) for name in ("Größe é", "Zoë.svs")]
    slide = tmp_path / "lists" / names[0] / names[1]
    slide.parent.mkdir(parents=True)
    slide.touch()
    written = unicodedata.normalize(listed, "Größe é/Zoë.svs")
    (pair,) = read_manifest(manifest(f"slide_id,he_path\ns1,{written}\n"))
    assert pair.he_path == slide
    assert pair.he_path.exists()


def test_columns_are_checked_with_the_closest_name(manifest) -> None:
    found = problems(manifest("slide,HE_path,he_mpp,he_mpp\ns1,a.svs,1,1\n"))
    assert any("unknown column 'HE_path' (did you mean 'he_path'?)" in p for p in found)
    assert any("column 'he_mpp' appears 2 times" in p for p in found)
    assert any("no column 'slide_id'" in p for p in found)
    assert any("neither a column 'he_path' nor 'ihc_path'" in p for p in found)


def test_unquoted_separators_are_named(manifest) -> None:
    found = problems(manifest("slide_id,he_path\ns1,a.svs\ns2,b,c.svs\n"))
    assert found == ("line 3: 3 cells under 2 columns; quote cells that contain the separator",)


def test_files_that_are_no_manifest(manifest, tmp_path) -> None:
    said = problems(tmp_path / "none.csv")[0]
    assert "cohort.manifest.path" in said
    assert "prediction.manifest" in said
    assert "not UTF-8 text" in problems(manifest("slide_id,organ\ns1,Größe\n", "cp1252"))[0]
    assert "no slides" in problems(manifest("slide_id,he_path\n"))[0]
    assert "no column 'slide_id'" in problems(manifest(""))[0]
