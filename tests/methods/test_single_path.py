"""Single-Path NAS: indicators, latency and the method, against the paper's code.

Figures are those of the shared facts, 4.2 to 4.6; the table is the published one of a Pixel 1.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.objectives import cost_terms
from jaxnas.core.types import Batch, Constraint, CostModel
from jaxnas.hardware.tables import layer_table
from jaxnas.methods import single_path as method
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile import sizing, superkernel_gates, zoo
from jaxnas.spaces.mobile import superkernel_latency as latency
from jaxnas.spaces.mobile import supernet as mobile_supernet
from jaxnas.spaces.mobile.chain import SKIP
from jaxnas.spaces.mobile.superkernel_gates import Indicators
from tests import mobile_toys, paths
from tests.mobile_toys import jit

BLOCK_3 = latency.Times(3.4223, 6.3511, 4.9721, 9.1756)
NAMES = zoo.SINGLE_PATH
TABLE = paths.SHARED / "latency" / "singlepath_pixel1_lut.csv"


@pytest.fixture(scope="module")
def pixel():
    if not TABLE.exists():
        pytest.skip("the shared folder is not beside the repository")
    return layer_table.single_path_times(str(TABLE))


def test_an_indicator_is_a_step_forward_and_a_sigmoid_backward():
    x = jnp.array([-2.0, -1e-6, 0.0, 3.0])
    value, slope = jax.vmap(jax.value_and_grad(superkernel_gates.indicator))(x)
    np.testing.assert_array_equal(value, [0, 0, 1, 1])
    sigmoid = 1 / (1 + np.exp(-np.asarray(x)))
    np.testing.assert_allclose(slope, sigmoid * (1 - sigmoid), rtol=1e-6)


def test_the_norm_of_nothing_has_a_derivative():
    def keeps(kernel):
        squares = superkernel_gates.energies(kernel, 3, 2)
        return sum(superkernel_gates.opened(jnp.zeros(3), squares, True))

    value, gradient = jit(jax.value_and_grad(keeps))(jnp.zeros((5, 5, 4)))
    assert value == 3 and not np.any(gradient)


@functools.cache
def by_hand(seed, kernel, keep, widen):
    """Indicators of a random kernel by the paper's formulas, as code reads that masks arrays."""
    k = np.random.default_rng(seed).normal(size=(5, 5, 6)).astype(np.float32)
    shell = np.ones((5, 5, 1))
    shell[1:4, 1:4] = 0
    first = np.arange(6) < 3
    norm = lambda x: np.sqrt(np.sum(x**2))
    d5 = float(norm(k * shell) >= kernel)
    inner = k * (1 - shell) + d5 * k * shell
    return k, (d5, float(norm(inner * first) >= keep), float(norm(inner * ~first) >= widen))


@pytest.mark.parametrize("at", [(0, 0, 0), (9, 0, 0), (0, 9, 0), (9, 4.9, 4.9), (0, 4.9, 4.9)])
def test_indicators_are_those_of_masked_kernels(at):
    """The last two differ in the outer kernel alone, which the later norms contain or not."""
    kernel, expected = by_hand(3, *at)

    @jit
    def found(kernel, at):
        squares = superkernel_gates.energies(kernel, 3, 3)
        return [superkernel_gates.opened(at, squares, skips) for skips in (True, False)]

    skips, stays = found(kernel, jnp.array(at, float))
    assert tuple(map(float, skips)) == expected
    assert tuple(map(float, stays)) == (expected[0], 1, expected[2])


