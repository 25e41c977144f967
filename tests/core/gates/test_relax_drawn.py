"""Gates that are drawn or do not compete, against their formulas."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.gates import relax
from jaxnas.spaces import choices as spaces_choices
from tests import toy

LOGITS = np.array([[0.1, -0.2, 0.3, 1.5], [2.0, 0.0, -1.0, 0.5]], np.float32)
ARCH = {"normal": jnp.array(LOGITS)}
GRID = {
    "normal": spaces_choices.uniform(((0, 2), (1, 2)), "abcd"),
    "reduce": spaces_choices.uniform(((0, 1),), "ab"),
}


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def drawn(relaxation, key=0, arch=ARCH, step=0):
    return relaxation.gates(arch, (), key=jax.random.key(key), step=step)["normal"]


@functools.cache
def many(make):
    """20,000 draws, f32[draws, edges, candidates]."""
    keys = jax.random.split(jax.random.key(1), 20_000)
    gates = jax.vmap(lambda k: make().gates(ARCH, (), key=k, step=0)["normal"])
    return np.asarray(toy.jit(gates)(keys))


def test_a_relaxed_draw_is_the_softmax_of_noisy_logits_over_the_temperature():
    noise = np.asarray(jax.random.gumbel(jax.random.key(0), (8,))).reshape(2, 4)
    expected = softmax((np.log(softmax(LOGITS)) + noise) / 0.7)
    np.testing.assert_allclose(drawn(relax.gumbel_softmax(0.7)), expected, rtol=1e-5)


def test_a_temperature_may_follow_the_step():
    falling = relax.gumbel_softmax(lambda step: 1.0 / (1 + step))
    np.testing.assert_array_equal(drawn(falling, step=4), drawn(relax.gumbel_softmax(0.2)))


def test_draws_stay_finite_and_have_a_gradient_at_the_lowest_temperature():
    arch = {"normal": jnp.array([[60.0, 0.0, -60.0, 0.0]])}
    for make in (relax.gumbel_softmax, relax.gumbel_hard):
        gradient = jax.grad(lambda a, m=make: jnp.sum(drawn(m(0.03), arch=a)[:, 0]))(arch)
        assert np.isfinite(gradient["normal"]).all()


def test_a_hard_draw_is_exactly_one_hot_and_takes_what_the_relaxed_one_takes():
    for key in range(20):
        hard, relaxed = (
            drawn(make(0.5), key) for make in (relax.gumbel_hard, relax.gumbel_softmax)
        )
        np.testing.assert_array_equal(hard, np.eye(4, dtype=np.float32)[relaxed.argmax(-1)])


def test_the_gradient_of_a_hard_draw_is_that_of_the_relaxed_one(x64):
    arch, tau = {"normal": jnp.array(LOGITS, jnp.float64)}, 0.5
    v = np.random.default_rng(0).normal(size=(2, 4))
    found = jax.grad(lambda a: jnp.sum(v * drawn(relax.gumbel_hard(tau), arch=a)))(arch)
    p = np.asarray(drawn(relax.gumbel_softmax(tau), arch=arch))
    # d p_j / d logit_i = p_j (delta_ij - p_i) / tau
    expected = p * (v - (p * v).sum(-1, keepdims=True)) / tau
    np.testing.assert_allclose(found["normal"], expected, rtol=1e-12)
    assert np.abs(expected).max() > 0.1


@pytest.mark.parametrize(
    "make", [lambda: relax.gumbel_hard(3.0), lambda: relax.gumbel_softmax(0.3)]
)
def test_candidates_win_as_often_as_the_softmax_says(make):
    wins = np.eye(4)[many(make).argmax(-1)].mean(0)
    np.testing.assert_allclose(wins, softmax(LOGITS), atol=0.015)


def test_dirichlet_draws_have_the_moments_of_their_concentration():
    c = np.where(LOGITS > 0, LOGITS + 1, np.exp(LOGITS))
    total = c.sum(-1, keepdims=True)
    gates = many(relax.dirichlet)
    np.testing.assert_allclose(gates.sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(gates.mean(0), c / total, atol=0.01)
    variance = c * (total - c) / (total**2 * (total + 1))
    np.testing.assert_allclose(gates.var(0), variance, atol=0.005)


def test_dirichlet_draws_carry_the_gradient_of_their_mean():
    """d E[gate] / d logits by draws equals that of c / sum(c)."""
    keys = jax.random.split(jax.random.key(2), 4000)
    mean = lambda a: jax.vmap(lambda k: relax.dirichlet().gates(a, (), key=k, step=0)["normal"])(
        keys
    ).mean(0)
    found = toy.jit(jax.grad(lambda a: mean(a)[0, 0]))(ARCH)["normal"]
    exact = jax.grad(lambda a: relax.dirichlet().expected(a, (), step=0)["normal"][0, 0])(ARCH)
    np.testing.assert_allclose(found, exact["normal"], atol=0.01)


def test_concentrations_stay_above_where_sampling_underflows():
    low = jnp.array([[-1e3, -20.0, 0.0, 1.0]])
    np.testing.assert_allclose(relax.concentration(low), [[1e-3, 1e-3, 1.0, 2.0]])
    gates = drawn(relax.dirichlet(), arch={"normal": low - 1e3})
    assert np.isfinite(gates).all()
    np.testing.assert_allclose(gates.sum(-1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    "relaxation", [relax.gumbel_hard(1.0), relax.gumbel_softmax(1.0), relax.max_weighted()]
)
def test_expected_gates_are_the_softmax(relaxation):
    found = relaxation.expected(ARCH, (), step=0)["normal"]
    np.testing.assert_allclose(found, softmax(LOGITS), rtol=1e-6)


def test_every_choice_is_drawn_apart():
    arch = {"normal": jnp.zeros((2, 4)), "reduce": jnp.zeros((2, 4))}
    for relaxation in (relax.gumbel_softmax(1.0), relax.dirichlet()):
        gates = relaxation.gates(arch, (), key=jax.random.key(0), step=0)
        assert not np.allclose(gates["normal"], gates["reduce"])
        assert not np.allclose(gates["normal"][0], gates["normal"][1])


def test_snas_starts_around_one():
    choice = {"normal": spaces_choices.uniform([(0, n) for n in range(1, 100)], "abcd")}
    logits = relax.gumbel_softmax(1.0, mean=1.0, scale=0.01).init(jax.random.key(0), choice)
    assert np.mean(logits["normal"]) == pytest.approx(1, abs=0.002)
    assert np.std(logits["normal"]) == pytest.approx(0.01, rel=0.15)


def test_sigmoid_gates_start_half_open_and_do_not_compete():
    arch = relax.sigmoid().init(jax.random.key(0), GRID)
    assert not any(leaf.any() for leaf in arch.values())
    np.testing.assert_allclose(drawn(relax.sigmoid()), 1 / (1 + np.exp(-LOGITS)), rtol=1e-6)
    raised = {"normal": ARCH["normal"].at[0, 0].add(3.0)}
    np.testing.assert_array_equal(
        drawn(relax.sigmoid())[:, 1:], drawn(relax.sigmoid(), arch=raised)[:, 1:]
    )


def test_max_w_gates_equal_the_paper_s_example():
    arch = {"normal": jnp.log(jnp.array([[0.5, 0.3, 0.2]]))}
    np.testing.assert_allclose(drawn(relax.max_weighted(), arch=arch), [[1, 0.8, 0.7]], rtol=1e-6)


def test_the_strongest_max_w_gate_is_constant():
    gradient = jax.grad(lambda a: drawn(relax.max_weighted(), arch=a)[0, 3])(ARCH)
    np.testing.assert_allclose(gradient["normal"], 0, atol=1e-7)


def test_a_joint_softmax_is_one_over_all_edges():
    gates = drawn(relax.joint_softmax())
    np.testing.assert_allclose(gates, np.exp(LOGITS) / np.exp(LOGITS).sum(), rtol=1e-6)


@pytest.mark.parametrize("inner", [relax.softmax(), relax.dirichlet()])
def test_a_helper_has_no_logit_and_the_gate_it_is_told(inner):
    helped = relax.with_auxiliary(inner, lambda step: 1 - step / 10)
    choices = spaces_choices.with_auxiliary_skip(GRID)
    arch = helped.init(jax.random.key(0), choices)
    assert jax.tree.map(jnp.shape, arch) == {"normal": (2, 4), "reduce": (1, 2)}
    key = jax.random.key(1)
    gates = helped.gates(arch, (), key=key, step=3)
    expected = helped.expected(arch, (), step=3)
    without = inner.gates(arch, (), key=key, step=3)
    for name, choice in choices.items():
        assert gates[name].shape == expected[name].shape == choice.shape
        np.testing.assert_allclose(gates[name][:, -1], 0.7, rtol=1e-6)
        np.testing.assert_array_equal(gates[name][:, :-1], without[name])
        np.testing.assert_array_equal(expected[name][:, -1], 0)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
@pytest.mark.parametrize("make", [relax.gumbel_softmax, relax.gumbel_hard])
def test_refuses_a_temperature_that_is_not_positive(make, temperature):
    with pytest.raises(ValueError, match="temperature is positive"):
        make(temperature)
