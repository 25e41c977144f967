"""ProxylessNAS: binary gates, what a step keeps in memory, rewards, and latency in the loss."""

import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas.core import reinforce
from jaxnas.core.gates import binary, relax
from jaxnas.core.objectives import cost_terms
from jaxnas.core.types import Batch, Constraint, CostModel, Forward
from jaxnas.methods import fbnet, proxyless
from jaxnas.nets.mixed import mixed_layer
from jaxnas.spaces.mobile import supernet as mobile_supernet
from jaxnas.spaces.mobile.chain import SKIP, Chain, ChainStage
from tests import toy
from tests.mobile_toys import jit

LOGITS = np.array([0.1, -0.2, 0.3], np.float32)
SLOPE = np.array([1.0, 2.0, 3.0], np.float32)
GOLDEN = [-0.362816331, -0.018692172, 0.381508504]
MANY = ("k3_e3", "k3_e6", "k5_e3", "k5_e6", "k7_e3", "k7_e6")


def slope_of(relaxation, logits, key, slope=SLOPE):
    """d sum(slope * gates) / d logits, and the gates, of one row."""

    def loss(arch):
        gates = relaxation.gates(arch, None, key=key, step=0)["layers"]
        return jnp.sum(gates[0] * slope), gates[0]

    grads, gates = jax.grad(loss, has_aux=True)({"layers": jnp.asarray(logits)[None]})
    return grads["layers"][0], gates


def test_a_gate_passes_its_gradient_on_to_the_logits():
    gradient, gates = slope_of(binary.binary(), LOGITS, jax.random.key(1))
    np.testing.assert_allclose(gradient, GOLDEN, atol=1e-7)
    assert sorted(gates.tolist()) == [0, 0, 1]


@functools.cache
def two_paths(unbiased, logits=(0.1, -0.2, 0.3), draws=40_000):
    """(gradients, gates), f32[draws, 3] each."""
    relaxation = binary.two_path(unbiased=unbiased)
    keys = jax.random.split(jax.random.key(0), draws)
    found = jit(jax.vmap(lambda key: slope_of(relaxation, jnp.array(logits), key)))(keys)
    return jax.tree.map(np.asarray, found)


def test_two_paths_draw_a_pair_without_replacement_and_open_one():
    p = np.exp(LOGITS) / np.exp(LOGITS).sum()
    gradients, gates = two_paths(False)
    assert np.all(np.sum(gates == 1, 1) == 1)
    assert np.all(np.sum(np.isclose(gates, binary.COMPANION, rtol=1e-3, atol=0), 1) == 1)
    for i, j in itertools.combinations(range(3), 2):
        drawn = (gates[:, i] > 0) & (gates[:, j] > 0)
        chance = p[i] * p[j] * (1 / (1 - p[i]) + 1 / (1 - p[j]))
        assert drawn.mean() == pytest.approx(chance, abs=0.01)
        share = p[i] / (p[i] + p[j])
        assert (gates[drawn, i] == 1).mean() == pytest.approx(share, abs=0.02)
        pair = share * (1 - share) * (SLOPE[i] - SLOPE[j])
        np.testing.assert_allclose(gradients[drawn, i], pair, rtol=1e-5)
        np.testing.assert_allclose(gradients[drawn, j], -pair, rtol=1e-5)
    np.testing.assert_array_equal(gradients[gates == 0], 0)


def test_two_paths_are_unbiased_where_they_claim_to_be():
    standard_error = lambda x: x.std(0) / np.sqrt(len(x))
    gradients, _ = two_paths(True)
    assert np.all(np.abs(gradients.mean(0) - GOLDEN) < 4 * standard_error(gradients))
    gradients, _ = two_paths(False)
    assert np.any(np.abs(gradients.mean(0) - GOLDEN) > 4 * standard_error(gradients))
    level, _ = two_paths(False, (0.0, 0.0, 0.0))
    expected = 3 / 4 * (SLOPE - SLOPE.mean()) / 3
    assert np.all(np.abs(level.mean(0) - expected) < 4 * standard_error(level))


def test_what_was_not_drawn_keeps_its_chances():
    tx = optax.chain(optax.adam(0.1, b1=0.0), binary.rescale_unsampled())
    arch = {"layers": jnp.stack([jnp.asarray(LOGITS), jnp.zeros(3)])}
    gradient = {"layers": jnp.array([[0.3, 0.0, -0.3], [0.0, 0.0, 0.0]])}
    updates, _ = tx.update(gradient, tx.init(arch), arch)
    after = optax.apply_updates(arch, updates)["layers"]
    before, now = (np.asarray(jax.nn.softmax(rows)) for rows in (arch["layers"], after))
    assert after[0, 1] == LOGITS[1] and now[0, 1] == pytest.approx(before[0, 1], rel=1e-6)
    assert now[0, 0] < before[0, 0] - 0.01 and now[0, 2] > before[0, 2] + 0.01
    np.testing.assert_array_equal(after[1], arch["layers"][1])


