"""Bilevel problems and supernets small enough to be worked out by hand."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas.core.types import Arch, Batch, Choice, Problem, Supernet, Weights
from jaxnas.hardware import programs

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


def drawn(key, shapes):
    """Normal weights of these shapes, from one draw: each more takes time to compile."""
    shapes, tree = jax.tree.flatten(shapes, is_leaf=lambda x: isinstance(x, tuple))
    ends = np.cumsum([np.prod(shape) for shape in shapes])
    parts = jnp.split(0.5 * jax.random.normal(key, (ends[-1],)), ends[:-1])
    return jax.tree.unflatten(tree, [p.reshape(s) for p, s in zip(parts, shapes, strict=True)])


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
        stats = {"mean": jnp.zeros(features), "square": jnp.ones(features)}
        return drawn(key, shapes), stats if normalise else {}

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


def some(weights: Weights) -> jax.Array:
    """The largest of the weights."""
    return max(jax.tree.leaves(weights), key=lambda leaf: leaf.size)
