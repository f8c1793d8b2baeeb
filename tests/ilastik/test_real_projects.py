"""Projects that ilastik itself wrote, from 0.5 to 1.4, and what ilastik made of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tumor_ratio.ilastik.errors import IlastikError
from tumor_ratio.ilastik.project_reading import read_project
from tumor_ratio.ilastik.stored_forest import read_stored_forest

pytestmark = pytest.mark.real

OUTPUTS = [
    ("2464_PixelClassification_xy_input.ilp", "res-Data_1channel_pc1xy.npy"),
    ("PixelClass.ilp", "res-Data_1channel_pc1xyc.npy"),
]
"""Projects with the probabilities that ilastik gave for `Data_1channel.png`."""

WITH_FORESTS = [
    ("api/PixelClass.ilp", 1),
    ("notebook_pc/pc.ilp", 1),
    ("rgb_2d3c/PixelClassification2d3c.ilp", 3),
]
"""Projects whose image and forest are both there, with the image's channels."""

LANES = {
    "api/PixelClass.ilp": ((128, 128, 1), "uint8", [79, 78]),
    "api/PixelClassNoClassifier.ilp": ((128, 128, 1), "uint8", []),
    "notebook_pc/pc.ilp": ((1024, 1344, 1), "uint8", [294, 838]),
    "rgb_2d3c/PixelClassification2d3c.ilp": ((73, 187, 3), "uint8", [21, 391]),
    "pyilastik_small/ilastik-0.5.ilp": ((4, 2, 1), "float32", []),
    "pyilastik_small/ilastik_1.2.2post1_mac.ilp": ((54, 57, 1), "uint8", [756, 1026]),
    "pyilastik_small/x15_y10_z1_rgb_classes2.ilp": ((10, 15, 3), "uint8", [4, 4]),
    "pyilastik_small/x15_y10_z1_c2_classes2_ilastik1.3.3.ilp": ((10, 15, 2), "uint16", [4, 4]),
}

REFUSED = {
    "pyilastik_small/ilastik-multiim-1.2.ilp": "labels at 1 in depth",
    "pyilastik_small/ilastik-multiim-1.3.3.ilp": "3 planes in depth",
}

NO_FOREST = {
    "api/PixelClassNoClassifier.ilp": "no trained classifier",
    "api/PixelClassNoData.ilp": "no features are chosen",
    "pyilastik_small/ilastik-0.5.ilp": "no features are chosen",
    "pyilastik_small/ilastik_1.2.2post1_mac.ilp": "no features are chosen",
    "pyilastik_small/x15_y10_z1_rgb.ilp": "no features are chosen",
    "pyilastik_small/x15_y10_z1_rgb_classes2.ilp": "no features are chosen",
    "pyilastik_small/x15_y10_z1_c2_classes2_ilastik1.3.3.ilp": "no trained classifier",
}


@pytest.fixture
def projects(real_data: Path) -> Path:
    return real_data / "ilastik_projects"


def test_every_project_is_accounted_for(projects: Path) -> None:
    found = {str(path.relative_to(projects)) for path in projects.rglob("*.ilp")}
    named = {*LANES, *REFUSED, *NO_FOREST, *(f"api/{name}" for name, _ in OUTPUTS)}
    assert found <= named


@pytest.mark.parametrize(("project", "output"), OUTPUTS)
def test_the_stored_forest_gives_what_ilastik_gave(projects: Path, project, output) -> None:
    folder = projects / "api"
    classifier = read_stored_forest(read_project(folder / project))
    shares = classifier(np.array(Image.open(folder / "Data_1channel.png"))[..., None])
    theirs = np.load(folder / output)
    assert (shares.argmax(axis=-1) == theirs.argmax(axis=-1)).mean() >= 0.999
    assert np.abs(shares - theirs).mean() < 1e-4


@pytest.mark.parametrize(("project", "n_channels"), WITH_FORESTS)
def test_the_stored_forest_knows_what_it_was_taught(projects: Path, project, n_channels) -> None:
    found = read_project(projects / project)
    classifier = read_stored_forest(found)
    assert classifier.n_channels == n_channels
    (lane,) = found.labelled_lanes()
    labels = lane.read_labels()
    shares = classifier(lane.read_image())
    assert (shares.argmax(axis=-1) + 1 == labels)[labels > 0].all()


@pytest.mark.parametrize(("project", "facts"), LANES.items(), ids=LANES)
def test_images_and_labels_are_read(projects: Path, project: str, facts) -> None:
    shape, dtype, counts = facts
    (lane,) = read_project(projects / project).lanes
    image = lane.read_image()
    assert (image.shape, image.dtype.name) == (shape, dtype)
    labels = lane.read_labels()
    assert labels.shape == shape[:2]
    assert np.bincount(labels.ravel())[1:].tolist() == counts


def test_a_missing_image_costs_only_itself(projects: Path) -> None:
    (lane,) = read_project(projects / "api/2464_PixelClassification_xy_input.ilp").lanes
    assert np.bincount(lane.read_labels().ravel())[1:].tolist() == [63, 68]
    with pytest.raises(IlastikError, match=r"'Data_1channel_xy\.tif' is not there"):
        lane.read_image()


@pytest.mark.parametrize(("project", "words"), REFUSED.items(), ids=REFUSED)
def test_volumes_are_refused(projects: Path, project: str, words: str) -> None:
    with pytest.raises(IlastikError, match=words):
        read_project(projects / project)


@pytest.mark.parametrize(("project", "words"), NO_FOREST.items(), ids=NO_FOREST)
def test_projects_without_a_forest_say_so(projects: Path, project: str, words: str) -> None:
    with pytest.raises(IlastikError, match=words):
        read_stored_forest(read_project(projects / project))
