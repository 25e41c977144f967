"""Methods choose what their papers choose, and refuse what has no effect."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas.core.types import AUXILIARY_SKIP, Batch, Choice, Supernet
from jaxnas.methods import (
    beta_darts,
    darts_minus,
    dr_nas,
    entry,
    fair_darts,
    gdas,
    idarts,
    rarts,
    sd_darts,
    sharp_darts,
    smooth_darts,
    snas,
)
from jaxnas.methods.optimisers import Optimisers
from jaxnas.nets import ops
from jaxnas.spaces import choices as spaces_choices
from jaxnas.spaces import discretise
from jaxnas.spaces.darts import choices as darts_choices
from jaxnas.spaces.darts import supernet as darts
from jaxnas.spaces.nasbench201 import choices as nasbench201_choices
from tests import toy

BATCH = Batch(jnp.zeros((2, 1, 1, 1)), jnp.array([0, 1]))


def probe(candidates, logits=lambda gates: jnp.zeros(2)):
    """A network of one edge that says `logits(gates)`, whatever it is shown."""

    def apply(weights, stats, gates, inputs):
        said = logits(gates["normal"][0]) * weights["scale"]
        return jnp.broadcast_to(said, (len(inputs), 2)), stats

    init = lambda key, inputs: ({"scale": jnp.ones(())}, {})
    infer = lambda w, s, gates, x: apply(w, s, gates, x)[0]
    return Supernet({"normal": Choice(((0, 1),), (candidates,))}, init, apply, infer)


def at(method, arch, epoch):
    """One step a epoch: the metrics of the step of that epoch, from that architecture."""
    state = method.init(jax.random.key(0), BATCH.inputs)
    arch = {"normal": jnp.array([arch], jnp.float32)}
    return toy.jit(method.update)(state._replace(arch=arch, step=jnp.array(epoch)), BATCH, BATCH)


@pytest.mark.parametrize(("epoch", "weight"), [(0, 0.0), (50, 25.0), (99, 49.5)])
def test_beta_darts_adds_a_growing_decay_to_the_validation_loss(epoch, weight):
    method = beta_darts.beta_darts(probe(tuple("abcdefgh")), steps_per_epoch=1)
    _, metrics = at(method, [0.0] * 8, epoch)
    added = metrics["loss/valid"] - np.log(2)
    assert added == pytest.approx(weight * 2.0794415, rel=1e-5, abs=1e-6)
    assert metrics["loss/train"] == pytest.approx(np.log(2), rel=1e-6)


def test_fair_darts_adds_the_golden_zero_one_loss():
    method = fair_darts.fair_darts(probe(tuple("abc")), steps_per_epoch=1)
    _, metrics = at(method, [0.0, 1.0, -2.0], 0)
    assert metrics["loss/valid"] == pytest.approx(np.log(2) - 0.66131494, rel=1e-5)


def test_dr_nas_adds_the_divergence_only_if_asked():
    add = []
    for regulariser in ("l2", "kl"):
        method = dr_nas.dr_nas(probe(tuple("ab")), steps_per_epoch=1, regulariser=regulariser)
        _, metrics = at(method, [1.0, 0.0], 0)
        add.append(float(metrics["loss/valid"]) - np.log(2))
    # KL(Dirichlet(2, 1) || Dirichlet(1, 1)) = ln 2 - 1/2
    np.testing.assert_allclose(add, [0.0, 1e-3 * (np.log(2) - 0.5)], atol=2e-7)


@pytest.mark.parametrize(("epoch", "gate"), [(0, 1.0), (25, 0.5), (49, 0.02)])
def test_darts_minus_fades_the_auxiliary_skip(epoch, gate):
    net = probe(("a", "b", AUXILIARY_SKIP), lambda g: jnp.array([g[-1], 0.0]))
    method = darts_minus.darts_minus(net, steps_per_epoch=1)
    state, metrics = at(method, [0.3, -0.3], epoch)
    assert metrics["loss/train"] == pytest.approx(
        float(np.log(1 + np.exp(-gate)) / 2 + np.log(1 + np.exp(gate)) / 2), rel=1e-6
    )
    np.testing.assert_array_equal(method.gates(state)["normal"][0, -1], 0)


def test_darts_minus_needs_the_auxiliary_skip():
    with pytest.raises(ValueError, match="with_auxiliary_skip"):
        darts_minus.darts_minus(probe(("a", "b")), steps_per_epoch=1)
    with pytest.raises(ValueError, match="already"):
        spaces_choices.with_auxiliary_skip(spaces_choices.with_auxiliary_skip(darts_choices.s2()))


def test_an_auxiliary_skip_adds_to_the_skip_of_a_real_supernet():
    choices = {
        "normal": spaces_choices.uniform(spaces_choices.dag(2, 1), ("skip_connect", "avg_pool_3x3"))
    }
    settings = {"features": 2, "cells": 1, "classes": 3, "reductions": ()}
    helped = darts.supernet(
        spaces_choices.with_auxiliary_skip(choices),
        candidates=ops.DARTS | {AUXILIARY_SKIP: ops.skip_connect},
        **settings,
    )
    plain = darts.supernet(choices, **settings)
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    weights, stats = toy.jit(plain.init)(jax.random.key(1), x)
    found, _ = toy.jit(helped.apply)(
        weights, stats, {"normal": jnp.array([[0.2, 0.8, 0.6]] * 2)}, x
    )
    expected, _ = toy.jit(plain.apply)(weights, stats, {"normal": jnp.array([[0.8, 0.8]] * 2)}, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_an_auxiliary_skip_is_never_selected():
    helped = spaces_choices.with_auxiliary_skip(nasbench201_choices.nasbench201())
    gates = {"cell": np.full(helped["cell"].shape, 0.1)}
    gates["cell"][:, -1] = 1.0
    gates["cell"][:, 3] = 0.5
    genotype = discretise.argmax_per_edge(helped, gates, name="nasbench201")
    assert {op for _, _, op in genotype.cells["cell"].edges} == {"nor_conv_3x3"}
    helped = spaces_choices.with_auxiliary_skip(darts_choices.s2())
    gates = {n: np.ones(c.shape) * [0.2, 0.5, 1.0] for n, c in helped.items()}
    genotype = discretise.top_edges_per_node(helped, gates, name="darts")
    assert {op for c in genotype.cells.values() for _, _, op in c.edges} == {"sep_conv_3x3"}


def seen(method, epoch, trials=24):
    """Gates of the weight step, as the probe's training loss tells the first of two."""
    gaps = []
    for seed in range(trials):
        state = method.init(jax.random.key(seed), BATCH.inputs)
        state = state._replace(
            arch={"normal": jnp.zeros((1, 2))}, step=jnp.array(epoch), key=jax.random.key(seed)
        )
        gaps.append(method.update(state, BATCH, BATCH)[1]["loss/train"])
    return np.array(gaps)