@functools.cache
def net(execute, candidates=MANY[:2], features=4, remat=False, repeats=2):
    stages = (ChainStage((*candidates, SKIP), features, repeats, 1),)
    chain = Chain("one", features, 1, stages, 8)
    return mobile_supernet.mixed(
        chain, classes=3, remat=remat, mixture=mixed_layer.mixture(execute)
    )


@functools.cache
def passes():
    """{execute: (logits, statistics, gradients to weights, gates)} at one pair of paths."""
    images = jax.random.normal(jax.random.key(0), (4, 6, 6, 3))
    weights, stats = jit(net("all").init)(jax.random.key(1), images)
    hair = binary.COMPANION
    gates = {"layers": jnp.array([[0.0, 1.0, hair], [hair, 0.0, 1.0]])}

    def run(execute):
        def loss(weights, gates):
            logits, moved = net(execute).apply(weights, stats, gates, images)
            return jnp.sum(logits**2), (logits, moved)

        grads, aux = jit(jax.grad(loss, (0, 1), has_aux=True))(weights, gates)
        return *aux, *grads

    return {execute: run(execute) for execute in ("all", "recomputed", "two")}, gates


@pytest.mark.parametrize("execute", ["recomputed", "two"])
def test_what_is_recomputed_is_what_all_candidates_alive_would_give(execute):
    found, gates = passes()
    logits, _, weights, slopes = found[execute]
    np.testing.assert_allclose(logits, found["all"][0], rtol=1e-4, atol=1e-5)
    # The companion's hair of a gradient to its own weights is left out.
    chex.assert_trees_all_close(weights, found["all"][2], rtol=1e-3, atol=1e-4)
    expected = np.asarray(found["all"][3]["layers"])
    if execute == "two":
        expected = np.where(gates["layers"] > 0, expected, 0)
    np.testing.assert_allclose(slopes["layers"], expected, rtol=1e-3, atol=1e-3)
    assert np.sum(np.asarray(slopes["layers"]) != 0) == (6 if execute == "recomputed" else 4)


def test_only_the_open_candidate_moves_its_statistics():
    found, _ = passes()
    stats = found["recomputed"][1]
    moved = lambda name: np.any(stats["layer_0"][name]["look_norm"]["mean"] != 0)
    assert moved("k3_e6") and not moved("k3_e3")
    chex.assert_trees_all_close(stats, found["two"][1], rtol=1e-5)
    everything = found["all"][1]["layer_0"]
    chex.assert_trees_all_close(stats["layer_0"]["k3_e6"], everything["k3_e6"], rtol=1e-4)


@functools.cache
def temporary_bytes(execute, count):
    """What one gradient to weights and gates needs beside its arguments and results."""
    chosen = net(execute, ("k3_e6", *MANY[:1], *MANY[2:])[: count - 1], 8, repeats=1)
    images = jax.ShapeDtypeStruct((16, 32, 32, 3), jnp.float32)
    weights, stats = jax.eval_shape(chosen.init, jax.random.key(0), images)
    gates = {"layers": jax.ShapeDtypeStruct((1, count), jnp.float32)}

    def loss(weights, gates, stats, images):
        logits, stats = chosen.apply(weights, stats, gates, images)
        return jnp.sum(logits**2), stats

    run = jax.jit(jax.grad(loss, (0, 1), has_aux=True))
    compiled = run.lower(weights, gates, stats, images).compile()
    return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("execute", ["recomputed", "two"])
def test_memory_does_not_grow_with_the_number_of_candidates(execute):
    few, many = (temporary_bytes(execute, count) for count in (2, 7))
    assert many <= 1.1 * few
    # Two candidates alive need as much as that already.
    assert temporary_bytes("all", 3) > 1.2 * few


# Latency


def forward_of(gates, arch=(), loss=2.0):
    """A pass whose cross-entropy is `loss`."""
    logits = jnp.log(jnp.array([[np.exp(-loss), 1 - np.exp(-loss)]]))
    return Forward(Batch(None, jnp.zeros(1, jnp.int32)), logits, gates, (), 0, arch)


def judged(term, forward):
    return term.value(term.init((), ()), forward)


TIMES = jnp.array([20.0, 50.0, 90.0])
MODEL = lambda gates: jnp.sum(gates["layers"] * TIMES)


