"""Bilevel problems and supernets small enough to be worked out by hand."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas.core import hypergrad
from jaxnas.core.types import Arch, Batch, Choice, Problem, Search, Supernet, Weights
from jaxnas.hardware import programs
from jaxnas.methods import (
    beta_darts,
    darts,
    darts_minus,
    dr_nas,
    fair_darts,
    fbnet,
    few_shot,
    gdas,
    idarts,
    p_darts,
    pc_darts,
    proxyless,
    r_darts,
    rarts,
    sd_darts,
    sharp_darts,
    single_level,
    single_path,
    smooth_darts,
    snas,
    spos,
)
from jaxnas.spaces import choices as spaces
from jaxnas.spaces.mobile import superkernel_latency, zoo
from jaxnas.spaces.mobile import supernet as mobile_supernet
from tests import mobile_toys

# These programs run for microseconds: XLA's optimising them would be most of the suite's time.
QUICKLY = {"xla_backend_optimization_level": 0}
jit = functools.partial(jax.jit, compiler_options=QUICKLY)


def begun(net, images):
    """(weights, statistics) of a net, filled by their shapes.

    To compile how they begin takes longer than most tests.
    """
    return programs.filled(jax.eval_shape(net.init, jax.random.key(0), images))


def solvable(descend=lambda grads, weights: weights - grads) -> Problem:
    """Outer a w - 2 a + 1, inner (w - a)^2: the optimum is (1, 1). DARTS paper, section 2.3."""
    outer = lambda a, w: (a * w - 2 * a + 1, None)
    inner = lambda a, w: ((w - a) ** 2, None)
    return Problem(outer, inner, descend)


def descent(tx: optax.GradientTransformation, opt: optax.OptState):
    """`Problem.descend` as one step of `tx` from the state `opt`."""

    def descend(grads: Weights, weights: Weights) -> Weights:
        updates, _ = tx.update(grads, opt, weights)
        return optax.apply_updates(weights, updates)

    return descend


class Quadratic(NamedTuple):
    """Inner w'Hw/2 + a'Mw, outer |w - t|^2/2 + c'a, with weights in two leaves."""

    problem: Problem
    arch: Arch
    weights: Weights
    hessian: np.ndarray  # f64[5, 5], eigenvalues 1..5
    mixed: np.ndarray  # f64[3, 5], M
    direct: np.ndarray  # f64[3], c
    v: np.ndarray  # f64[5], w - t


