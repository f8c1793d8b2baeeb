import numpy as np
import pytest

from tumor_ratio.metrics.paired_values import PairedValues


@pytest.fixture
def values():
    """Slides 2, 5 and 9; the first two are one case."""
    return PairedValues.of_codes(
        np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), np.zeros(6),
        np.array([5, 2, 2, 9, 9, 9]), np.array([7, 7, 7, 1, 1, 1]),
    )  # fmt: skip


def test_codes_that_leave_gaps(values):
    assert values.slide.tolist() == [1, 0, 0, 2, 2, 2]
    assert values.case_of_slide.tolist() == [1, 1, 0]
    assert (len(values), values.n_slides, values.n_cases) == (6, 3, 2)


def test_rows_of_a_slide_and_slides_of_a_case_weigh_the_same(values):
    np.testing.assert_allclose(values.weights, [0.5, 0.25, 0.25, 1 / 3, 1 / 3, 1 / 3])
    np.testing.assert_allclose(values.slide_means(values.predicted), [0.25, 0.1, 0.5])
    np.testing.assert_allclose(values.case_means(values.predicted), [0.5, 0.175])
    weighted = np.bincount(values.case, values.weights * values.predicted)
    np.testing.assert_allclose(values.case_means(values.predicted), weighted)


def test_slides_without_a_value_do_not_count_in_their_case(values):
    np.testing.assert_allclose(values.over_cases(np.array([np.nan, 0.1, 0.5])), [0.5, 0.1])
    np.testing.assert_allclose(values.over_cases(np.array([np.nan, np.nan, 0.5])), [0.5])


def test_some_rows(values):
    some = values.only(values.predicted > 0.25)
    assert some.predicted.tolist() == [0.3, 0.4, 0.5, 0.6]
    assert (some.slide.tolist(), some.case_of_slide.tolist()) == ([0, 1, 1, 1], [1, 0])


def test_nothing():
    none = PairedValues.of_codes(*np.zeros((2, 0)), *np.zeros((2, 0), int))
    assert (len(none), none.n_slides, none.n_cases) == (0, 0, 0)
