import pytest

from tumor_ratio.reporting.stamps import RESEARCH_USE, SYNTHETIC_TRAINING, stamps_for


def test_the_research_use_sentence_is_the_agreed_one():
    assert RESEARCH_USE == (
        "For research use only. Not for diagnosis, prognosis or treatment decisions. "
        "Not a medical device; not clinically validated. Ki-67 marks proliferating cells, "
        "including normal and inflammatory cells; tumor cells may be negative."
    )


def test_phantom_training_adds_its_stamp():
    assert stamps_for("real") == (RESEARCH_USE,)
    assert stamps_for("phantom") == (RESEARCH_USE, SYNTHETIC_TRAINING)


def test_an_unknown_origin_never_passes_as_real():
    with pytest.raises(ValueError, match="not 'unknown'"):
        stamps_for("unknown")
