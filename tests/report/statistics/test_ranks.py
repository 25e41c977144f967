"""Mean ranks: by hand, ties, and the picture."""

import pytest
import scipy.stats

from jaxnas.report.statistics import critical_difference, ranks

# Seed by seed the ranks are 4 2 3 1, 4 1.5 3 1.5, 3 2 4 1.
SCORES = {
    "a": {0: 1.0, 1: 1.0, 2: 2.0},
    "b": {0: 3.0, 1: 3.0, 2: 3.0, 9: 1.0},
    "c": {0: 2.0, 1: 2.0, 2: 1.0},
    "d": {0: 4.0, 1: 3.0, 2: 4.0, 9: 2.0},
}


def test_mean_ranks_by_hand():
    ranked = ranks.ranks(SCORES)
    expected = {"d": 3.5 / 3, "b": 5.5 / 3, "c": 10 / 3, "a": 11 / 3}
    assert dict(ranked.mean) == pytest.approx(expected)
    assert list(ranked.mean) == ["d", "b", "c", "a"]
    assert ranked.blocks == 3  # seed 9 is not of all
    table = [[SCORES[name][seed] for seed in range(3)] for name in "abcd"]
    assert ranked.p == pytest.approx(scipy.stats.friedmanchisquare(*table).pvalue)


def test_the_critical_difference_is_that_of_the_paper():
    # Demšar 2006, section 3.2.2: 2.569 sqrt(4 x 5 / (6 x 14)) = 1.25.
    assert ranks.critical_difference(4, 14) == pytest.approx(1.25, abs=5e-3)
    assert ranks.critical_difference(2, 6) == pytest.approx(1.96 / 6**0.5, abs=1e-3)


def test_fewer_than_three_methods_or_two_common_seeds_have_no_ranks():
    assert ranks.ranks({"a": {0: 1.0, 1: 2.0}, "b": {0: 2.0, 1: 1.0}}) is None
    apart = {"a": {0: 1.0, 1: 2.0}, "b": {0: 2.0, 2: 1.0}, "c": {0: 1.0, 1: 1.0}}
    assert ranks.ranks(apart) is None
    assert ranks.ranks({}) is None


def test_all_tied_is_no_difference():
    ranked = ranks.ranks({name: {0: 1.0, 1: 2.0} for name in "abc"})
    assert ranked.p == 1.0
    assert set(ranked.mean.values()) == {2.0}


@pytest.mark.parametrize(
    ("mean", "difference", "bars"),
    [
        ([1.0, 1.5, 3.0, 3.2], 1.0, [(0, 1), (2, 3)]),
        ([1.0, 1.8, 2.6], 1.0, [(0, 1), (1, 2)]),
        ([1.0, 3.0], 1.0, []),
        ([1.0, 1.1, 1.2], 1.0, [(0, 2)]),
    ],
)
def test_bars_join_what_may_be_equal(mean, difference, bars):
    assert ranks.groups(mean, difference) == bars


def test_the_picture_names_all_with_their_ranks(tmp_path):
    ranked = ranks.ranks(SCORES)
    picture = critical_difference.save(ranked, tmp_path, "ranks")
    assert "d 1.17, b 1.83, c 3.33, a 3.67" in picture
    assert (tmp_path / "ranks.svg").read_text() == picture
    assert (tmp_path / "ranks.png").stat().st_size > 1000
