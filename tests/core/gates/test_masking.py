"""Relaxations whose candidates are closed or whose edges are fixed."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.gates import masking, relax, samplers
from jaxnas.spaces import choices as spaces

KEY = jax.random.key(0)
SPACE = {
    "normal": spaces.uniform(spaces.dag(2, 2), ("skip_connect", "tanh", "wide")),
    "reduce": spaces.uniform(spaces.dag(2, 1), ("skip_connect", "tanh")),
}
LOGITS = relax.softmax(scale=1.0).init(KEY, SPACE)


def gates_of(relaxation, arch, **at):
    return relaxation.gates(arch, None, **({"key": KEY, "step": 0} | at))


def test_a_masked_softmax_is_the_softmax_of_what_is_open():
    relaxation = masking.masked(relax.softmax())
    arch = relaxation.init(KEY, SPACE) | {"free": LOGITS}
    whole = gates_of(relaxation, arch)["normal"]
    np.testing.assert_allclose(whole, jax.nn.softmax(LOGITS["normal"]), rtol=1e-6)
    arch["mask"]["normal"] = arch["mask"]["normal"].at[0].set(jnp.array([0.0, 1.0, 1.0]))
    gates = gates_of(relaxation, arch)
    expected = np.append(0, jax.nn.softmax(LOGITS["normal"][0, 1:]))
    np.testing.assert_allclose(gates["normal"][0], expected, rtol=1e-6)
    np.testing.assert_array_equal(gates["normal"][1:], whole[1:])

    loss = lambda free: (gates_of(relaxation, arch | {"free": free})["normal"][0] ** 2).sum()
    slope = jax.grad(loss)(LOGITS)["normal"]
    assert jnp.abs(slope[0, 0]) < 1e-6
    assert jnp.abs(slope[0, 1]) > 1e-3


def test_a_mask_keeps_what_an_edge_brings_and_shares_what_was_lost():
    relaxation = masking.masked(samplers.identity())
    arch = relaxation.init(KEY, SPACE)
    arch["free"]["reduce"] = jnp.array([[0.3, 0.1], [0.0, 0.7]])
    arch["mask"]["reduce"] = jnp.array([[0.0, 1.0], [1.0, 0.0]])
    gates = gates_of(relaxation, arch)["reduce"]
    np.testing.assert_allclose(gates, [[0.0, 0.4], [0.7, 0.0]], rtol=1e-6)
    slopes = jax.jacobian(lambda arch: gates_of(relaxation, arch)["reduce"])(arch)["free"]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))


def test_decided_edges_stand_still_and_the_others_follow_their_logits():
    relaxation = masking.with_fixed_edges(relax.softmax())
    arch = relaxation.init(KEY, SPACE) | {"free": LOGITS}
    assert jnp.array_equal(gates_of(relaxation, arch)["normal"], jax.nn.softmax(LOGITS["normal"]))
    arch = masking.fix_edge(arch, "normal", 1, np.array([0.0, 1.0, 0.0]))
    arch = masking.fix_edge(arch, "normal", 3, np.zeros(3))
    gates = gates_of(relaxation, arch)
    assert gates["normal"][1].tolist() == [0, 1, 0]
    assert gates["normal"][3].tolist() == [0, 0, 0]
    assert jnp.array_equal(gates["normal"][0], jax.nn.softmax(LOGITS["normal"][0]))
    slope = jax.grad(lambda a: sum(jnp.sum(g**2) for g in gates_of(relaxation, a).values()))(arch)
    assert not slope["free"]["normal"][jnp.array([1, 3])].any()
    assert slope["free"]["normal"][0].any()


def test_expected_gates_are_restricted_as_those_of_a_step_are():
    relaxation = masking.with_fixed_edges(relax.dirichlet())
    arch = masking.fix_edge(relaxation.init(KEY, SPACE), "reduce", 0, np.array([1.0, 0.0]))
    expected = relaxation.expected(arch, None, step=0)["reduce"]
    assert expected[0].tolist() == [1, 0]
    np.testing.assert_allclose(expected[1], 0.5, atol=1e-3)
