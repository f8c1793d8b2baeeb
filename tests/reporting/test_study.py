import numpy as np
import pytest

from tumor_ratio.reporting.study import STUDY_CONFUSIONS, majority_summary, majority_verdict


def test_the_studys_networks_in_words():
    resnet, vit = (majority_verdict(name, counts) for name, counts in STUDY_CONFUSIONS.items())
    assert resnet == (
        "ResNet18: accuracy 0.7250 in 1200 patches; always answering the most frequent bin scores "
        "0.7392, so the network falls short of it by 17 patches. Its balanced accuracy is 0.335, "
        "where chance is 0.333."
    )
    assert "accuracy 0.7408" in vit
    assert "beats it by 2 patches. Its balanced accuracy is 0.336," in vit


def test_one_patch_none_and_bins_that_do_not_occur():
    assert "beats it by 1 patch." in majority_verdict("a", [[5, 0], [1, 1]])
    assert "equals it" in majority_verdict("a", [[5, 0], [2, 0]])
    three = majority_verdict("a", [[4, 0, 0], [1, 1, 0], [0, 0, 0]])
    assert "is 0.750, where chance is 0.500" in three


@pytest.mark.parametrize("counts", [np.zeros((3, 3)), np.ones((2, 3)), [1, 2]])
def test_what_is_no_confusion_matrix_is_refused(counts):
    with pytest.raises(ValueError, match="square and counts something"):
        majority_verdict("a", counts)


def test_no_network_of_the_study_beats_the_most_frequent_bin():
    said = majority_summary(STUDY_CONFUSIONS)
    assert "none of these networks beats the most frequent bin" in said
    assert "ResNet18 wins 11 patches from it and loses 28 (exact McNemar p 0.0095)" in said
    assert "ViT-B/16 wins 3 patches from it and loses 1 (exact McNemar p 0.62)" in said


def test_a_network_that_beats_it_is_named():
    said = majority_summary({"good": [[90, 2], [5, 40]], "same": [[9, 0], [2, 0]]})
    assert "good beat the most frequent bin" in said
    assert "same wins 0 patches from it and loses 0 (exact McNemar p 1)" in said
