"""Rank correlations and regrets, against definitions, closed forms and worked examples."""

import numpy as np
import pytest

from jaxnas.evaluators import rank_correlation


def test_agrees_wholly_with_itself_and_not_at_all_with_its_reverse():
    truth = np.array([3.0, 1.0, 2.0, 5.0, 4.0])
    with_itself = rank_correlation.rank_correlation(10 * truth, truth, top=(1, 3))
    assert with_itself[:2] == pytest.approx((1, 1))
    assert with_itself.regret == {1: 0, 3: 0}
    reverse = rank_correlation.rank_correlation(-truth, truth, top=(1, 3))
    assert reverse[:2] == pytest.approx((-1, -1))
    assert reverse.regret == {1: 4, 3: 2}


def test_gives_tau_and_rho_of_an_example_worked_out_by_hand():
    # Of the 6 pairs one, (3, 4), is the wrong way: tau = (5 - 1) / 6, rho = 1 - 6 * 2 / (4 * 15).
    found = rank_correlation.rank_correlation(
        np.array([1, 2, 4, 3]), np.array([10.0, 20, 30, 40]), top=(1, 2, 9)
    )
    assert found.kendall == pytest.approx(2 / 3)
    assert found.spearman == pytest.approx(0.8)
    assert found.regret == {1: 10, 2: 0}


def test_takes_equal_scores_in_the_order_given():
    found = rank_correlation.rank_correlation(
        np.array([1.0, 1, 0]), np.array([1.0, 3, 2]), top=(1, 2)
    )
    assert found.regret == {1: 2, 2: 0}


def test_has_no_correlation_where_all_scores_are_equal():
    found = rank_correlation.rank_correlation(np.zeros(4), np.arange(4.0), top=(1,))
    assert np.isnan(found.kendall)
    assert np.isnan(found.spearman)
    assert found.regret == {1: 3}


def test_random_rankings_agree_as_chance_says():
    rng = np.random.default_rng(0)
    truth, repeats, top = rng.normal(size=60) ** 3, 400, (1, 5, 60)
    found = [rank_correlation.rank_correlation(rng.random(60), truth, top) for _ in range(repeats)]
    n = len(truth)
    # The null's standard deviations: Kendall 1938, and 1 / sqrt(n - 1).
    for name, deviation in (
        ("kendall", np.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1)))),
        ("spearman", 1 / np.sqrt(n - 1)),
    ):
        values = np.array([getattr(one, name) for one in found])
        assert abs(values.mean()) < 4 * deviation / np.sqrt(repeats)
        assert values.std() == pytest.approx(deviation, rel=0.15)
    expected = rank_correlation.random_regret(truth, top)
    for k in top:
        regrets = np.array([one.regret[k] for one in found])
        error = 4 * regrets.std() / np.sqrt(repeats) + 1e-9
        assert regrets.mean() == pytest.approx(expected[k], abs=error)


def test_chance_of_few_cells_is_a_mean_over_all_draws():
    # Pairs of (0, 1, 3, 7): the best is 1 once, 3 twice, 7 three times.
    truth = [3.0, 0, 7, 1]
    assert rank_correlation.random_regret(truth, (1, 2, 4, 5)) == pytest.approx(
        {1: 7 - 11 / 4, 2: 7 - (1 + 2 * 3 + 3 * 7) / 6, 4: 0}
    )


@pytest.mark.parametrize(
    ("scores", "truth", "top", "cause"),
    [
        ([1], [1], (1,), "two cells or more"),
        ([1, 2], [1, 2, 3], (1,), "not two lists of equal length"),
        ([[1, 2]], [[1, 2]], (1,), "not two lists"),
        ([1, np.nan], [1, 2], (1,), "not finite"),
        ([1, 2], [1, np.inf], (1,), "not finite"),
        ([1, 2], [1, 2], (0,), "give k of 1 or more"),
    ],
)
def test_refuses_what_has_no_order(scores, truth, top, cause):
    with pytest.raises(ValueError, match=cause):
        rank_correlation.rank_correlation(scores, truth, top)


def test_agreement_is_told_of_parts_of_the_cells():
    truth = np.array([1.0, 2, 3, 10, 20, 30])
    scores = np.array([3.0, 2, 1, 4, 5, 6])
    connected = np.array([True, True, False, True, True, False])
    found = rank_correlation.agreement(scores, truth, connected)
    # Of 15 pairs the 3 below the median are the wrong way; among the connected 1 of 6.
    assert found == pytest.approx((12 / 15 - 3 / 15, 4 / 6, -1, 1))
    equal = rank_correlation.agreement(np.zeros(6), truth, connected)
    assert np.isnan(equal).all()


def test_equal_scores_share_a_rank_in_the_sum():
    ranks = rank_correlation.sum_of_ranks(np.array([5.0, 5, 1]), np.array([0.0, 2, 1]))
    assert ranks.tolist() == [2.5 + 1, 2.5 + 3, 1 + 2]


def test_a_gain_beyond_chance_is_told_from_one_within_it():
    random = np.random.default_rng(1)
    truth = random.normal(size=200)
    size = truth + random.normal(size=200)
    told = truth + random.normal(size=200)
    more = rank_correlation.gain(
        lambda rows: rank_correlation.sum_of_ranks(told[rows], size[rows]), size, truth, draws=300
    )
    # The tau of a bivariate normal with correlation r is 2 asin(r) / pi.
    expected = 2 / np.pi * (np.arcsin(1 / np.sqrt(1.5)) - np.arcsin(1 / np.sqrt(2)))
    assert more.mean == pytest.approx(expected, abs=0.05)
    assert 0 < more.low < more.mean < more.high and more.share_not_above == 0
    noise = random.normal(size=200)
    none = rank_correlation.gain(lambda rows: noise[rows], size, truth, draws=100)
    assert none.high < 0 and none.share_not_above == 1
    same = rank_correlation.gain(lambda rows: size[rows], size, truth, draws=10)
    assert same == (0, 0, 0, 1)
