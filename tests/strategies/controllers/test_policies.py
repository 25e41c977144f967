"""Policies: distributions over designs, whose draws and probabilities agree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.strategies.controllers import curious, diversity, grouped, recall
from jaxnas.strategies.controllers.factorised import factorised
from jaxnas.strategies.controllers.recurrent import recurrent

SIZES = (3, 2, 1)
ALL = np.stack(np.unravel_index(np.arange(6), SIZES), 1).astype(np.int32)
SMALL = recurrent(SIZES, 8)
POLICIES = {
    "factorised": factorised(SIZES),
    "grouped": grouped.grouped(SIZES, ((2, 0), (1,))),
    "joint": grouped.grouped(SIZES, ((0, 1, 2),)),
    "recurrent": SMALL.policy,
}


def uneven(policy):
    """Parameters by which some designs are likelier than others."""
    random = np.random.default_rng(3)
    params = policy.init(random)
    return jax.tree.map(lambda p: (p + random.normal(size=p.shape)).astype(np.float32), params)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_draws_designs_as_often_as_it_says(policy):
    params, random = uneven(policy), np.random.default_rng(0)
    probabilities = np.exp(policy.log_prob(params, ALL)[0])
    np.testing.assert_allclose(probabilities.sum(), 1, rtol=1e-5)
    noise = random.gumbel(size=(20_000, *policy.noise)).astype(np.float32)
    drawn = np.asarray(policy.sample(params, noise))
    counts = np.bincount(np.ravel_multi_index(drawn.T, SIZES), minlength=6)
    np.testing.assert_allclose(counts / 20_000, probabilities, atol=0.015)


@pytest.mark.parametrize("name", ["factorised", "grouped", "joint"])
def test_entropy_is_that_of_the_distribution(name):
    policy = POLICIES[name]
    log_p, entropy = policy.log_prob(uneven(policy), ALL)
    np.testing.assert_allclose(entropy, -np.sum(np.exp(log_p) * log_p), rtol=1e-5)


def test_the_entropy_along_a_recurrent_draw_is_that_of_the_distribution_in_the_mean():
    log_p, entropy = SMALL.policy.log_prob(uneven(SMALL.policy), ALL)
    np.testing.assert_allclose(np.sum(np.exp(log_p) * entropy), -np.sum(np.exp(log_p) * log_p),
                               rtol=1e-5)  # fmt: skip


def test_an_agent_a_variable_is_the_factorised_policy():
    apart = grouped.grouped(SIZES, ((0,), (1,), (2,)))
    params = uneven(apart)
    np.testing.assert_allclose(
        apart.log_prob(params, ALL)[0], factorised(SIZES).log_prob(params, ALL)[0], rtol=1e-6
    )


def test_groups_are_the_parts_of_names():
    assert grouped.by_name(("net.a", "hw.b", "net.c")) == ((0, 2), (1,))
    with pytest.raises(ValueError, match="no partition of 3 variables"):
        grouped.grouped(SIZES, ((0, 1),))
    with pytest.raises(ValueError, match="1,000,000 combinations, more than 65,536"):
        grouped.grouped((100,) * 3, ((0, 1, 2),))


def test_imitation_has_no_gradient_at_or_below_the_baseline():
    policy = factorised(SIZES)
    term = recall.imitating(policy, 2, 1.0)
    slope = jax.grad(term.loss)
    present = jnp.ones(2)
    below = slope(policy.init(None), ALL[:2], jnp.array([0.0, -1.0]), present)
    np.testing.assert_array_equal(below, 0)
    # -(one hot - p) * advantage / size; p is 1/3, 1/2, 1.
    above = slope(policy.init(None), ALL[:2], jnp.array([2.0, -1.0]), present)
    np.testing.assert_allclose(above, [[-2 / 3, 1 / 3, 1 / 3], [-1 / 2, 1 / 2, 0], [0, 0, 0]],
                               atol=1e-6)  # fmt: skip


def test_divergence_is_that_of_normal_distributions():
    tree = lambda mean, std: {"mean": jnp.array([mean]), "log_std": jnp.log(jnp.array([std]))}
    assert curious.divergence(tree(1.0, 2.0), tree(1.0, 2.0)) == 0
    np.testing.assert_allclose(
        curious.divergence(tree(1.0, 2.0), tree(0.0, 1.0)), 2 - np.log(2), rtol=1e-6
    )


def test_what_was_never_drawn_brings_more_information():
    of_weights = curious.curious(factorised(SIZES))
    params = of_weights.policy.init(np.random.default_rng(0))
    params["mean"][0] = [3, 0, 0]  # the first variable's first value is likely
    likely, unlikely = of_weights.bonus(params, np.array([[0, 0, 0], [1, 0, 0]]))
    assert unlikely > likely > 0


def test_replay_makes_the_hidden_state_say_which_design_it_was():
    sizes = (4,) * 5
    policy = recurrent(sizes, 16)
    params = policy.policy.init(np.random.default_rng(0))
    term = recall.replayed(policy, 16, 1.0)
    random = np.random.default_rng(1)
    designs = random.integers(0, 4, (16, 5)).astype(np.int32)
    ones = jnp.ones(16)
    before = diversity.distance_ratio(policy, params, random, 8, 8)

    @jax.jit
    def descend(params, _):
        slope = jax.grad(term.loss)(params, designs, ones, ones)
        return jax.tree.map(lambda p, g: p - 1.0 * g, params, slope), None

    params, _ = jax.lax.scan(descend, params, None, 400)
    after = diversity.distance_ratio(policy, params, random, 8, 8)
    assert before == pytest.approx(1, abs=0.1)
    assert after < 0.8, after
