"""R-DARTS: the rule as the paper's code has it, and searches that stop or go back by it."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas.core import diagnostics, early_stopping
from jaxnas.methods import darts, entry, r_darts
from jaxnas.methods.optimisers import Optimisers
from tests import toy

STEPS, EPOCHS = 2, 8  # a toy's epoch, a toy's search
QUICK = early_stopping.Rule(every=1, window=3, delay=2, start=1, ratio=1.3)
TRAIN = toy.batches(1, STEPS * EPOCHS)
VALID = toy.batches(2, STEPS * EPOCHS)
# Of programs that XLA compiles otherwise, after a few steps.
CLOSE = {"rtol": 1e-3, "atol": 1e-5}


def defined(eigenvalues, rule):
    """(record that asks, record to end at) or None: EVLocalAvg's lists, written out."""
    averages, half = [], rule.window // 2
    for record in range(len(eigenvalues)):
        if record < half:
            continue
        averages.append(np.mean(eigenvalues[max(0, record + 1 - rule.window) : record + 1]))
        stop_epoch = rule.every * record - rule.every * half - rule.every * rule.delay
        rises = stop_epoch >= rule.start and averages[-1] / averages[-1 - rule.delay] > rule.ratio
        if rises:
            return record, stop_epoch // rule.every
    return None


@pytest.mark.parametrize(
    "rule", [early_stopping.Rule(), QUICK, early_stopping.Rule(3, 1, 1, 7, 1.3)]
)
def test_the_rule_is_the_definition(rule):
    random = np.random.default_rng(0)
    asked = toy.jit(jax.vmap(lambda e, r: early_stopping.is_triggered(rule, e, r), (None, 0)))
    found = []
    for _ in range(40):
        steps = random.normal(0.02, 0.12, 25)
        eigenvalues = np.exp(np.cumsum(steps)).astype(np.float32)
        hits = np.flatnonzero(asked(eigenvalues, np.arange(25)))
        mine = (hits[0], hits[0] - rule.lag) if len(hits) else None
        assert mine == defined(eigenvalues, rule)
        found.append(mine)
    assert None in found and len(set(found)) > 3


def test_partial_windows_are_means_of_three_and_four():
    eigenvalues = jnp.array([1.0, 2.0, 6.0, 7.0, 9.0, 14.0])
    means = [early_stopping.local_average(eigenvalues, record, 5) for record in range(2, 6)]
    np.testing.assert_allclose(means, [3.0, 4.0, 5.0, 7.6], rtol=1e-6)


def test_the_papers_rule_first_asks_after_epoch_22_and_returns_epoch_10():
    rule, growing = early_stopping.Rule(), jnp.float32(1.5) ** jnp.arange(25)
    asked = [bool(early_stopping.is_triggered(rule, growing, record)) for record in range(25)]
    assert asked.index(True) * rule.every == 22
    assert (asked.index(True) - rule.lag) * rule.every == 10
    flat = jnp.ones(25).at[7:].set(1.3)
    assert not any(early_stopping.is_triggered(rule, flat, record) for record in range(25))


