from __future__ import annotations

import pytest
from omegaconf import OmegaConf
from pydantic import ValidationError

from tumor_ratio.inference.answer_params import AnswerParams
from tumor_ratio.metrics.tumor_share import Labellings, ShareRange
from tumor_ratio.pipelines.prediction.params import PredictionParams

TUMOR, OTHER = "0.5 0.4 0.6", "0.05 0.02 0.1"


@pytest.mark.parametrize("kind", [PredictionParams, AnswerParams])
def test_labellings_are_read_best_value_first(kind):
    found = kind(tumor_labelling=f" {TUMOR}  ", other_labelling=OTHER).labellings
    assert found == Labellings(ShareRange(0.5, 0.4, 0.6), ShareRange(0.05, 0.02, 0.1))
    assert kind().labellings is None


def test_the_command_line_leaves_them_whole():
    given = OmegaConf.from_dotlist([f"tumor_labelling={TUMOR}", f"other_labelling={OTHER}"])
    assert PredictionParams(**OmegaConf.to_container(given)).labellings is not None


@pytest.mark.parametrize(
    ("tumor", "other", "said"),
    [
        (TUMOR, "", "`other_labelling` is missing: give both"),
        ("", OTHER, "`tumor_labelling` is missing: give both"),
        (0.5, OTHER, "0.5 has no range; give three numbers with spaces between them: best value"),
        ("0.4 0.6", OTHER, "`tumor_labelling` is '0.4 0.6'; give three numbers"),
        (TUMOR, "0.05 0.02 0.1 0.2", "`other_labelling` is '0.05 0.02 0.1 0.2'; give three"),
        ("half 0.4 0.6", OTHER, "`tumor_labelling` is 'half 0.4 0.6'; give three numbers"),
        ("0.4 0.5 0.6", OTHER, "must lie in its range, 0.5 to 0.6"),
        ("50 40 60", OTHER, "within 0 to 1"),
        (TUMOR, "0.3 0.2 0.4", "must lie above that of other nuclei"),
        ([0.5, 0.4, 0.6], OTHER, "valid string"),
    ],
)
@pytest.mark.parametrize("kind", [PredictionParams, AnswerParams])
def test_what_cannot_be_used_is_refused_with_what_to_give(kind, tumor, other, said):
    with pytest.raises(ValidationError, match=said):
        kind(tumor_labelling=tumor, other_labelling=other)
