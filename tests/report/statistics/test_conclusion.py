"""Sentences: they claim what the tests show, and no more."""

from jaxnas.report.statistics import conclusion, paired, variance


def said(scores, **more):
    table = {name: dict(enumerate(values)) for name, values in scores.items()}
    return " ".join(conclusion.sentences(table, paired.comparisons(table), **more))


def test_a_clear_difference_is_shown_with_its_seeds_and_p():
    text = said(
        {"a": [95.0, 95.2, 95.1, 95.3, 95.2, 95.0], "b": [90.0, 90.3, 90.1, 90.2, 90.4, 90.1]}
    )
    assert "The data show that a is better than b: by 4.95 points, 6 seeds, p below 0.001" in text
    assert "without that assumption" not in text
    assert "too short" in text  # six seeds


def test_three_seeds_show_it_only_under_an_assumption():
    text = said({"a": [95.0, 95.2, 95.1], "b": [90.0, 90.3, 90.1]})
    assert "If differences are normal, the data show that a is better than b" in text
    assert "; without that assumption p = 0.250 before correction." in text


def test_no_difference_is_not_called_equality():
    text = said({"a": [90.0, 95.0, 91.0], "b": [91.0, 90.0, 93.0]})
    assert "do not show a difference between a and b" in text
    assert "no proof that they are equal: differences of up to" in text
    assert "is better than" not in text


def test_one_seed_cannot_be_tested():
    text = said({"a": [90.0], "b": [91.0]})
    assert "nothing can be tested" in text and "One seed says nothing about spread" in text


def test_a_tie_has_two_best_and_variance_has_two_sources():
    parts = variance.components([[1.0, 3.0], [5.0, 7.0]])
    text = said({"a": [1.0, 2.0], "b": [2.0, 1.0]}, variance={"a": parts})
    assert "The highest mean is that of a and b." in text
    assert "Of the variance of one trained cell 78 % is the search's" in text
