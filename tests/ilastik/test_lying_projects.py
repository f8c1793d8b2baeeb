"""Projects made to mislead: refused in one line, nothing elsewhere read, little allocated."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.ilastik.project_files import add_block, drawn_image, write_minimal, write_tile
from tumor_ratio.ilastik.errors import IlastikError
from tumor_ratio.ilastik.project_reading import read_project
from tumor_ratio.ilastik.stored_forest import PLACE, read_stored_forest

LABELS = "PixelClassification/LabelSets/labels000"
INFO = "Input Data/infos/lane0000/Raw Data"
LOCAL = "Input Data/local_data"
SECRET = np.full((24, 30, 3), 77, np.uint8)


def use_everything(path: Path, **options) -> None:
    project = read_project(path, **options)
    for lane in project.lanes:
        lane.read_image()
        lane.read_labels()
    read_stored_forest(project)


def refusal(path: Path, **options) -> str:
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(IlastikError) as caught:
        use_everything(path, **options)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 300_000
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.file in message
    assert caught.value.remedy
    return message


def changed(tmp_path: Path, change: Callable[[h5py.File], None], **options) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    write_tile(folder / "tile.png")
    return write_minimal(folder / "p.ilp", change=change, **options)


def replace(file: h5py.File, name: str, value: object) -> None:
    if name in file:
        del file[name]
    file[name] = value


def test_the_honest_project_is_used(tmp_path: Path) -> None:
    use_everything(changed(tmp_path, lambda file: None))


@pytest.mark.parametrize(
    ("where", "shape", "words"),
    [
        ("[20:26,0:1,0:1]", (6, 1, 1), "labels in rows 20 to 26 .* outside the image of 24 x 30"),
        (
            "[0:1,29:31,0:1]",
            (1, 2, 1),
            "labels in rows .* columns 29 to 31, outside the image of 24 x 30 px",
        ),
        ("[-1:1,0:1,0:1]", (2, 1, 1), "no blockSlice"),
        ("[0:1,0:1]", (1, 1), "2 slices for the axes 'yxc'"),
        ("[0:1,0:1,0:2]", (1, 1, 2), "labels of several channels"),
        ("[0:2,0:1,0:1]", (1, 1, 1), "labels of shape .1, 1, 1. for a slice of .2, 1, 1. px"),
        ("[5:4,0:1,0:1]", (1, 1, 1), "labels .* for a slice of .-1, 1, 1. px"),
        ("__import__('os').abort()", (1, 1, 1), "no blockSlice"),
    ],
)
def test_blocks_that_do_not_fit(tmp_path: Path, where: str, shape, words: str) -> None:
    def change(file: h5py.File) -> None:
        add_block(file[LABELS], "block0009", np.ones(shape, np.uint8), where)

    with pytest.raises(IlastikError, match=f"labels000/block0009: {words}"):
        use_everything(changed(tmp_path, change))


def test_blocks_outside_an_image_whose_size_the_project_keeps_to_itself(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        add_block(file[LABELS], "block0009", np.ones((6, 1, 1), np.uint8), "[20:26,0:1,0:1]")
        del file[f"{INFO}/shape"]

    message = refusal(changed(tmp_path, change))
    assert "block0009: labels in rows 20 to 26" in message
    assert "outside the image of 24 x 30" in message


def test_labels_without_a_name(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        add_block(file[LABELS], "block0009", np.full((1, 1, 1), 3, np.uint8), "[0:1,0:1,0:1]")

    message = refusal(changed(tmp_path, change))
    assert "block0009: a label of value 3, where 2 labels have names; name the label" in message


def test_blocks_upon_blocks(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        for k in range(3):
            whole = np.ones((24, 30, 1), np.uint8)
            add_block(file[LABELS], f"block001{k}", whole, "[0:24,0:30,0:1]")

    message = refusal(changed(tmp_path, change))
    assert "block0010: blocks of more pixels in all than the image has" in message


def test_labels_of_an_image_that_is_not_there(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        group = file.create_group("PixelClassification/LabelSets/labels007")
        add_block(group, "block0000", np.ones((1, 1, 1), np.uint8), "[0:1,0:1,0:1]")

    assert "labels of an image that is not there" in refusal(changed(tmp_path, change))


def _claim(name: str, shape: tuple[int, ...], dtype: str = "u1", **options):
    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file.create_dataset(name, shape, dtype, **options)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_claim(f"{LOCAL}/x", (50_000, 50_000), chunks=(64, 64)), "claims an array of 50000 x 50"),
        (_claim(f"{LOCAL}/x", (16_384, 16_384), chunks=(64, 64)), "(256 MiB), of which 0.00 MiB"),
        (_claim(f"{LOCAL}/x", (8,), chunks=(2**30 + 8,), maxshape=(None,)), "claims chunks of 10"),
        (_claim(f"{LABELS}/block0000", (2**16, 2**15), chunks=True), "claims an array of 65536"),
        (_claim(f"{PLACE}/Forest0000/Tree_0/topology", (2**29,), "i4", chunks=True), "2.0 GiB"),
        (_claim("FeatureSelections/Scales", (2**20,), "f8"), "1048576 numbers, far more than"),
        (_claim("PixelClassification/LabelNames", (2**20,), h5py.string_dtype()), "1048576 texts"),
    ],
)
def test_claims_of_gigabytes(tmp_path: Path, change, words: str) -> None:
    assert words in refusal(changed(tmp_path, change))


def test_many_claims_of_megabytes(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        file.create_dataset(f"{LOCAL}/x", (2**26,), "u1", chunks=(2**20,))
        for k in range(20):
            file[f"{LOCAL}/x{k}"] = file[f"{LOCAL}/x"]

    assert "datasets of more than 1 GiB together" in refusal(changed(tmp_path, change))


def test_long_texts(tmp_path: Path) -> None:
    change = _claim("PixelClassification/LabelNames", (2,), f"S{2**25}", chunks=True)
    assert "LabelNames: holds |S33554432, not text" in refusal(changed(tmp_path, change))


def test_names_that_would_upset_a_terminal(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        file["x\n\x1b[2J"] = h5py.SoftLink("/")

    assert "/x ?[2J: a link to another place" in refusal(changed(tmp_path, change))


def test_a_claimed_image_of_gigapixels(tmp_path: Path) -> None:
    path = changed(tmp_path, lambda file: None, shape=(10**6, 10**6, 3))
    message = refusal(path)
    assert "lane0000/Raw Data: claims an image of 1000000 x 1000000 px, more than" in message


def test_an_attribute_of_megabytes(tmp_path: Path) -> None:
    path = changed(tmp_path, lambda file: None)
    with h5py.File(path, "a", libver="latest") as file:
        group = file.create_group("PixelClassification/LabelSets/labels001")
        group["block0000"] = np.ones((1, 1, 1), np.uint8)
        group["block0000"].attrs["blockSlice"] = np.zeros(2**21, np.uint8)
        file.copy("Input Data/infos/lane0000", "Input Data/infos/lane0001")
    assert "block0000/@blockSlice: claims 2097152 values" in refusal(path)


def test_a_compression_bomb(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        file.create_dataset(f"{LOCAL}/x", (2**29,), "u1", chunks=(2**22,), compression=9)
        file[f"{LOCAL}/x"][: 2**23] = 0

    message = refusal(changed(tmp_path, change))
    assert "local_data/x: claims an array of 536870912 (512 MiB), of which 0.0" in message


def test_pictures_that_claim_too_much(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    Image.new("1", (12_000, 12_000)).save(folder / "tile.png")
    path = write_minimal(folder / "p.ilp")
    assert "tile.png: claims an image of 12000 x 12000" in refusal(path)
    header = np.lib.format.header_data_from_array_1_0(np.empty((1, 1), np.uint8))
    with (folder / "tile.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (10**5, 10**5)})
    assert "tile.npy: " in refusal(write_minimal(folder / "q.ilp", file_path="tile.npy"))


def test_a_pickled_array_is_not_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    np.save(folder / "tile.npy", np.array([{}], dtype=object), allow_pickle=True)
    path = write_minimal(folder / "p.ilp", file_path="tile.npy")
    assert "tile.npy: cannot be read as an image" in refusal(path)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that no project may look into, with an image and an HDF5 file in it."""
    folder = tmp_path / "outside"
    folder.mkdir()
    write_tile(folder / "secret.png", SECRET)
    with h5py.File(folder / "secret.h5", "w") as file:
        file["data"] = SECRET
        file["names"] = np.array([b"stolen", b"names"])
    return folder


