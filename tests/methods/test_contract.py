"""What every method keeps to, whatever it is made of.

Where two runs are executed alike their bytes agree; where XLA compiles another program
(a scan, a vmap, several devices) single steps agree to rounding, and a few steps to CLOSE.
"""

import functools
import io

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from jaxnas.core import sharding
from jaxnas.methods import registry
from tests import toy
from tests.methods import cases

STEPS = 5
TRAIN, VALID = toy.batches(1, STEPS), toy.batches(2, STEPS)
# Adam's first steps are signs of gradients: rounding there moves a step by parts in 1e4.
CLOSE = {"rtol": 1e-3, "atol": 1e-5}

# All that a vmap, a scan or devices change is how the network runs. Here is one method of each way
# to run it: another one goes the way of one of these.
WAYS = (
    "darts", "darts exact", "darts finite difference", "darts resting", "single-level", "gdas",
    "smooth-darts", "idarts", "sd-darts", "rarts",
)  # fmt: skip
# Of these, those whose gradients meet across devices each in its own way.
ACROSS_DEVICES = (
    "darts exact", "darts finite difference", "gdas", "smooth-darts", "idarts", "sd-darts", "rarts",
)  # fmt: skip
# XLA divides a program by itself: what it may not divide are draws, loops and memories.
SHARDED = ("darts exact", "gdas", "idarts", "sd-darts")
# Methods that let validation data reach the weights by another way too, and why.
ALSO_LEARN_FROM_VALIDATION = {"rarts": "the twin of the weights that it fits pulls at them"}

# Methods whose programs are made of the most: teachers, a schedule, a table of times.
MADE_ANEW = ("darts resting", "sd-darts", "single-path")

every_method = pytest.mark.parametrize("name", cases.CASES)


@functools.cache
def method(name):
    return cases.search(name, toy.supernet())


@functools.cache
def step(name):
    """The compiled update; a second trace, in whichever test, is an error."""
    traces = []

    def update(*arguments):
        traces.append(arguments)
        assert len(traces) == 1, f"{name} is traced again"
        return method(name).update(*arguments)

    return toy.jit(update)


@functools.cache
def start(name, seed=0):
    # Not compiled as a whole: the methods have most of its operations in common.
    return method(name).init(jax.random.key(seed), TRAIN.inputs[0])


def run(update, state, train=TRAIN, valid=VALID, steps=range(STEPS)):
    """The last state and the metrics of all steps."""
    metrics = []
    for n in steps:
        state, measured = update(state, toy.at(train, n), toy.at(valid, n))
        metrics.append(measured)
    return state, jax.tree.map(lambda *values: np.stack(values), *metrics)


@functools.cache
def looped(name, seed=0):
    return run(step(name), start(name, seed))


def defaults(name):
    return registry.get(cases.CASES[name].method).defaults


def plain(tree):
    """`tree` with its keys as numbers."""
    is_key = lambda x: jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return jax.tree.map(lambda x: np.asarray(jax.random.key_data(x) if is_key(x) else x), tree)


def assert_close(found, expected):
    chex.assert_trees_all_close(plain(found), plain(expected), **CLOSE)


def assert_same_bytes(found, expected):
    chex.assert_trees_all_equal(plain(found), plain(expected), strict=True)


def same_bytes(a, b):
    pairs = zip(jax.tree.leaves(plain(a)), jax.tree.leaves(plain(b)), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


@every_method
def test_compiles_once_and_gives_its_state_back_in_kind(name):
    kinds = jax.tree.map(lambda x: (x.shape, x.dtype), start(name))
    state, metrics = looped(name)  # an error where `step` is traced twice
    assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == kinds
    assert state.step == STEPS
    assert all(np.isfinite(values).all() for values in metrics.values())


@every_method
def test_learns(name):
    state, _ = looped(name)
    for part in ("arch", "weights", "stats"):
        # Of methods that train weights alone the architecture is empty, or a given one.
        moves = part != "arch" or "arch_learning_rate" in defaults(name)
        assert same_bytes(getattr(state, part), getattr(start(name), part)) != moves


@pytest.mark.parametrize("name", WAYS)
def test_a_scan_of_several_seeds_equals_the_loop_of_each(name):
    seeds = (3, 4)
    states = jax.tree.map(lambda *each: jnp.stack(each), *(start(name, seed) for seed in seeds))
    update = jax.vmap(method(name).update, (0, None, None))
    scan = toy.jit(lambda states: jax.lax.scan(
        lambda states, batches: update(states, *batches), states, (TRAIN, VALID)
    ))  # fmt: skip
    states, metrics = scan(states)
    for n, seed in enumerate(seeds):
        alone, measured = looped(name, seed)
        assert_close(jax.tree.map(lambda x, n=n: x[n], plain(states)), alone)
        assert_close(jax.tree.map(lambda x, n=n: x[:, n], metrics), measured)
    heads = np.asarray(toy.some(states.weights))
    assert not np.allclose(heads[0], heads[1], atol=1e-3)


def eight_devices():
    return jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))