@pytest.mark.parametrize(("epoch", "radius"), [(0, 0.03), (25, 0.165)])
def test_smooth_darts_moves_gates_further_and_further(epoch, radius):
    # With labels 0 and 1 the loss is ln 2 at no gap and grows with the gap of the two logits.
    net = probe(("a", "b"), lambda g: 10 * g)
    method = smooth_darts.smooth_darts(
        net,
        steps_per_epoch=1,
        attack="random",
        optimisers=Optimisers(arch_learning_rate=0.0),
    )
    losses = seen(method._replace(update=toy.jit(method.update)), epoch)
    loss_of = lambda gap: (np.log1p(np.exp(-gap)) + np.log1p(np.exp(gap))) / 2
    # Both gates move by up to the radius; their sum is divided out.
    furthest = 10 * 2 * radius
    assert losses.max() <= loss_of(furthest) + 1e-6
    assert losses.max() > loss_of(furthest / 2)


def test_sharp_darts_steps_at_the_annealed_rate():
    net = probe(("a", "b"), lambda g: jnp.array([1.0, 0.0]))
    method = sharp_darts.sharp_darts(
        net,
        steps_per_epoch=1,
        optimisers=Optimisers(min_learning_rate=1e-4, weight_decay=0.0),
    )
    state = method.init(jax.random.key(0), BATCH.inputs)
    counted = optax.tree.set(state.weight_opt, count=jnp.array(29))
    batch = BATCH._replace(labels=jnp.zeros(2, int))
    after, _ = toy.jit(method.update)(state._replace(weight_opt=counted), batch, batch)
    slope = -1 / (1 + np.e)
    moved = after.weights["scale"] - 1
    assert moved == pytest.approx(-0.02127555 * slope, rel=1e-4)


@pytest.mark.parametrize(
    ("make", "settings", "cause"),
    [
        (gdas.gdas, {"temperature": 0.0}, "temperature"),
        (gdas.gdas, {"min_temperature": -0.1}, "temperature"),
        (gdas.gdas, {"learning_rate": -1.0}, "learning rate"),
        (snas.snas, {"min_temperature": 0.0}, "temperature"),
        (snas.snas, {"temperature": 0.01}, "temperature"),
        (dr_nas.dr_nas, {"regulariser": "l1"}, "'l2' or 'kl'"),
        (dr_nas.dr_nas, {"regulariser_weight": 0.0}, "no effect"),
        (smooth_darts.smooth_darts, {"attack": "rude"}, "'random' or 'adversarial'"),
        (smooth_darts.smooth_darts, {"attack": "random", "attack_steps": 7}, "takes no steps"),
        (smooth_darts.smooth_darts, {"attack_steps": 0}, "one step or more"),
        (smooth_darts.smooth_darts, {"radius": 0.4}, "radius <= max_radius"),
        (smooth_darts.smooth_darts, {"radius": 0.0, "max_radius": 0.0}, "max_radius > 0"),
        (fair_darts.fair_darts, {"zero_one_weight": 0.0}, "weight 0.0"),
        (beta_darts.beta_darts, {"decay": 0.0}, "no effect"),
        (idarts.idarts, {"series": 0}, "one or more"),
        (idarts.idarts, {"min_learning_rate": 0.0}, "above 0"),
        (sharp_darts.sharp_darts, {"weighting": "min"}, "'max', 'softmax' or 'joint'"),
        (sharp_darts.sharp_darts, {"power": 0.0}, "power"),
        (sharp_darts.sharp_darts, {"warm_up": 119}, "warm-up"),
        (sd_darts.sd_darts, {"teachers": 0}, "teachers >= 1"),
        (sd_darts.sd_darts, {"distillation_weight": 0.0}, "no effect"),
        (sd_darts.sd_darts, {"distillation_temperature": 0.0}, "temperature"),
        (sd_darts.sd_darts, {"warm_up": 50}, "before it is taught"),
        (sd_darts.sd_darts, {"epochs_between_teachers": 50}, "before it is taught"),
        (sd_darts.sd_darts, {"warm_up": -1}, "before it is taught"),
        (sd_darts.sd_darts, {"taught": "none"}, "'weights' or 'both'"),
        (rarts.rarts, {"pull": 0.0}, "positive pull"),
        (rarts.rarts, {"training_weight": 0.0}, "positive weight"),
    ],
)
def test_refuses_settings_without_effect_or_sense(make, settings, cause):
    with pytest.raises(ValueError, match=cause):
        make(probe(("a", "b")), steps_per_epoch=1, **entry.nest(make, settings))
