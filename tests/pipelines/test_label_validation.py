"""All label methods beside the truth, on a phantom and on an annotated tile."""

import numpy as np
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from PIL import Image

from tumor_ratio.errors import SlideError
from tumor_ratio.labelling.params import NucleiModelParams, RatioLabelParams, SegmentationParams
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.pipelines.label_validation import create_pipeline, nodes
from tumor_ratio.pipelines.label_validation.params import LabelValidationParams
from tumor_ratio.schemas import LabelComparison, LabelMethods

from ..models.drawn_nuclei import draw_section

METHODS = ["nucleus", "study", "recolor", "otsu"]


class Kept(MemoryDataset):
    """Not forgotten after its last reader."""

    def _release(self) -> None:
        pass


def run(params: LabelValidationParams) -> DataCatalog:
    outputs = ("label_comparison", "label_methods", "label_methods_figure", "validation_overlays")
    catalog = DataCatalog(
        {
            "params:label_validation": MemoryDataset(params),
            "params:nuclei_model": MemoryDataset(NucleiModelParams()),
            "params:segmentation": MemoryDataset(SegmentationParams()),
            "params:ratio_labels": MemoryDataset(RatioLabelParams()),
            "validation_tiles": MemoryDataset(copy_mode="assign"),
            **{name: Kept(copy_mode="assign") for name in outputs},
        }
    )
    SequentialRunner().run(create_pipeline(), catalog)
    return catalog


def annotated(folder, section) -> str:
    Image.fromarray(section.rgb).save(folder / "tile.png")
    (folder / "cut.png").write_bytes((folder / "tile.png").read_bytes()[:20_000])
    Image.fromarray(np.zeros((300, 300, 3), np.uint8)).save(folder / "dark.png")
    positive = section.nuclei["positive"]
    ratio = section.nuclei["area_px"][positive].sum() / section.nuclei["area_px"].sum()
    rows = [
        "tile_id,path,mpp,n_positive,n_negative,tumor_ratio",
        f"drawn,tile.png,0.5,{positive.sum()},{(~positive).sum()},{ratio}",
        "fluorescence,dark.png,0.5,,,",
        "truncated,cut.png,0.5,,,",
    ]
    (folder / "tiles.csv").write_text("\n".join(rows) + "\n")
    return str(folder / "tiles.csv")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("validation")
    section = draw_section(np.random.default_rng(5), side_px=512, positive_share=0.3)
    return run(
        LabelValidationParams(
            tiles=annotated(folder, section),
            phantoms=PhantomParams(n_slides=1, width_um=260, height_um=260, seed=8),
            region_um=120,
            folder=str(folder / "work"),
        )
    )


def test_every_method_is_measured_on_every_region(found):
    table = LabelComparison.validate(found.load("label_comparison"))
    counts = table.groupby(["source", "label_method"]).size().to_dict()
    assert counts == {
        **{("annotated", name): 1 for name in METHODS},
        **{("phantom", name): 4 for name in METHODS},
    }
    pixels = table["label_method"].isin(["recolor", "otsu"])
    assert table.loc[pixels, "n_positive"].isna().all()
    assert table.loc[~pixels, "n_positive"].notna().all()
    assert (table["seconds_per_mpx"] > 0).all()


def test_the_nuclei_of_a_drawn_tile_are_counted_about_right(found):
    table = found.load("label_comparison").set_index(["source", "label_method"])
    own = table.loc[("annotated", "nucleus")]
    assert own["tumor_ratio"] == pytest.approx(own["true_ratio"], abs=0.05)
    assert own["n_positive"] == pytest.approx(own["true_positive"], rel=0.2)
    assert own["n_negative"] == pytest.approx(own["true_negative"], rel=0.2)


def test_the_summary_names_circular_evidence(found):
    summary = LabelMethods.validate(found.load("label_methods"))
    evidence = summary.set_index(["source", "label_method"])["evidence"]
    assert evidence["phantom", "nucleus"].startswith("circular")
    assert evidence["annotated", "nucleus"] == "annotated tiles"
    assert evidence["phantom", "otsu"] == "synthetic slides"


def test_a_tile_that_cannot_be_measured_is_named_and_left_out(found):
    measured = " ".join(found.load("label_comparison")["region_id"])
    assert "drawn" in measured
    assert "fluorescence" not in measured
    assert "truncated" not in measured


def test_tiles_that_cannot_be_opened_or_cut_are_logged(tmp_path, monkeypatch, caplog):
    section = draw_section(np.random.default_rng(5), side_px=512, positive_share=0.3)
    params = LabelValidationParams(
        tiles=annotated(tmp_path, section),
        phantoms=PhantomParams(n_slides=1, width_um=260, height_um=260, seed=8),
        region_um=120,
        folder=str(tmp_path / "work"),
    )
    cut = nodes.cut_tile

    def fail_late(tile, folder):
        if tile.tile_id == "fluorescence":
            raise SlideError(tile.tile_id, "cannot be decoded", "export it again")
        return cut(tile, folder)

    monkeypatch.setattr(nodes, "cut_tile", fail_late)
    slides = nodes.prepare_tiles(params)
    assert [slide.source for slide in slides] == ["annotated", "phantom"]
    left_out = [text for text in caplog.messages if text.startswith("left out: ")]
    assert len(left_out) == 2
    assert "truncated" in left_out[0]
    assert "fluorescence: cannot be decoded; export it again" in left_out[1]


def test_both_pictures_are_drawn(found):
    assert len(found.load("label_methods_figure").axes) == len(METHODS)
    assert sum(bool(axes.images) for axes in found.load("validation_overlays").axes) == 4