@pytest.mark.parametrize(
    ("found", "name"),
    [
        ((0, 1, 0), "k3_e3"),
        ((1, 1, 0), "k5_e3"),
        ((0, 1, 1), "k3_e6"),
        ((1, 1, 1), "k5_e6"),
        ((0, 0, 0), SKIP),
        ((1, 0, 1), SKIP),
    ],
)
def test_indicators_decode_to_candidates(found, name):
    """4.5: not as the encoder of the paper's code, which swaps two expansions."""
    gates = superkernel_gates.gates_of(NAMES, Indicators(*map(jnp.float32, found)))
    assert gates.tolist() == [float(n == name) for n in NAMES]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((0, 1, 0), 3.441552),
        ((0, 1, 1), 6.3511),
        ((1, 1, 0), 4.9721),
        ((1, 1, 1), 9.1756),
        ((0.5, 0.5, 0.5), 2.992544),
        ((1, 0, 1), 0),
    ],
)
def test_the_polynomial_has_its_golden_values_and_is_linear_in_the_gates(found, expected):
    assert latency.milliseconds(Indicators(*found), BLOCK_3) == pytest.approx(expected, abs=1e-6)
    space = {"layers": chains.Choice(((3, 4),), (NAMES,))}
    gates = {
        "layers": superkernel_gates.gates_of(NAMES, Indicators(*map(jnp.float32, found)))[None]
    }
    costs = latency.costs(space, {3: BLOCK_3})
    assert float(cost_terms.network_ms(gates, costs, 0.0)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("names", "total", "table"),
    [
        (["k5_e6"] * 20, 131.4578, 131.4578),
        (["k5_e3"] * 20, 76.3622, 76.3622),
        (["k3_e6"] * 20, 110.6524, 110.6524),
        (["k3_e3"] * 20, 65.6356, 65.6914),
        (["k3_e3", SKIP, SKIP, SKIP] * 5, 30.79, 30.6319),
        (None, 80.5926, 80.4411),
    ],
    ids=["5x5-e6", "5x5-e3", "3x3-e6", "3x3-e3", "cheapest", "spnasnet"],
)
def test_totals_are_those_of_the_published_table(pixel, names, total, table):
    chain = zoo.single_path()
    found = chains.genotype(chain, names) if names else zoo.spnasnet()
    gates, space = chains.one_hot(chain, found), chains.space(chain)
    for costs, expected in ((latency.costs, total), (latency.measured, table)):
        time = cost_terms.network_ms(gates, costs(space, pixel), latency.PIXEL1_FIXED_MS)
        assert float(time) == pytest.approx(expected, abs=1e-4 if total != 30.79 else 5e-3)


def test_a_table_of_another_network_is_refused():
    space, times = chains.space(zoo.single_path()), {1: (1.0, 2.0, 3.0, 4.0)}
    with pytest.raises(ValueError, match="no layer"):
        latency.costs(space, times)
    with pytest.raises(ValueError, match="two kernels and two expansions"):
        latency.costs(chains.space(zoo.fbnet()), times)


def test_a_table_of_more_layers_than_the_chain_is_refused(pixel):
    """Twenty searched layers of a Pixel 1 say nothing of five."""
    space = chains.space(sizing.sized(zoo.single_path(), "the chain", repeats=1))
    with pytest.raises(ValueError, match="22 layers, the chain searches 5: .*--target-ms"):
        latency.costs(space, pixel)
    # Its own layers, and the two that are not searched.
    costs = latency.costs(space, {layer: BLOCK_3 for layer in range(7)})
    assert len(costs["layers"]) == 5
    with pytest.raises(ValueError, match="has 8 layers"):
        latency.costs(space, {layer: BLOCK_3 for layer in range(8)})


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"warmup_steps": 3}, "together, or neither"),
        ({"keep": 0.5}, "together, or neither"),
        ({"warmup_steps": 3, "keep": 1.0}, "between 0 and 1, not 1.0"),
    ],
)
def test_a_warmup_without_effect_is_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        superkernel_gates.relaxation(chains.space(mobile_toys.single_path()), **settings)


# The method, on one searched layer.
NET = mobile_supernet.single_path(mobile_toys.one_layer(*NAMES[:-1]), classes=3)
TIMES = {layer: BLOCK_3 for layer in range(3)}
FIXED_MS = 4.0
STEPS = 4
RNG = np.random.default_rng(0)
BATCHES = Batch(
    jnp.array(RNG.normal(size=(STEPS, 8, 6, 6, 3)).astype(np.float32)),
    jnp.array(RNG.integers(0, 3, (STEPS, 8)), jnp.int32),
)


def single_path(**settings):
    return method.single_path(NET, relaxation=superkernel_gates.relaxation, **settings)


def make(**settings):
    costs = latency.costs(NET.space, TIMES)
    defaults = {"epochs": 2, "steps_per_epoch": 2, "warmup": 0.5}
    return single_path(costs=costs, fixed_ms=FIXED_MS, **(defaults | settings))


@functools.cache
def start():
    return jit(make().init)(jax.random.key(0), BATCHES.inputs[0])


@functools.cache
def trajectory():
    traces = []

    def update(state, batch):
        traces.append(batch)
        assert len(traces) == 1, "the step is traced again"
        return make().update(state, batch, batch)

    run, states = jit(update), [(start(), None)]
    for n in range(STEPS):
        states.append(run(states[-1][0], jax.tree.map(lambda x, n=n: x[n], BATCHES)))
    return states


def test_a_search_learns_thresholds_and_weights_and_compiles_once():
    (last, metrics), first = trajectory()[-1], start()
    assert all(np.isfinite(v) for v in metrics.values())
    assert not np.array_equal(last.arch["layers"], first.arch["layers"])
    assert sorted(make().gates(last)["layers"][0].tolist()) == [0, 0, 0, 0, 1]