def scripted(eigenvalues):
    """An eigenvalue that depends on the epoch alone."""
    table = jnp.array(eigenvalues, jnp.float32)
    return lambda state, valid: table[state.step // STEPS - 1]


def base():
    return darts.darts(toy.supernet(), epochs=EPOCHS, steps_per_epoch=STEPS)


def run(search, steps):
    """The states and the metrics after each step."""
    update = toy.jit(search.update)
    state = search.init(jax.random.key(0), TRAIN.inputs[0])
    states, metrics = [state], []
    for n in range(steps):
        state, measured = update(state, toy.at(TRAIN, n), toy.at(VALID, n))
        states.append(state)
        metrics.append(measured)
    return states, metrics


RISING = [1.0, 1.0, 1.0, 1.0, 4.0, 4.0, 4.0, 4.0]


def test_stops_with_the_architecture_of_the_record_and_rests():
    at, back_at = defined(RISING, QUICK)
    assert (at, back_at) == (4, 1)
    search = early_stopping.stop_early(
        base(), scripted(RISING), QUICK, epochs=EPOCHS, steps_per_epoch=STEPS
    )
    states, metrics = run(search, STEPS * EPOCHS)
    end = STEPS * (at + 1)
    plain = run(base(), end)[0][-1]
    chex.assert_trees_all_close(states[-1].weights, plain.weights, **CLOSE)
    chex.assert_trees_all_equal(states[-1].weights, states[end].weights)
    for name, value in states[STEPS * (back_at + 1)].arch.items():
        np.testing.assert_array_equal(states[-1].arch[name], value)
        np.testing.assert_array_equal(search.gates(states[-1])[name], jax.nn.softmax(value))
    assert states[-1].step == STEPS * EPOCHS
    assert [m["arch/stopped"] for m in metrics] == [0] * (end - 1) + [1] * (len(metrics) - end + 1)
    assert [m["arch/active"] for m in metrics] == [1] * end + [0] * (len(metrics) - end)
    assert metrics[-1]["loss/train"] == metrics[end - 1]["loss/train"] > 0
    assert metrics[-1]["arch/eigenvalue"] == 4.0


def test_nothing_is_done_to_a_search_that_never_rises():
    search = early_stopping.stop_early(
        base(), scripted([1.0] * EPOCHS), QUICK, epochs=EPOCHS, steps_per_epoch=STEPS
    )
    found, expected = run(search, STEPS * EPOCHS)[0][-1], run(base(), STEPS * EPOCHS)[0][-1]
    chex.assert_trees_all_close(found.weights, expected.weights, **CLOSE)
    chex.assert_trees_all_close(found.arch, expected.arch, **CLOSE)
    assert not found.memory["watch"].stopped


def test_the_last_epoch_has_no_say():
    late = [1.0] * (EPOCHS - 1) + [100.0]
    assert defined(late, QUICK)[0] == EPOCHS - 1
    search = early_stopping.stop_early(
        base(), scripted(late), QUICK, epochs=EPOCHS, steps_per_epoch=STEPS
    )
    state = run(search, STEPS * EPOCHS)[0][-1]
    assert state.memory["watch"].eigenvalues[-1] == 100 and not state.memory["watch"].stopped


# Going back.


def adaptive(monkeypatch, eigenvalues, **settings):
    """`r_darts_adaptive` that is told its eigenvalues, epoch by epoch."""
    monkeypatch.setattr(r_darts, "_eigenvalue", lambda *_: scripted(eigenvalues))
    settings = {"epochs": EPOCHS, "steps_per_epoch": STEPS, "rule": QUICK} | settings
    return r_darts.r_darts_adaptive(toy.supernet(), **settings)


def decay_of(state):
    return float(optax.tree.get(state.weight_opt, "weight_decay"))


def assert_back(state, old, decay):
    """`state` is `old` with another weight decay, but for the clock."""
    again = old._replace(weight_opt=optax.tree.set(old.weight_opt, weight_decay=decay))
    for part in ("arch", "weights", "stats", "arch_opt", "weight_opt"):
        chex.assert_trees_all_equal(getattr(state, part), getattr(again, part))


def test_goes_back_with_more_decay_until_the_cap(monkeypatch):
    search = adaptive(monkeypatch, RISING + [4.0] * 10)
    states, metrics = run(search, 15 * STEPS)
    assert [decay_of(states[n]) for n in (0, 9)] == [np.float32(3e-4)] * 2
    assert_back(states[10], states[4], np.float32(3e-3))
    assert_back(states[16], states[4], np.float32(0.03))
    # At the cap nothing more is asked; twelve more steps end the eight epochs.
    assert states[-1].memory["watch"].returns == 2
    assert [m["arch/active"] for m in metrics] == [1] * 28 + [0] * 2
    assert [int(m["arch/returns"]) for m in metrics] == [0] * 9 + [1] * 6 + [2] * 15
    chex.assert_trees_all_equal(states[28].weights, states[30].weights)


def test_the_learning_rate_goes_back_too(monkeypatch):
    states, _ = run(adaptive(monkeypatch, RISING), 5 * STEPS)
    counts = lambda state: [int(c) for _, c in optax.tree.get_all_with_path(state, "count")]
    assert set(counts(states[10].weight_opt)) == {4}


def test_does_not_go_back_beyond_where_it_went_back_to(monkeypatch):
    search = adaptive(monkeypatch, [1.0] * 5 + [4.0, 9.0, 9.0])
    states, _ = run(search, EPOCHS * STEPS)
    assert_back(states[12], states[6], np.float32(3e-3))
    assert_back(states[16], states[6], np.float32(0.03))
    assert states[16].memory["watch"].step == 6


def test_an_odd_factor_ends_at_the_cap(monkeypatch):
    search = adaptive(monkeypatch, RISING, factor=70.0, max_weight_decay=0.01)
    assert decay_of(run(search, 5 * STEPS)[0][-1]) == np.float32(0.01)


# End to end.


RATIO = 1.1


def sharp():
    """R-DARTS on the toy, at learning rates and a ratio by which it stops."""
    return r_darts.r_darts(
        toy.supernet(),
        epochs=EPOCHS,
        steps_per_epoch=STEPS,
        optimisers=Optimisers(learning_rate=0.1, arch_learning_rate=0.01),
        rule=QUICK._replace(ratio=RATIO),
    )


@functools.cache
def sharp_run():
    return run(sharp(), STEPS * EPOCHS)


def test_records_eigenvalues_and_stops_as_they_say():
    search = sharp()
    states, metrics = sharp_run()
    end = states[-1].memory["watch"]
    assert end.stopped
    recorded = np.asarray(end.eigenvalues[: int(end.count)])
    at, back_at = defined(recorded, QUICK._replace(ratio=RATIO))
    assert at == end.count - 1 < EPOCHS - 2
    for name, value in states[STEPS * (back_at + 1)].arch.items():
        np.testing.assert_array_equal(states[-1].arch[name], value)
    assert metrics[-1]["arch/stopped"] == 1
    # What was recorded is the whole Hessian's largest eigenvalue, with the decay.
    whole = toy.jit(
        lambda state, valid: diagnostics.arch_hessian(toy.supernet(), search, state, valid, 1e-3)
    )
    # (Of the last record the architecture is gone: the search went back.)
    for record in range(at):
        n = STEPS * (record + 1)
        matrix = whole(states[n], jax.tree.map(lambda x, n=n: x[n - 1 : n], VALID))
        largest = np.linalg.eigvalsh(np.asarray(matrix, np.float64))[-1]
        np.testing.assert_allclose(recorded[record], largest, rtol=1e-4)


def test_a_scan_that_stops_equals_the_loop():
    search = sharp()
    state = search.init(jax.random.key(0), TRAIN.inputs[0])
    scan = toy.jit(lambda s: jax.lax.scan(lambda s, b: search.update(s, *b), s, (TRAIN, VALID)))
    found, metrics = scan(state)
    states, looped = sharp_run()
    assert found.memory["watch"].stopped
    chex.assert_trees_all_close(found.arch, states[-1].arch, **CLOSE)
    np.testing.assert_array_equal(
        metrics["arch/stopped"], np.stack([m["arch/stopped"] for m in looped])
    )


@pytest.mark.parametrize(
    "settings, message",
    [
        (early_stopping.Rule()._asdict(), "first applies after epoch 23, and the search has 8"),
        ({"window": 4}, "make 4 odd"),
        ({"every": 0}, "every, window and delay >= 1"),
        ({"delay": 0}, "every, window and delay >= 1"),
        ({"ratio": float("nan")}, "ratio > 0"),
        ({"start": 4}, "take at least 9 epochs"),
        ({"iterations": 0}, "at least one iteration"),
        ({"factor": 1.0}, "factor above 1"),
        ({"max_weight_decay": 3e-4}, "below its maximum"),
        ({"weight_decay": 0.0}, "a decay above 0"),
    ],
)
def test_refuses_settings_that_are_impossible_or_without_effect(settings, message):
    with pytest.raises(ValueError, match=message):
        settings = {"epochs": EPOCHS, "steps_per_epoch": STEPS} | QUICK._asdict() | settings
        nested = entry.nest(r_darts.r_darts_adaptive, settings)
        r_darts.r_darts_adaptive(toy.supernet(), **nested)


def test_a_rule_may_ask_in_the_last_epoch_but_one():
    r_darts.r_darts(toy.supernet(), epochs=24, steps_per_epoch=STEPS)
    with pytest.raises(ValueError, match="take at least 24 epochs"):
        r_darts.r_darts(toy.supernet(), epochs=23, steps_per_epoch=STEPS)
