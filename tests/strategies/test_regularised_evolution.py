"""Regularised evolution: children of the best, and the best of a known problem found."""

import numpy as np
import pytest

from jaxnas.strategies import strategy
from jaxnas.strategies.designs import variation
from jaxnas.strategies.regularised_evolution import regularised_evolution
from jaxnas.strategies.strategy import simulate
from tests.strategies import toys
from tests.strategies.toys import CELLS, SCORE

CONVOLUTION = 3


def convolutions(designs):
    """How many edges are 3x3 convolutions: the best is the cell that has them alone."""
    return (designs == CONVOLUTION).sum(1)[:, None]


def test_children_have_one_edge_of_a_parent_changed():
    made = regularised_evolution(CELLS, (SCORE,), population=10, tournament=10)
    state = simulate(made, convolutions, 10, seed=0, batch=10)
    best = state.designs[state.values[:, 0].argmax()]
    children = made.ask(state, strategy.random_of_ask(0, 1), 6)
    # A tournament of all has one winner; a child's dead edges change with the mutated one.
    mutated = variation.mutate(CELLS, np.random.default_rng(0), np.tile(best, (500, 1)))
    possible = {row.tobytes() for row in CELLS.canonical(mutated)}
    assert {row.tobytes() for row in children} <= possible


def test_follows_the_seed():
    made = regularised_evolution(CELLS, (SCORE,))
    first, again, other = (simulate(made, convolutions, 70, seed, batch=10) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first.designs, again.designs)
    assert not np.array_equal(first.designs, other.designs)


def test_finds_the_best_of_a_known_problem():
    state = simulate(regularised_evolution(CELLS, (SCORE,)), convolutions, 200, 0, batch=10)
    assert (state.designs[state.values[:, 0].argmax()] == CONVOLUTION).all()


def test_a_failed_network_is_no_parent():
    score = lambda designs: np.where(convolutions(designs) > 2, np.nan, convolutions(designs))
    made = regularised_evolution(CELLS, (SCORE,), population=20, tournament=5)
    state = simulate(made, score, 100, 0, batch=10)
    assert np.isnan(state.values).any()
    assert np.nanmax(state.values) == 2


def test_beats_random_search_on_the_benchmark():
    truth, row_of = toys.table()
    found = []
    for seed in range(10):
        state = simulate(
            regularised_evolution(CELLS, (SCORE,)),
            lambda designs: truth.valid[0, 0, row_of(designs)],
            200,
            seed,
            batch=10,
        )
        found.append(truth.test[0, -1, row_of(state.designs[state.values[:, 0].argmax()])])
    # Measured over 50 seeds: 94.30 ± 0.16, random search 93.93 ± 0.30.
    assert np.mean(found) > 94.15


def test_impossible_tournaments_are_refused():
    with pytest.raises(ValueError, match="A tournament of 11 cannot be held among 10"):
        regularised_evolution(CELLS, (SCORE,), population=10, tournament=11)