def test_latency_counts_after_the_warmup_alone():
    """A step's loss is that of its state and batch: once with dropout gone and latency there."""
    losses = [float(metrics["loss/train"]) for _, metrics in trajectory()[1:]]
    # Cross-entropy of untrained logits stays below what the cheapest network would add to it.
    assert max(losses[:2]) < 20 * np.log(FIXED_MS) < min(losses[2:])
    state, batch = trajectory()[2][0], jax.tree.map(lambda x: x[2], BATCHES)
    gates = make().gates(state)
    logits, _ = jit(NET.apply)(state.weights, state.stats, gates, batch.inputs)
    labels = 0.9 * np.eye(3)[batch.labels] + 0.1 / 3
    cross_entropy = -float((labels * jax.nn.log_softmax(logits)).sum(1).mean())
    time = float(cost_terms.network_ms(gates, latency.costs(NET.space, TIMES), FIXED_MS))
    assert losses[2] == pytest.approx(cross_entropy + 20 * np.log(time), rel=1e-4)


def test_warmup_drops_indicators_and_the_rest_is_exact():
    relax = superkernel_gates.relaxation(NET.space, warmup_steps=2, keep=0.6)
    state = start()

    def indicators(key, step):
        gates = relax.gates(state.arch, state.weights, key=key, step=step)["layers"][0]
        kernel, wide = gates[1] + gates[3], gates[2] + gates[3]  # times `keep`
        return jnp.stack([1 - gates[4], kernel, wide])

    keys = jax.random.split(jax.random.key(0), 300)
    early = np.asarray(jit(jax.vmap(indicators, (0, None)))(keys, 1))
    assert np.allclose(np.unique(np.round(early[:, 0], 5)), [0, 1 / 0.6], atol=1e-4)
    assert np.mean(early[:, 0] > 0) == pytest.approx(0.6, abs=0.1)
    kept = early[early[:, 0] > 0]
    for column in (1, 2):
        assert np.mean(kept[:, column] > 0) == pytest.approx(0.6, abs=0.12)
    late = np.asarray(jit(jax.vmap(indicators, (0, None)))(keys[:5], 2))
    np.testing.assert_array_equal(late, np.ones((5, 3)))
    expected = relax.expected(state.arch, state.weights, step=jnp.int32(0))["layers"]
    assert expected.tolist() == [[0, 0, 0, 1, 0]]


def test_latency_pushes_every_threshold_up():
    """But that for the skip of a layer that cannot be skipped, which nothing reads."""
    net = mobile_supernet.single_path(mobile_toys.single_path(), classes=3)
    shapes, _ = jax.eval_shape(net.init, jax.random.key(0), BATCHES.inputs[0])
    weights = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.1), shapes)
    relax, costs = superkernel_gates.relaxation(net.space), latency.costs(net.space, TIMES)

    def time(arch):
        gates = relax.gates(arch, weights, key=None, step=0)
        return cost_terms.network_ms(gates, costs, FIXED_MS)

    slope = jit(jax.grad(time))(relax.init(None, net.space))
    assert np.all(slope["layers"] < 0)
    assert np.all(slope["first"][:, [0, 2]] < 0) and slope["first"][0, 1] == 0