def quadratic(seed: int = 0, rate: float = 0.3) -> Quadratic:
    """A quadratic problem; its look-ahead is plain descent with `rate`."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    hessian = basis @ np.diag(np.arange(1.0, 6.0)) @ basis.T
    mixed, direct, target = rng.normal(size=(3, 5)), rng.normal(size=3), rng.normal(size=5)
    flat = lambda w: jnp.concatenate([w["head"], w["tail"]])
    w, a = rng.normal(size=5), rng.normal(size=3)

    def inner(a, w):
        return 0.5 * flat(w) @ hessian @ flat(w) + a @ mixed @ flat(w), None

    def outer(a, w):
        return 0.5 * jnp.sum((flat(w) - target) ** 2) + direct @ a, None

    descend = lambda g, w: jax.tree.map(lambda g, w: w - rate * g, g, w)
    weights = {"head": jnp.array(w[:2]), "tail": jnp.array(w[2:])}
    problem = Problem(outer, inner, descend)
    return Quadratic(problem, jnp.array(a), weights, hessian, mixed, direct, w - target)


class Smooth(NamedTuple):
    """A random problem without closed form."""

    problem: Problem
    arch: Arch
    weights: Weights


def smooth(seed: int = 0, rate: float = 0.5, clip: float = 1.0) -> Smooth:
    """A mixed network of two layers; descent has clipping, decay and a moving momentum."""
    rng = np.random.default_rng(seed)
    normal = lambda *shape: jnp.array(rng.normal(size=shape))
    arch = {"first": normal(3), "second": normal(3)}
    weights = {"in": normal(4, 6), "out": normal(6, 2)}

    def loss_on(x, y):
        def loss(a, w):
            first, second = jax.nn.softmax(a["first"]), jax.nn.softmax(a["second"])
            mix = lambda g, h: g[0] * jnp.tanh(h) + g[1] * jnp.sin(h) + g[2] * h
            out = mix(second, mix(first, x @ w["in"]) @ w["out"])
            return jnp.mean((out - y) ** 2), out

        return loss

    inner, outer = loss_on(normal(8, 4), normal(8, 2)), loss_on(normal(8, 4), normal(8, 2))
    tx = optax.chain(
        optax.clip_by_global_norm(clip),
        optax.add_decayed_weights(0.1),
        optax.sgd(rate, momentum=0.9),
    )
    moving = {"in": normal(4, 6), "out": normal(6, 2)}
    opt = optax.tree.set(tx.init(weights), trace=moving)
    return Smooth(Problem(outer, inner, descent(tx, opt)), arch, weights)


def supernet(
    features: int = 4, classes: int = 3, axis: str | None = None, normalise: bool = True
) -> Supernet:
    """Three nodes of dense candidates, then one edge, with batch statistics in front.

    `axis` names the devices over which the statistics are averaged.
    """
    ops = ("none", "identity", "tanh", "sine")
    space = {
        "normal": Choice(((0, 1), (0, 2), (1, 2)), (ops,) * 3),
        "reduce": Choice(((0, 1),), (("identity", "tanh"),)),
    }

    def init(key, inputs):
        shapes = {
            "stem": (inputs[0].size, features),
            "normal": {"tanh": (3, features, features), "sine": (3, features, features)},
            "reduce": {"tanh": (features, features)},
            "head": (features, classes),
        }
        shapes, tree = jax.tree.flatten(shapes, is_leaf=lambda x: isinstance(x, tuple))
        ends = np.cumsum([np.prod(shape) for shape in shapes])
        drawn = jnp.split(0.5 * jax.random.normal(key, (ends[-1],)), ends[:-1])
        weights = jax.tree.unflatten(
            tree, [d.reshape(s) for d, s in zip(drawn, shapes, strict=True)]
        )
        stats = {"mean": jnp.zeros(features), "square": jnp.ones(features)}
        return weights, stats if normalise else {}

    def edge(w, gates, e, x):
        tanh, sine = jnp.tanh(x @ w["tanh"][e]), jnp.sin(x @ w["sine"][e])
        return gates[e, 1] * x + gates[e, 2] * tanh + gates[e, 3] * sine

    def after_stem(weights, gates, x):
        w, g = weights["normal"], gates["normal"]
        first = edge(w, g, 0, x)
        x = edge(w, g, 1, x) + edge(w, g, 2, first)
        g = gates["reduce"]
        x = g[0, 0] * x + g[0, 1] * jnp.tanh(x @ weights["reduce"]["tanh"])
        return x @ weights["head"]

    def stem(weights, inputs):
        return inputs.reshape(len(inputs), -1) @ weights["stem"]

    def standardise(stats, x):
        variance = stats["square"] - stats["mean"] ** 2
        return (x - stats["mean"]) / jnp.sqrt(variance + 1e-3)

    def apply(weights, stats, gates, inputs):
        x = stem(weights, inputs)
        if normalise:
            seen = {"mean": x.mean(0), "square": (x**2).mean(0)}
            seen = jax.lax.pmean(seen, axis) if axis else seen
            x = standardise(seen, x)
            stats = jax.tree.map(lambda old, new: 0.9 * old + 0.1 * new, stats, seen)
        return after_stem(weights, gates, x), stats

    def infer(weights, stats, gates, inputs):
        x = stem(weights, inputs)
        return after_stem(weights, gates, standardise(stats, x) if normalise else x)

    return Supernet(space, init, apply, infer)


def batches(seed: int, steps: int, size: int = 16) -> Batch:
    """`steps` batches of 2x2 images with 2 channels: f32[steps, size, 2, 2, 2]."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(steps, size, 2, 2, 2)).astype(np.float32)
    return Batch(jnp.array(inputs), jnp.array(rng.integers(0, 3, (steps, size)), jnp.int32))


def at(batches: Batch, step: int) -> Batch:
    return jax.tree.map(lambda x: x[step], batches)


def _darts(rule=None):
    def method(net: Supernet, **settings) -> Search:
        return darts.darts(net, steps_per_epoch=2, epochs=4, hypergrad=rule, **settings)

    return method


def _single_level(net: Supernet, **settings) -> Search:
    return single_level.single_level(net, steps_per_epoch=2, epochs=4, **settings)


def with_helper(net: Supernet) -> Supernet:
    """`net` whose every edge has an auxiliary skip, which acts as the identity it has."""
    column = {"normal": 1, "reduce": 0}

    def split(gates):
        return {n: g[:, :-1].at[:, column[n]].add(g[:, -1]) for n, g in gates.items()}

    return Supernet(
        spaces.with_auxiliary_skip(net.space),
        net.init,
        lambda w, s, gates, x: net.apply(w, s, split(gates), x),
        lambda w, s, gates, x: net.infer(w, s, split(gates), x),
    )


