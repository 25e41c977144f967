"""What holds for every strategy of the registry."""

import numpy as np
import pytest

from jaxnas.strategies import goals, registry, strategy
from jaxnas.strategies.designs import design_space
from tests.strategies.toys import CELLS, COST, KNOWN, SCORE, TEN, score_and_cost

NAMES = tuple(registry.STRATEGIES)
# Networks that are trained for a few steps: what is tested is not what they learn.
QUICK = {
    "boshnas": {"first": 10, "steps": 3},
    "fbnet-v3": {"first": 10, "pretraining_steps": 3, "steps": 3, "sampled_until": 30},
    "diffusion-nag": {"first": 10, "steps": 3, "denoiser_steps": 3, "samples": 20},
    "linas": {"first": 10, "generations": 3},
    "gaussian-process": {"first": 10}, "gbdt-nas": {"first": 10}, "gbdt-nas-3s": {"first": 30},
}  # fmt: skip


def make(name, space):
    return registry.make(name, space, goals_of(name), QUICK.get(name, {}))


def asks_of(name):
    """Enough for a population of 50 and its children; where models are trained, for three fits."""
    return 4 if QUICK.get(name, {}).get("first") == 10 else 9


def goals_of(name):
    if name == "eeea":  # which all designs keep here: others are tests/strategies/test_eeea.py
        return SCORE, COST, goals.parse("total<=100")
    return (SCORE, COST) if registry.get(name).objectives is None else (SCORE,)


def values_of(name):
    def values(designs):
        columns = (score_and_cost(designs), KNOWN["total"](designs)[:, None])
        return np.concatenate(columns, 1)[:, : len(goals_of(name))]

    return values


def told(name, space, asks, count):
    """The states before each ask, and what was asked."""
    made = make(name, space)
    state, states, rows = made.init(), [], []
    for number in range(asks):
        states.append(state)
        asked = made.ask(state, strategy.random_of_ask(7, number), count)
        if not len(asked):
            break
        rows.append(asked)
        state = made.tell(state, asked, values_of(name)(asked))
    return made, states, rows


@pytest.mark.parametrize("name", NAMES)
def test_asking_only_reads_and_the_state_is_what_was_told(name):
    made, states, rows = told(name, CELLS, asks_of(name), count=10)
    again = made.init()
    for number, asked in enumerate(rows):
        of_ask = lambda: strategy.random_of_ask(7, number)  # noqa: B023
        np.testing.assert_array_equal(made.ask(states[number], of_ask(), 10), asked)
        np.testing.assert_array_equal(made.ask(again, of_ask(), 10), asked)
        again = made.tell(again, asked, values_of(name)(asked))


@pytest.mark.parametrize("name", NAMES)
def test_every_design_asked_for_is_canonical_valid_and_new(name):
    _, _, rows = told(name, CELLS, asks_of(name), count=10)
    designs = np.concatenate(rows)
    assert all(1 <= len(asked) <= 10 for asked in rows)
    np.testing.assert_array_equal(CELLS.canonical(designs), designs)
    assert CELLS.is_valid(designs).all()
    if not registry.get(name).repeats:
        assert len(np.unique(designs, axis=0)) == len(designs)


@pytest.mark.parametrize("name", NAMES)
def test_a_space_of_ten_designs_is_used_up(name):
    made = make(name, TEN)
    history = strategy.simulate(made, values_of(name), 50, seed=0, batch=4)
    assert len(np.unique(history.designs, axis=0)) == len(history.designs)
    if not registry.get(name).repeats:
        assert len(history.designs) == design_space.count(TEN)


@pytest.mark.parametrize("name", NAMES)
def test_goes_on_where_everything_fails(name):
    made = make(name, CELLS)
    failing = lambda designs: np.full((len(designs), len(goals_of(name))), np.nan)
    assert len(strategy.simulate(made, failing, 70, seed=0, batch=10).designs) == 70


def test_unknown_names_and_settings_are_refused():
    with pytest.raises(ValueError, match="Did you mean nsga2.*No strategy is called 'nsga'"):
        registry.make("nsga", TEN, (SCORE,))
    with pytest.raises(ValueError, match="random has no setting 'population': it has batch"):
        registry.make("random", TEN, (SCORE,), {"population": 3})
