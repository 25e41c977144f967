"""Rows of numbers are enough to predict what networks take."""

import numpy as np
import pytest

from jaxnas.hardware.columns import column_features, column_model
from jaxnas.hardware.predict import metrics
from jaxnas.hardware.predict.validation import FitError
from tests import column_toys


def judged(values, ms, count):
    model = column_model.fit(column_toys.as_rows(values[:count], ms[:count]))
    return metrics.quality(ms[count:], *model.predict(values[count:])), model


@pytest.mark.parametrize("seed", range(3))
def test_a_transformer_is_told_by_ten_columns_of_a_hundred(seed):
    values = column_toys.rows(500, seed)
    found, _ = judged(values, column_toys.milliseconds(values, seed=seed), 100)
    assert found.spearman >= 0.99
    assert found.within10 >= 95
    assert 80 <= found.coverage90 <= 98


def test_times_of_many_decades_are_within_ten_percent_throughout():
    """A product of powers: the plain columns miss the fast ones."""
    values, random = column_toys.rows(500, 5), np.random.default_rng(5)
    ms = 3 * np.prod((values[:, :5] / values[:, :5].mean(0)) ** (1, 1.3, 0.1, 0.7, 0.2), 1)
    assert ms.max() / ms.min() > 300
    found, model = judged(values, ms * np.exp(0.02 * random.standard_normal(500)), 40)
    assert model.logs.any() and model.floor == 0
    assert found.within10 > 99


def test_times_that_add_up_need_no_logarithms():
    values, random = column_toys.rows(500, 6), np.random.default_rng(6)
    ms = 1 + values[:, :4] @ (0.1, 0.001, 0.05, 0.0005)
    found, model = judged(values, ms * np.exp(0.02 * random.standard_normal(500)), 20)
    assert not model.logs.any()
    assert found.within10 > 95


def test_columns_that_are_not_positive_are_taken_as_they_are():
    values = column_toys.rows(200, 7)
    values[:, 7] -= 0.5
    ms = column_toys.milliseconds(values) * (2 + values[:, 7])
    found, model = judged(values, ms, 150)
    assert model.logs[7] == 0
    assert found.spearman > 0.97


def test_one_column_is_enough():
    values = np.linspace(1, 9, 12)[:, None]
    model = column_model.fit(column_toys.as_rows(values, 2 + values[:, 0] ** 2))
    ms, low, high = model.predict(np.array([[4.2], [8.1]]))
    assert ms == pytest.approx(2 + np.array([4.2, 8.1]) ** 2, rel=0.05)
    assert (low <= ms).all() and (ms <= high).all()


def test_many_columns_have_pairs_alone():
    assert set(column_features.groups(np.ones((2, 3)))) == {"column", "pair", "triple"}
    assert set(column_features.groups(np.ones((2, 40)))) == {"column", "pair"}
    assert column_features.groups(np.array([[2.0, 3.0]]))["pair"].tolist() == [[4, 6, 9]]
    values = np.random.default_rng(0).uniform(1, 2, (60, 40))
    model = column_model.fit(
        column_toys.as_rows(values, values[:, 0] * 3, tuple(map(str, range(40))))
    )
    assert np.isfinite(model.predict(values)[0]).all()


def test_rows_far_outside_are_told_and_stay_finite_and_positive():
    _, model = judged(*(lambda v: (v, column_toys.milliseconds(v)))(column_toys.rows(80)), 60)
    far = np.array([[1e9] * 10, [-1e9] * 10, [0.0] * 10])
    ms, low, high = model.predict(far)
    assert np.isfinite([ms, low, high]).all() and (ms > 0).all() and (low >= 0).all()
    assert model.outside(far)[0].all()
    assert not model.outside(column_toys.rows(80)[:60]).any()


def test_rows_alike_count_once_with_their_median():
    values = np.repeat(column_toys.rows(8), 3, 0)
    ms = np.repeat(column_toys.milliseconds(values[::3]), 3) * np.tile([1, 1.01, 5], 8)
    model = column_model.fit(column_toys.as_rows(values, ms))
    assert model.rows == 8
    _, found = column_model.distinct(column_toys.as_rows(values, ms))
    assert sorted(found) == pytest.approx(sorted(ms[1::3]))


def test_more_rows_than_a_fit_takes_are_drawn_from(monkeypatch):
    monkeypatch.setattr(column_model, "MAX_ROWS", 30)
    assert column_model.fit(column_toys.measured(90)).rows == 30


@pytest.mark.parametrize(
    ("count", "change", "cause"),
    [
        (4, 1.0, "4 different rows were measured: 5 are the least"),
        (20, 1e9, "give milliseconds"),
        (20, np.repeat([1.0, 1e6], 10), "one unit"),
    ],
)
def test_refuses_what_says_nothing(count, change, cause):
    found = column_toys.measured(count)
    with pytest.raises(FitError, match=cause) as refused:
        column_model.fit(found._replace(measured=found.measured * change))
    assert "\n" not in str(refused.value)


def test_rows_of_other_columns_are_refused():
    model = column_model.fit(column_toys.measured(20))
    for values in (np.ones((2, 9)), np.ones(10)):
        with pytest.raises(ValueError, match="give \\[rows, 10\\]"):
            model.predict(values)
    with pytest.raises(ValueError, match="level"):
        model.predict(np.ones((1, 10)), level=1.0)