def _short(method, **fixed):
    """`method` over four epochs of two steps."""

    def make(net: Supernet, **settings) -> Search:
        return method(net, **{"steps_per_epoch": 2, "epochs": 4} | fixed | settings)

    return make


def _darts_minus(net: Supernet, **settings) -> Search:
    return _short(darts_minus.darts_minus)(with_helper(net), **settings)


def _spos(net: Supernet, arch_learning_rate: float = 0.0) -> Search:
    """There is no architecture that could learn at any rate."""
    return _short(spos.spos)(net)


def _single_path(net: Supernet, **settings) -> Search:
    """It has a network of its own: one layer of superkernels."""
    chain = mobile_toys.one_layer(*zoo.SINGLE_PATH[:-1])
    net = mobile_supernet.single_path(chain, classes=3)
    times = superkernel_latency.Times(1.0, 2.0, 1.5, 3.0)
    costs = superkernel_latency.costs(net.space, dict.fromkeys(range(3), times))
    fast = {"costs": costs, "fixed_ms": 1.0, "learning_rate": 0.01, "warmup": 0.2}
    return _short(single_path.single_path, **fast)(net, **settings)


def some(weights: Weights) -> jax.Array:
    """The largest of the weights."""
    return max(jax.tree.leaves(weights), key=lambda leaf: leaf.size)


WATCHED = {"every": 1, "window": 1, "delay": 1, "start": 0, "ratio": 1e9}
# Gates are drawn, and move so fast that some draw turns out otherwise within a few steps.
DRAWN = {"warm_up": 1, "arch_every": 1, "arch_learning_rate": 1.0}
# Every method, once: what tests/test_contract.py holds all of them to. A factory takes the
# supernet and `arch_learning_rate`.
METHODS = [
    ("darts first order", _darts()),
    ("darts exact", _darts(hypergrad.unrolled())),
    ("darts finite difference", _darts(hypergrad.finite_difference())),
    ("darts resting", _darts(hypergrad.after(1, hypergrad.every(2, hypergrad.first_order())))),
    ("single level", _single_level),
    ("pc_darts", _short(pc_darts.pc_darts, warm_up=1)),
    # Fast enough that some draw turns out otherwise within a few steps.
    ("gdas", _short(gdas.gdas, arch_learning_rate=1.0)),
    ("snas", _short(snas.snas)),
    ("dr_nas l2", _short(dr_nas.dr_nas)),
    ("dr_nas kl", _short(dr_nas.dr_nas, regulariser="kl")),
    ("smooth_darts random", _short(smooth_darts.smooth_darts, attack="random")),
    ("smooth_darts adversarial", _short(smooth_darts.smooth_darts, attack_steps=2)),
    ("fair_darts", _short(fair_darts.fair_darts)),
    ("beta_darts", _short(beta_darts.beta_darts)),
    ("darts_minus", _darts_minus),
    ("idarts", _short(idarts.idarts)),
    ("sharp_darts", _short(sharp_darts.sharp_darts, warm_up=1)),
    ("hypercuboid", _short(sharp_darts.sharp_darts, warm_up=1, weighting="joint")),
    ("sd_darts", _short(sd_darts.sd_darts, warm_up=1)),
    ("rarts", _short(rarts.rarts)),
    # At this ratio they neither stop nor go back, which validation data would decide.
    ("r_darts", _short(r_darts.r_darts, **WATCHED)),
    ("r_darts adaptive", _short(r_darts.r_darts_adaptive, **WATCHED)),
    ("p_darts stage", _short(p_darts.stage_search, rest=1)),
    ("few_shot masked", _short(few_shot.masked_darts)),
    ("spos", _spos),
    ("proxyless full", _short(proxyless.proxyless, mode="full", **DRAWN)),
    ("proxyless two", _short(proxyless.proxyless, mode="two", **DRAWN)),
    ("proxyless reinforce", _short(proxyless.proxyless_reinforce, samples=3, **DRAWN)),
    ("fbnet", _short(fbnet.fbnet, **DRAWN)),
    ("single path", _single_path),
]
# All that pmap changes is the network. Here is one method of each way to run it: another one goes
# the way of one of these.
PMAPPED = [
    "darts first order",
    "darts exact",
    "darts finite difference",
    "darts resting",
    "single level",
    "gdas",
    "smooth_darts adversarial",
    "idarts",
    "sd_darts",
    "rarts",
]
# Methods that let validation data reach the weights by another way too, and why.
ALSO_LEARN_FROM_VALIDATION = {"rarts": "the twin of the weights that it fits pulls at them"}