@pytest.mark.parametrize(
    ("make", "ms", "expected"),
    [
        (lambda model: cost_terms.mul_log(model, 80.0), 80, 0.4),
        (lambda model: cost_terms.mul_log(model, 80.0), 100, 0.406005),
        (lambda model: cost_terms.mul_log(model, 80.0), 60, 0.391934),
        (lambda model: cost_terms.add_linear(model, 80.0), 80, 0.0),
        (lambda model: cost_terms.add_linear(model, 80.0), 100, 0.025),
        (lambda model: cost_terms.add_linear(model, 80.0), 60, -0.025),
        (cost_terms.fbnet, 20, 0.772613),
        (cost_terms.fbnet, 30, 0.833756),
        (lambda model: cost_terms.one_sided(model, 80.0, 2.0), 100, 0.5),
        (lambda model: cost_terms.one_sided(model, 80.0, 2.0), 60, 0.0),
        (lambda model: cost_terms.absolute(model, 80.0), 60, 0.0175),
    ],
)
def test_latency_enters_the_loss_with_its_golden_values(make, ms, expected):
    term = make(lambda gates: jnp.float32(ms))
    assert float(judged(term, forward_of({}))) == pytest.approx(expected, abs=2e-6)


def test_rewards_are_those_of_the_papers():
    found = lambda make, *settings: float(make(lambda gates: 100.0, 80.0, *settings)(0.7, {}))
    assert found(cost_terms.proxyless_reward) == pytest.approx(0.7 * 0.8**0.1)
    assert found(cost_terms.mnasnet_reward) == pytest.approx(0.7 * 1.25**-0.07)
    assert found(cost_terms.tunas_reward) == pytest.approx(0.7 - 0.07 * 0.25)


TERMS = {
    "mul_log": lambda **how: cost_terms.mul_log(MODEL, 40.0, **how),
    "add_linear": lambda **how: cost_terms.add_linear(MODEL, 40.0, **how),
    "fbnet": lambda **how: cost_terms.fbnet(MODEL, **how),
    "one_sided": lambda **how: cost_terms.one_sided(MODEL, 20.0, 0.1, **how),
}


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("relaxed", ["expected", "gumbel"])
def test_latency_pushes_every_logit_the_right_way(name, relaxed):
    """Up what is faster than the mean, down what is slower."""
    arch = {"layers": jnp.asarray(LOGITS)[None]}

    def loss(arch):
        if relaxed == "expected":  # of a binary draw, which does not enter
            gates = {"layers": jnp.array([[0.0, 0.0, 1.0]])}
            return judged(TERMS[name](relaxation=binary.binary()), forward_of(gates, arch))
        gates = relax.gumbel_softmax(5.0).gates(arch, None, key=jax.random.key(0), step=0)
        return judged(TERMS[name](), forward_of(gates))

    gradient = np.asarray(jax.grad(loss)(arch)["layers"][0])
    assert gradient[0] < 0 < gradient[2] and gradient.sum() == pytest.approx(0, abs=1e-7)
    chances = jax.nn.softmax(jnp.asarray(LOGITS))
    if relaxed == "expected":
        assert np.all(np.sign(gradient) == np.sign(TIMES - jnp.sum(chances * TIMES)))


def test_the_latency_of_a_draw_passes_through_binary_gates():
    arch = {"layers": jnp.asarray(LOGITS)[None]}

    def loss(arch):
        gates = binary.binary().gates(arch, None, key=jax.random.key(0), step=0)
        return judged(cost_terms.add_linear(MODEL, 40.0), forward_of(gates))

    p = np.asarray(jax.nn.softmax(jnp.asarray(LOGITS)))
    expected = 0.1 / 40 * p * (TIMES - p @ TIMES)
    np.testing.assert_allclose(jax.grad(loss)(arch)["layers"][0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: cost_terms.mul_log(MODEL, 1.0), "above 1 ms"),
        (lambda: cost_terms.mul_log(MODEL, 80.0, b=0.0), "b=0.0 cannot be"),
        (lambda: cost_terms.add_linear(MODEL, 0.0), "reference_ms=0.0"),
        (lambda: cost_terms.fbnet(MODEL, a=float("nan")), "a=nan"),
        (lambda: cost_terms.one_sided(MODEL, -4.0), "target_ms=-4.0"),
        (lambda: cost_terms.mnasnet_reward(MODEL, 80.0, 0.07), "negative"),
        (lambda: cost_terms.tunas_reward(MODEL, 80.0, 0.07), "negative"),
    ],
)
def test_latency_terms_that_cannot_be_are_refused(make, reason):
    with pytest.raises(ValueError, match=reason):
        make()


# The methods

TRAIN, VALID = toy.batches(1, 8), toy.batches(2, 8)


def run(search, steps=8):
    update, metrics = toy.jit(search.update), []
    state = toy.jit(search.init)(jax.random.key(0), TRAIN.inputs[0])
    states = [state]
    for n in range(steps):
        state, measured = update(state, toy.at(TRAIN, n), toy.at(VALID, n))
        states.append(state)
        metrics.append(measured)
    return states, metrics


