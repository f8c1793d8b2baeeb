import numpy as np
import pytest

from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.stains import H_E, recompose
from tumor_ratio.labelling.declaration_checks import refuse_impossible_sizes, refuse_other_stains


def pink() -> np.ndarray:
    amount = np.zeros((100, 100), np.float32)
    amount[:60] = 0.6
    return recompose(amount, H_E.second)


def test_h_and_e_given_as_ihc_is_refused_with_the_remedy():
    with pytest.raises(SlideError, match=r"s7: its ihc slide looks like H&E: 100%.*swapped"):
        refuse_other_stains("s7", pink(), "ihc")
    refuse_other_stains("s7", pink(), "he")


@pytest.mark.parametrize("section", ["he", "ihc"])
def test_fluorescence_is_refused(section):
    dark = np.zeros((80, 80, 3), np.uint8)
    dark[30:40, 30:40, 2] = 220
    with pytest.raises(SlideError, match=f"its {section} slide is dark without any glass"):
        refuse_other_stains("s7", dark, section)


@pytest.mark.parametrize(
    ("diameter_um", "fits"), [(2.8, False), (6.5, True), (13, True), (25, False)]
)
def test_nuclei_that_no_tissue_has_are_refused(diameter_um, fits):
    areas = np.full(60, np.pi / 4 * diameter_um**2)
    if fits:
        refuse_impossible_sizes("s7", areas, 1.0, "ihc")
    else:
        with pytest.raises(SlideError, match=rf"{diameter_um:.1f} um in the mean.*correct ihc_mpp"):
            refuse_impossible_sizes("s7", areas, 1.0, "ihc")
    refuse_impossible_sizes("s7", areas[:20], 1.0, "ihc")  # too few to judge by
