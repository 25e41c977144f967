"""Acquisitions: the best unseen of a known model, listed, sampled, evolved, uphill, pruned."""

import numpy as np
import pytest

from jaxnas.strategies import strategy
from jaxnas.strategies.acquisition import pruned, uphill
from jaxnas.strategies.acquisition.evolved import evolved
from jaxnas.strategies.acquisition.exhaustive import exhaustive
from jaxnas.strategies.acquisition.model import Model
from jaxnas.strategies.acquisition.sampled import sampled
from jaxnas.strategies.acquisition.uncertain import sometimes_uncertain
from jaxnas.strategies.designs import design_space, variation
from jaxnas.strategies.designs.features import all_values, nearest, of_all_values, one_hot
from jaxnas.strategies.surrogates.surrogate import Fitted
from tests.strategies.toys import CELLS, COST, SCORE, TEN

WEIGHTS = np.random.default_rng(0).normal(size=30)
CONVOLUTION = 3


def linear(parameters, x):
    return x @ parameters, 0 * x[:, 0]


def model(optimism=0.0, std=lambda x: np.zeros(len(x)), sign=1):
    """A linear function of the cells' codes, known exactly."""
    fitted = Fitted(lambda x: x @ WEIGHTS, std, linear, WEIGHTS.astype(np.float32))
    goal = SCORE._replace(sign=sign)
    return Model(CELLS, (goal,), lambda rows: one_hot(CELLS, rows), (fitted,), optimism)


def history(count=30):
    random = strategy.random_of_ask(0, 0)
    rows = variation.sample(CELLS, random, count)
    start = strategy.empty_history(CELLS, 1)
    return strategy.extend(start, rows, one_hot(CELLS, rows) @ WEIGHTS)


def all_cells():
    return np.concatenate(list(design_space.enumerate_all(CELLS)))


@pytest.mark.parametrize("sign", [1, -1])
def test_listed_designs_are_the_best_unseen(sign):
    rows, past = all_cells(), history()
    found = exhaustive(CELLS)(model(sign=sign), past, strategy.random_of_ask(0, 1), 20)
    new = np.array([key not in past.seen for key in design_space.keys(rows)])
    best = np.sort(sign * (one_hot(CELLS, rows[new]) @ WEIGHTS))[::-1][:20]
    np.testing.assert_allclose(sign * (one_hot(CELLS, found) @ WEIGHTS), best)


@pytest.mark.parametrize(
    "acquisition", [sampled(CELLS), evolved(CELLS, generations=15), uphill.uphill(CELLS)]
)
def test_others_come_near_it(acquisition):
    past = history()
    found = acquisition(model(), past, strategy.random_of_ask(0, 1), 5)
    assert len(np.unique(found, axis=0)) == 5
    assert not set(design_space.keys(found)) & past.seen
    np.testing.assert_array_equal(CELLS.canonical(found), found)
    everything = one_hot(CELLS, all_cells()) @ WEIGHTS
    place = (everything > one_hot(CELLS, found[:1]) @ WEIGHTS).sum()
    assert place < 0.01 * len(everything)


def test_optimism_prefers_what_is_uncertain():
    unknown = lambda x: 100.0 * x[:, CONVOLUTION]  # the first edge is a 3x3 convolution
    found = exhaustive(CELLS)(model(1.0, unknown), history(), strategy.random_of_ask(0, 1), 5)
    assert (found[:, 0] == CONVOLUTION).all()
    now_and_then = sometimes_uncertain(CELLS, exhaustive(CELLS), share=1.0)
    found = now_and_then(model(0.0, unknown), history(), strategy.random_of_ask(0, 1), 5)
    assert (found[:, 0] == CONVOLUTION).all()


def test_spaces_too_large_to_be_listed_are_refused():
    large = design_space.of_values({str(d): tuple(range(20)) for d in range(5)})
    with pytest.raises(ValueError, match="too many to predict each"):
        exhaustive(large)


def test_values_that_harm_are_found_and_left_out():
    rows = variation.sample(CELLS, np.random.default_rng(0), 100)
    harm = -5.0 * (rows[:, 0] == CONVOLUTION) - 4.0 * (rows[:, 5] == 1) + rows[:, 2] / 10
    pairs = pruned.harmful_pairs(CELLS, (SCORE,), rows, harm[:, None], 2)
    assert set(pairs) == {(0, CONVOLUTION), (5, 1)}
    acquisition = pruned.pruned(CELLS, exhaustive, after=100, pairs=2)
    past = strategy.extend(strategy.empty_history(CELLS, 1), rows, harm)
    found = acquisition(model(), past, strategy.random_of_ask(0, 1), 50)
    assert not (found[:, 0] == CONVOLUTION).any() and not (found[:, 5] == 1).any()


def test_all_failed_or_all_equal_leave_nothing_out():
    rows = variation.sample(CELLS, np.random.default_rng(0), 40)
    for values in (np.full((40, 2), np.nan), np.ones((40, 2))):
        assert pruned.harmful_pairs(CELLS, (SCORE, COST), rows, values, 6) == ()


def test_codes_of_all_values_become_features_and_designs_again():
    space = design_space.of_values({"rate": (1, 2, 4), "op": ("a", "b"), "only": (7,)})
    rows = np.concatenate(list(design_space.enumerate_all(space)))
    for of, designs in (
        (space, rows),
        (TEN, np.concatenate(list(design_space.enumerate_all(TEN)))),
    ):
        codes = one_hot(of, designs)
        np.testing.assert_array_equal(all_values(of, designs) @ of_all_values(of), codes)
        np.testing.assert_array_equal(nearest(of, 0.8 * codes + 0.05), designs)
