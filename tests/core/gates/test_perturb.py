"""Perturbed gates stay gates, near the old ones, and an attack climbs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.gates import perturb

GATES = {"normal": jnp.array([[0.5, 0.3, 0.2], [0.9, 0.1, 0.0]]), "reduce": jnp.array([[0.4, 0.6]])}
constant = lambda radius: lambda step: radius


def moved(shake, loss=lambda gates: 0.0, gates=GATES, seed=0, step=0):
    return shake(loss, gates, key=jax.random.key(seed), step=step)


def test_projection_clips_and_divides():
    rows = {"normal": jnp.array([[0.6, 0.5, -0.1], [1.4, 0.0, 0.6], [-0.3, -0.1, -0.2]])}
    expected = [[6 / 11, 5 / 11, 0], [1 / 1.6, 0, 0.6 / 1.6], [0, 1, 0]]
    np.testing.assert_allclose(perturb.project(rows)["normal"], expected, rtol=1e-6)


@pytest.mark.parametrize("radius", [0.03, 0.3])
def test_noise_keeps_rows_in_the_simplex_and_within_its_reach(radius):
    changed = 0
    for seed in range(20):
        found = moved(perturb.random(constant(radius)), seed=seed)
        for name, rows in found.items():
            np.testing.assert_allclose(rows.sum(-1), 1, rtol=1e-6)
            assert (rows >= 0).all()
            # Clipping and dividing by a sum within 3 radii of 1 moves them a little further.
            assert np.abs(rows - GATES[name]).max() < radius * (1 + 3 / (1 - 3 * min(radius, 0.3)))
            changed += np.abs(rows - GATES[name]).max() > radius / 10
    assert changed > 30


def test_the_radius_follows_the_step():
    growing = lambda step: 0.01 * step
    still = moved(perturb.random(growing), step=0)
    np.testing.assert_allclose(still["normal"], GATES["normal"], atol=1e-7)
    np.testing.assert_array_equal(
        moved(perturb.random(growing), step=5)["normal"],
        moved(perturb.random(constant(0.05)))["normal"],
    )


def test_an_attack_reaches_the_corner_of_a_linear_loss():
    gates = {"normal": jnp.array([[0.5, 0.5], [0.4, 0.6]])}
    slope = jnp.array([[1.0, -1.0], [-2.0, 3.0]])
    attack = perturb.adversarial(constant(0.07), steps=7)
    found = moved(attack, lambda g: jnp.sum(slope * g["normal"]), gates)
    np.testing.assert_allclose(found["normal"], [[0.57, 0.43], [0.33, 0.67]], rtol=1e-5)


def test_an_attack_that_finds_nothing_leaves_the_gates_alone():
    peak = lambda g: -sum(jnp.sum((g[n] - GATES[n]) ** 2) for n in g)
    found = moved(perturb.adversarial(constant(0.1)), peak)
    jax.tree.map(np.testing.assert_array_equal, found, GATES)


def test_an_attack_never_lowers_the_loss():
    rng = np.random.default_rng(0)
    centre = {n: jnp.array(rng.uniform(size=g.shape)) for n, g in GATES.items()}
    wavy = lambda g: sum(jnp.sum(jnp.sin(9 * g[n] + centre[n])) for n in g)
    rises = [
        float(
            wavy(moved(perturb.adversarial(constant(0.2), steps=3), wavy, seed=seed)) - wavy(GATES)
        )
        for seed in range(8)
    ]
    assert min(rises) >= 0
    assert max(rises) > 0.1


def test_every_step_of_an_attack_is_one_gradient():
    """Run unjitted and unrolled: one start, `steps` slopes, two losses to compare."""
    calls = []

    def loss(gates):
        calls.append(None)
        return jnp.sum(gates["normal"] ** 2)

    with jax.disable_jit():
        moved(perturb.adversarial(constant(0.1), steps=5), loss)
    assert len(calls) == 5 + 2


def test_refuses_an_attack_without_steps():
    with pytest.raises(ValueError, match="one step or more"):
        perturb.adversarial(constant(0.1), steps=0)