@pytest.mark.parametrize("name", ["secret.png", "secret.h5/data"])
@pytest.mark.parametrize("way", ["absolute", "dots", "link", "linked folder"])
def test_images_elsewhere_need_leave(tmp_path: Path, outside: Path, name: str, way: str) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    stored = {"absolute": f"{outside}/{name}", "dots": f"../outside/{name}"}.get(way, name)
    if way == "link":
        file_name = name.partition("/")[0]
        (folder / file_name).symlink_to(outside / file_name)
    if way == "linked folder":
        (folder / "images").symlink_to(outside)
        stored = f"images/{name}"
    path = write_minimal(folder / "p.ilp", file_path=stored)
    message = refusal(path)
    assert f"Raw Data/filePath: the image '{stored}' lies outside the project's folder" in message
    assert f"allow {outside} (allowed_folders)" in message
    (lane,) = read_project(path, allowed_folders=[outside]).lanes
    np.testing.assert_array_equal(lane.read_image(), SECRET)


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ("https://example.org/tile.png", "an image in the network"),
        ("precomputed://example.org/x", "an image in the network"),
        ("tile*.png", "put together from several files"),
        ("a.png:b.png", "put together from several files"),
        (r"C:\a.png;C:\b.png", "put together from several files"),
        ("", "no path of an image"),
        ("x" * 5000, "no path of an image"),
        ("tile.h5", "no dataset is named"),
        ("tile.h5/a/../../b", "no dataset is named"),
        ("../tile.gif", "outside the project's folder"),
        ("/etc/passwd", "outside the project's folder"),
        ("/dev/zero", "is not there"),
    ],
)
def test_paths_that_are_no_image(tmp_path: Path, stored: str, words: str) -> None:
    path = write_minimal(tmp_path / "p.ilp", file_path=stored)
    assert words in refusal(path)