def test_the_optimiser_is_that_of_tensorflow():
    """Squares begin at 1, epsilon stands under the root, the rate falls in steps of 2.4 epochs."""
    tx = method.descent(0.064, 5, 0.0)
    weights, state = {"w": jnp.array(0.0)}, tx.init({"w": jnp.array(0.0)})
    square, speed = 1.0, 0.0
    for step in range(26):
        gradient = np.sin(step) + 2
        square = 0.9 * square + 0.1 * gradient**2
        rate = 0.064 * 0.97 ** (step // 12)
        speed = 0.9 * speed + rate * gradient / np.sqrt(square + 1e-3)
        move, state = tx.update({"w": jnp.array(gradient)}, state, weights)
        assert float(move["w"]) == pytest.approx(-speed, rel=1e-4)


def test_normalisation_does_not_decay_and_all_else_does():
    kept = method.decaying({"weights": start().weights, "arch": start().arch})
    layer = kept["weights"]["layer_0"]
    assert layer["look"]["kernel"] and not layer["look_norm"]["scale"]
    assert kept["weights"]["back"]["classifier"]["bias"] and kept["arch"]["layers"]
    assert not kept["weights"]["front"]["norm"]["bias"]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"epochs": 0}, "at least one epoch"),
        ({"warmup": 0.0}, "0 < warmup < 1"),
        ({"keep": 0.0}, "between 0 and 1"),
        ({"latency_weight": -1.0}, "latency_weight >= 0"),
        ({"latency_weight": float("nan")}, "latency_weight >= 0"),
        ({"fixed_ms": 0.0}, "takes 0.0 ms"),
        ({"costs": {"layers": np.ones((2, 5))}}, "costs are of .*2, 5.*this space"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        single_path(
            **{"costs": latency.costs(NET.space, TIMES), "fixed_ms": 1.0, "steps_per_epoch": 2}
            | settings,
        )


def test_thresholds_refuse_a_supernet_without_superkernels():
    net = mobile_supernet.mixed(mobile_toys.single_path(), classes=3)
    weights, _ = jax.eval_shape(net.init, jax.random.key(0), BATCHES.inputs[0])
    relax = superkernel_gates.relaxation(net.space)
    with pytest.raises(ValueError, match="Layer 1 has no superkernel"):
        relax.gates(relax.init(None, net.space), weights, key=None, step=0)


# What a target makes of it.
LIMIT = 7.0


def towards(limit=LIMIT, **settings):
    """A search that is held to a target by its own term, not by the paper's latency."""
    costs = latency.costs(NET.space, TIMES)
    expected = lambda gates: cost_terms.network_ms(gates, costs, FIXED_MS)
    constraint = Constraint(CostModel("ms", None, expected, (0.0, 100.0)), limit)
    defaults = {"epochs": 20, "steps_per_epoch": 2, "warmup": 0.1, "learning_rate": 1e-3}
    defaults |= {"arch_learning_rate": 0.05, "constraints": [constraint]}
    return single_path(**(defaults | settings)), expected


@pytest.mark.parametrize(("limit", "holds"), [(LIMIT, True), (100.0, False)])
def test_a_target_closes_a_layer_that_would_stay_open(limit, holds):
    search, expected = towards(limit)
    batch = jax.tree.map(lambda x: x[0], BATCHES)
    step = lambda state, _: search.update(state, batch, batch)
    walk = jit(lambda state: jax.lax.scan(step, state, length=32)[0])
    start = jit(search.init)(jax.random.key(0), batch.inputs)
    before, after = (float(expected(search.gates(s))) for s in (start, walk(start)))
    assert before > LIMIT
    assert (after < LIMIT) == holds


def test_a_target_that_is_held_lets_its_weight_fall_though_gates_are_made_of_weights():
    """The memory is that of the gates of these very kernels: shut by them, not by thresholds."""
    search, expected = towards()
    state = jit(search.init)(jax.random.key(0), BATCHES.inputs[0])
    small = jax.tree.map(lambda leaf: 1e-3 * leaf, state.weights)
    shut = state._replace(weights=small, arch={"layers": jnp.full((1, 3), 0.5)})
    assert float(expected(search.gates(shut))) == FIXED_MS
    batch = jax.tree.map(lambda x: x[0], BATCHES)
    weight = lambda state: jax.tree.leaves(state.memory["inner"]["target"]["ms"].weight)[0]
    update = jit(search.update)
    assert weight(update(shut, batch, batch)[0]) < weight(shut) == 20
    assert weight(update(state, batch, batch)[0]) > 20


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"costs": {}}, "give one"),
        ({"constraints": ()}, "give one"),
        ({"fixed_ms": 3.0}, "belongs to `costs`"),
        ({"latency_weight": 0.1}, "no effect"),
        ({"constraints": (), "costs": {}}, "costs are not whole"),
    ],
)
def test_costs_or_constraints_are_needed(settings, reason):
    with pytest.raises(ValueError, match=reason):
        towards(**settings)


def test_shares_say_how_near_what_is_closed_is_to_being_open():
    state, space = start(), NET.space
    arch = {"layers": jnp.array([[20.0, -20.0, 4.0]])}
    found = superkernel_gates.shares(space, arch, state.weights)["layers"][0]
    hard = make().gates(state._replace(arch=arch))["layers"][0]
    assert found.sum() == pytest.approx(1, abs=1e-6) and found.argmax() == hard.argmax()
    # Small kernel, not skipped, wide or not: the others are all but impossible.
    names = dict(zip(NET.space["layers"].candidates[0], found.tolist(), strict=True))
    kernel = state.weights["layer_0"]["look"]["kernel"]
    norm = superkernel_gates.energies(kernel, 3, kernel.shape[-1] // 2)[1, 0]
    wide = jax.nn.sigmoid(jnp.sqrt(norm) - 4.0)
    assert names["k3_e6"] == pytest.approx(float(wide), rel=1e-3)
    assert names["k3_e3"] == pytest.approx(1 - float(wide), rel=1e-3)