LENGTH = {"steps_per_epoch": 2, "epochs": 4, "warm_up": 1}


@pytest.mark.parametrize("mode", proxyless.EXECUTES)
def test_the_architecture_waits_then_moves_once_in_a_while(mode):
    search = proxyless.proxyless(toy.supernet(), mode=mode, arch_every=2, **LENGTH)
    states, metrics = run(search)
    assert [int(m["arch/active"]) for m in metrics] == [0, 0, 1, 0, 1, 0, 1, 0]
    at = [np.asarray(s.arch["normal"]) for s in states]
    assert np.array_equal(at[0], at[2]) and not np.array_equal(at[2], at[3])
    if "two" in mode:
        before, after = (np.asarray(jax.nn.softmax(jnp.asarray(x))) for x in at[2:4])
        assert np.all(np.sum(at[2] != at[3], 1) == 2)
        still = at[2] == at[3]
        np.testing.assert_allclose(after[still], before[still], rtol=1e-5)


def test_rewards_raise_the_chance_of_what_they_praise():
    """The reward is whether the first candidate is open, whatever the accuracy."""
    reward = lambda accuracy, gates: gates["normal"][0, 0] + gates["reduce"][0, 1]
    search = proxyless.proxyless_reinforce(
        toy.supernet(), reward=reward, arch_every=1, arch_learning_rate=0.2, samples=20, **LENGTH
    )
    states, metrics = run(search)
    first, last = (search.gates(states[n]) for n in (0, -1))
    assert last["normal"][0, 0] > first["normal"][0, 0] + 0.2
    assert last["reduce"][0, 1] > first["reduce"][0, 1] + 0.2
    assert [int(m["arch/active"]) for m in metrics] == [0, 0, 1, 1, 1, 1, 1, 1]
    assert float(metrics[-1]["reward/mean"]) > float(metrics[2]["reward/mean"])


def test_the_slope_of_rewards_is_that_of_their_mean():
    """Over all draws, weighted by their chances: d E[reward] / d logits, whatever the baseline."""
    logits, rewards = jnp.asarray(LOGITS), jnp.array([0.2, 0.9, 0.4])
    expected = jax.grad(lambda x: jax.nn.softmax(x) @ rewards)(logits)
    chances = jax.nn.softmax(logits)
    for baseline in (0.0, 0.5):
        slopes = jax.vmap(
            lambda g: jax.grad(lambda x: reinforce.log_probability({"a": x[None]}, {"a": g[None]}))(
                logits
            )
        )(jnp.eye(3))
        found = jnp.einsum("i,i,ij->j", chances, rewards - baseline, slopes)
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"mode": "three"}, "has the modes"),
        ({"warm_up": 4}, "0 <= warm_up < epochs"),
        ({"arch_every": 7}, "choose 1 to"),
        ({"learning_rate": 0.0}, "learning rate"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        proxyless.proxyless(toy.supernet(), **LENGTH | settings)


@pytest.mark.parametrize("make", [proxyless.proxyless, fbnet.fbnet])
def test_a_constraint_or_an_objective_moves_the_architecture(make):
    """Candidates of larger column are slower: their chances fall against those without latency."""
    slow = lambda gates: 5.0 + sum(jnp.sum(g * jnp.arange(g.shape[1])) for g in gates.values())
    constraint = Constraint(CostModel("ms", None, slow, (0.0, 100.0)), 6.0)
    relaxed = binary.binary()
    ways = {
        "none": {},
        "constraint": {"constraints": [constraint]},
        "objective": {"outer_objective": cost_terms.fbnet(slow, 5.0, 3.0, relaxation=relaxed)},
    }
    settings = LENGTH | {"arch_every": 1, "arch_learning_rate": 0.05}
    times = {
        name: float(
            slow(
                jax.tree.map(
                    jax.nn.softmax, run(make(toy.supernet(), **way, **settings))[0][-1].arch
                )
            )
        )
        for name, way in ways.items()
    }
    assert times["constraint"] < times["none"] and times["objective"] < times["none"]
    both = make(toy.supernet(), **ways["constraint"], **ways["objective"], **settings)
    memory = both.init(jax.random.key(0), TRAIN.inputs[0]).memory
    assert set(memory) == {"inner", "outer"} and set(memory["outer"]["target"]) == {"ms"}


def test_another_way_to_execute_is_refused():
    with pytest.raises(ValueError, match="executed all, selected"):
        mixed_layer.mixture("both")
    with pytest.raises(ValueError, match="samples >= 1"):
        proxyless.proxyless_reinforce(toy.supernet(), samples=0, **LENGTH)
