import numpy as np
import pytest

from jaxnas.pipelines.export import check

EXPECTED = np.array([[0.0, 10, 0], [5, 5 - 1e-9, 0], [0, 0, 1]])
LABELS = np.array([1, 0, 0])


def test_counts_and_differences_are_of_the_export():
    figures = check.compare(EXPECTED + 5e-4, EXPECTED, LABELS)
    assert figures["images"] == 3 and figures["top1"] == pytest.approx(2 / 3)
    assert figures["top1_equal"] == 1
    assert figures["max_difference"] == pytest.approx(5e-4)
    assert figures["tolerance"] == pytest.approx(1e-3)  # of the largest logit, 10


def test_a_tie_may_be_won_by_either():
    other = EXPECTED.copy()
    other[1] = [5 - 1e-4, 5, 0]
    assert check.compare(other, EXPECTED, LABELS)["top1_equal"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "other", [EXPECTED + 2e-3, EXPECTED[:, :2], np.where(EXPECTED > 9, np.nan, EXPECTED)]
)
def test_other_logits_are_refused(other):
    with pytest.raises(check.ExportCheckError):
        check.compare(other, EXPECTED, LABELS)