def test_links_in_circles_on_disk(tmp_path: Path) -> None:
    (tmp_path / "tile.png").symlink_to(tmp_path / "tile.png")
    assert "is not there" in refusal(write_minimal(tmp_path / "p.ilp"))


def test_external_links(tmp_path: Path, outside: Path) -> None:
    def change(file: h5py.File) -> None:
        link = h5py.ExternalLink(outside / "secret.h5", "/names")
        replace(file, "PixelClassification/LabelNames", link)

    message = refusal(changed(tmp_path, change))
    assert "/PixelClassification/LabelNames: a link to another file (" in message
    assert "stolen" not in message


def test_links_in_places_that_nobody_reads(tmp_path: Path, outside: Path) -> None:
    def change(file: h5py.File) -> None:
        file["elsewhere"] = h5py.ExternalLink(outside / "secret.h5", "/")

    assert "/elsewhere: a link to another file" in refusal(changed(tmp_path, change))


def test_soft_links_in_circles(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        replace(file, INFO, h5py.SoftLink(f"/{INFO}"))

    message = refusal(changed(tmp_path, change))
    assert f"/{INFO}: a link to another place of the file" in message


def test_a_group_that_contains_itself(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        file["PixelClassification/again"] = file["PixelClassification"]

    assert "again: a group that contains itself" in refusal(changed(tmp_path, change))


def test_raw_storage_in_another_file(tmp_path: Path, outside: Path) -> None:
    def change(file: h5py.File) -> None:
        stored = [(str(outside / "secret.png"), 0, 1000)]
        file.create_dataset(f"{LOCAL}/x", (100,), "u1", external=stored)

    message = refusal(changed(tmp_path, change))
    assert "local_data/x: stored in another file (" in message


def test_virtual_datasets(tmp_path: Path, outside: Path) -> None:
    def change(file: h5py.File) -> None:
        layout = h5py.VirtualLayout((24, 30, 3), "u1")
        layout[:] = h5py.VirtualSource(outside / "secret.h5", "data", (24, 30, 3))
        file.create_virtual_dataset(f"{LOCAL}/x", layout)

    assert "local_data/x: a virtual dataset, put together" in refusal(changed(tmp_path, change))


@pytest.mark.parametrize("trick", ["link", "virtual", "external"])
def test_tricks_in_an_image_file(tmp_path: Path, outside: Path, trick: str) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    with h5py.File(folder / "tile.h5", "w") as file:
        if trick == "link":
            file["data"] = h5py.ExternalLink(outside / "secret.h5", "/data")
        elif trick == "virtual":
            layout = h5py.VirtualLayout((24, 30, 3), "u1")
            layout[:] = h5py.VirtualSource(outside / "secret.h5", "data", (24, 30, 3))
            file.create_virtual_dataset("data", layout)
        else:
            stored = [(str(outside / "secret.h5"), 0, 24 * 30 * 3)]
            file.create_dataset("data", (24, 30, 3), "u1", external=stored)
    path = write_minimal(folder / "p.ilp", file_path="tile.h5/data")
    assert f"{folder}/tile.h5: /data: " in refusal(path)


def test_filters_that_a_plugin_would_decode(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((4,))
        plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (1,))
        space = h5py.h5s.create_simple((8,))
        name = f"{LOCAL}/x".encode()
        h5py.h5d.create(file.id, name, h5py.h5t.NATIVE_UINT8, space, plist)

    assert "compressed by filter 32015, which a plugin" in refusal(changed(tmp_path, change))


def test_wrong_kinds(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        replace(file, f"{INFO}/filePath", 3.5)

    assert "filePath: holds float64, not text" in refusal(changed(tmp_path, change))


def test_text_that_is_none(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        replace(file, "PixelClassification/LabelNames", np.array([b"\xff\xfe", b"x"]))

    assert "LabelNames: text that is not UTF-8" in refusal(changed(tmp_path, change))


def test_what_is_no_project(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "absent.ilp")
    assert "a folder, not a file" in refusal(tmp_path)
    (tmp_path / "text.ilp").write_text("not a project")
    assert "not an HDF5 file" in refusal(tmp_path / "text.ilp")
    (tmp_path / "empty.ilp").write_bytes(b"")
    assert "not an HDF5 file" in refusal(tmp_path / "empty.ilp")
    with h5py.File(tmp_path / "other.ilp", "w") as file:
        file["data"] = np.zeros(3)
    assert "not a project of ilastik" in refusal(tmp_path / "other.ilp")


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_truncated_projects(tmp_path: Path, share: float) -> None:
    path = changed(tmp_path, lambda file: None)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "damaged or cut short" in refusal(path)


@pytest.mark.slow
def test_damage_anywhere_is_told_or_harmless(tmp_path: Path) -> None:
    """Bytes overwritten at random: a project is read or refused, never anything else."""
    path = changed(tmp_path, lambda file: None)
    whole = path.read_bytes()
    rng = np.random.default_rng(5)
    for _ in range(150):
        damaged = bytearray(whole)
        for position in rng.integers(0, len(whole), 8):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        with suppress(IlastikError):
            use_everything(path)


def test_a_project_that_is_being_written(tmp_path: Path) -> None:
    path = changed(tmp_path, lambda file: None)
    code = "import h5py, sys; f = h5py.File(sys.argv[1], 'a'); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        message = refusal(path)
    assert "another program is writing it" in message
    assert "close it there, and try again" in message


def test_open_files_are_closed_again(tmp_path: Path) -> None:
    path = changed(tmp_path, lambda file: None)
    use_everything(path)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        use_everything(path)
    assert len(os.listdir("/proc/self/fd")) == before
    np.testing.assert_array_equal(read_project(path).lanes[0].read_image(), drawn_image())


OME = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{uuid}">'
    '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="30" '
    'SizeY="24" SizeC="3" SizeZ="1" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="3"/>'
    '<TiffData IFD="0" PlaneCount="1"><UUID FileName="{file}">urn:uuid:b</UUID></TiffData>'
    "</Pixels></Image></OME>"
)


def test_an_ome_tiff_whose_planes_lie_in_another_file(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    secret = tmp_path / "outside" / "secret.ome.tif"
    for path, pixels, uuid, file in (
        (secret, SECRET, "b", "secret.ome.tif"),
        (tmp_path / "tile.ome.tif", drawn_image(), "a", "../outside/secret.ome.tif"),
        (tmp_path / "far.ome.tif", drawn_image(), "a", str(secret)),
    ):
        tifffile.imwrite(
            path, pixels, photometric="rgb", metadata=None,
            description=OME.format(uuid=uuid, file=file),
        )  # fmt: skip
    (tmp_path / "project").mkdir()
    for name in ("tile.ome.tif", "far.ome.tif"):
        (tmp_path / "project" / name).write_bytes((tmp_path / name).read_bytes())
        path = write_minimal(tmp_path / "project" / "p.ilp", file_path=name)
        image = read_project(path).lanes[0].read_image()
        assert np.array_equal(image, drawn_image())
