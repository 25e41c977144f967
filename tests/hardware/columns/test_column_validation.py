"""A model of columns is judged on rows that it was not fitted to, beside simpler ones."""

import pytest

from jaxnas.hardware.columns import column_validation
from jaxnas.hardware.predict.validation import FitError
from tests import column_toys


def test_compares_with_a_line_over_a_column_and_with_trees():
    found, measured, predicted = column_validation.cross_validate(column_toys.measured(120))
    assert set(found) == {"ours", "column", "trees"}
    assert measured.shape == predicted.shape == (120,)
    assert found["ours"].spearman > 0.99 > found["trees"].spearman > found["column"].spearman
    assert found["ours"].within10 > found["trees"].within10 + 30
    with pytest.raises(FitError, match="9 different rows are too few"):
        column_validation.cross_validate(column_toys.measured(9))