@pytest.mark.parametrize("name", SHARDED)
def test_a_batch_sharded_over_eight_devices_equals_the_whole(name):
    update = toy.jit(sharding.data_parallel(method(name), eight_devices()).update)
    state, metrics = run(update, start(name))
    assert len(toy.some(state.weights).sharding.device_set) == 8
    assert_close((state, metrics), looped(name))


@pytest.mark.parametrize("name", ACROSS_DEVICES)
def test_pmap_over_eight_devices_equals_the_whole(name):
    make = functools.partial(cases.search, name)
    spread = sharding.pmapped(make, toy.supernet(axis="batch"))
    state, metrics = run(spread.update, start(name))
    assert len(toy.some(state.weights).sharding.device_set) == 8
    assert_close((state, metrics), looped(name))


@every_method
def test_save_restore_continue_equals_never_stopping(name):
    state, _ = run(step(name), start(name), steps=range(2))
    file = io.BytesIO()
    np.savez(file, *jax.tree.leaves(plain(state)))
    file.seek(0)

    # All that goes on is the method, its settings and the file.
    fresh = cases.search(name, toy.supernet())
    shapes = jax.eval_shape(fresh.init, jax.random.key(9), TRAIN.inputs[0])
    with np.load(file) as saved:
        leaves = [jnp.asarray(saved[entry]) for entry in saved.files]
    restored = jax.tree.unflatten(jax.tree.structure(shapes), leaves)
    restored = restored._replace(key=jax.random.wrap_key_data(restored.key))
    # No program has a memory: that of a method made anew is tried where one was made most of.
    go_on = toy.jit(fresh.update) if name in MADE_ANEW else step(name)
    resumed, _ = run(go_on, restored, steps=range(2, STEPS))
    assert_same_bytes(resumed, looped(name)[0])


@every_method
def test_the_same_seed_goes_the_same_way(name):
    assert_same_bytes(run(step(name), start(name)), looped(name))


@every_method
def test_a_validation_batch_reaches_the_weights_only_through_the_arch(name):
    other = toy.batches(7, STEPS)
    still = toy.jit(cases.search(name, toy.supernet(), arch_learning_rate=0.0).update)
    state = start(name)
    (one, _), (two, _) = run(still, state), run(still, state, valid=other)
    assert_same_bytes((one.arch, two.arch), (state.arch, state.arch))
    apart = not same_bytes((one.weights, one.weight_opt), (two.weights, two.weight_opt))
    assert apart == (name in ALSO_LEARN_FROM_VALIDATION)
    if not apart:
        assert_same_bytes(one.stats, two.stats)

    # And through the arch it does, where the method looks at it at all.
    moved, metrics = run(step(name), start(name), valid=other)
    bilevel = bool({"loss/valid", "reward/mean"} & metrics.keys())
    assert same_bytes(moved.arch, looped(name)[0].arch) != bilevel
    assert same_bytes(moved.weights, looped(name)[0].weights) != bilevel


# What splits a batch.


def test_without_batch_statistics_pmap_needs_nothing_of_the_network():
    make = functools.partial(cases.search, "darts exact")
    whole = make(toy.supernet(normalise=False))
    spread = sharding.pmapped(make, toy.supernet(normalise=False))
    state = whole.init(jax.random.key(0), TRAIN.inputs[0])
    assert_close(run(spread.update, state), run(toy.jit(whole.update), state))


def test_statistics_are_local_under_pmap_unless_the_network_averages_them():
    make = functools.partial(cases.search, "darts")
    state, _ = run(sharding.pmapped(make, toy.supernet()).update, start("darts"))
    found = np.asarray(state.weights["head"])
    assert not np.allclose(found, looped("darts")[0].weights["head"], **CLOSE)


def test_gradients_under_pmap_are_not_multiplied_by_the_number_of_devices():
    make = functools.partial(cases.search, "single-level")
    one = sharding.pmapped(make, toy.supernet(normalise=False), jax.devices()[:1])
    all_ = sharding.pmapped(make, toy.supernet(normalise=False))
    state = one.init(jax.random.key(0), TRAIN.inputs[0])
    step_of = lambda search: run(search.update, state, steps=range(1))[0].weights["head"]
    np.testing.assert_allclose(step_of(all_), step_of(one), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["jit", "pmap"])
def test_refuses_a_batch_that_does_not_split(kind):
    if kind == "jit":
        search = sharding.data_parallel(method("single-level"), eight_devices())
    else:
        make = functools.partial(cases.search, "single-level")
        search = sharding.pmapped(make, toy.supernet())
    batch = toy.at(toy.batches(0, 1, size=12), 0)
    with pytest.raises(ValueError, match="12 does not split over 8 devices"):
        search.update(start("single-level"), batch, batch)


def test_refuses_a_mesh_it_cannot_use():
    for mesh in [
        jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Explicit,)),
        jax.make_mesh((4, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2),
    ]:
        with pytest.raises(ValueError, match="one automatic axis"):
            sharding.data_parallel(method("single-level"), mesh)
