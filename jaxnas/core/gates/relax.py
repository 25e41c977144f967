"""Relaxations: architecture parameters -> gates between 0 and 1."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from jaxnas.core.types import Arch, Gates, Key, Relaxation, Space, Weights


def deterministic(init: Callable[[Key, Space], Arch], gates: Callable[..., Gates]) -> Relaxation:
    """A relaxation without sampling: the gates of a step are the expected ones.

    `gates(arch, weights, **_)` takes `step` too and, in a step, a `key`.
    """
    return Relaxation(init, gates, gates)


def softmax(scale: float = 1e-3) -> Relaxation:
    """Gates of an edge are the softmax of its logits.

    Logits start as `scale` times a standard normal. DARTS, eq. 2,
    https://arxiv.org/abs/1806.09055
    """

    def init(key: Key, space: Space) -> Arch:
        keys = jax.random.split(key, len(space))
        return {
            name: scale * jax.random.normal(k, choice.shape)
            for k, (name, choice) in zip(keys, space.items(), strict=True)
        }

    return deterministic(init, _softmax_of)


def edge_normalised(space: Space, relaxation: Relaxation) -> Relaxation:
    """Gates times the weight of their edge among the edges into the same node.

    The architecture is `{"candidates": that of relaxation, "edges": {name: f32[edges]}}`, the
    latter starting as 1e-3 times a standard normal; the weights of the edges into a node are a
    softmax. PC-DARTS, eq. 4, https://arxiv.org/abs/1907.05737
    """

    def init(key: Key, space: Space) -> Arch:
        k_inner, *keys = jax.random.split(key, 1 + len(space))
        edges = {
            name: 1e-3 * jax.random.normal(k, (len(choice.edges),))
            for k, (name, choice) in zip(keys, space.items(), strict=True)
        }
        return {"candidates": relaxation.init(k_inner, space), "edges": edges}

    def edge_weights(name: str, logits: jax.Array) -> jax.Array:
        targets = np.array([target for _, target in space[name].edges])
        same_target = targets[:, None] == targets
        of_node = jnp.where(same_target, logits, -jnp.inf)
        return jnp.exp(logits - jax.nn.logsumexp(of_node, axis=1))

    def scaled(gates: Gates, arch: Arch) -> Gates:
        return {n: edge_weights(n, arch["edges"][n])[:, None] * gate for n, gate in gates.items()}

    def gates(arch: Arch, weights: Weights, **context) -> Gates:
        return scaled(relaxation.gates(arch["candidates"], weights, **context), arch)

    def expected(arch: Arch, weights: Weights, **context) -> Gates:
        return scaled(relaxation.expected(arch["candidates"], weights, **context), arch)

    return Relaxation(init, gates, expected)


def gumbel_softmax(
    temperature: float | optax.Schedule, *, mean: float = 0.0, scale: float = 1e-3
) -> Relaxation:
    """Gates are a relaxed one-hot sample: softmax((log softmax(logits) + gumbel) / temperature).

    Logits start with that mean and deviation; `temperature` is a number or a function of the step.
    Expected gates are the softmax of the logits. SNAS, eq. 6, https://arxiv.org/abs/1812.09926.
    Raises ValueError for a number that is not positive.
    """
    temperature_at = _positive_at(temperature)

    def gates(arch: Arch, weights: Weights, *, key: Key, step) -> Gates:
        return _concrete(key, arch, temperature_at(step))

    return Relaxation(_normal(mean, scale), gates, _softmax_of)


def gumbel_hard(temperature: float | optax.Schedule, scale: float = 1e-3) -> Relaxation:
    """Gates are a one-hot sample with the gradient of its relaxation: straight-through Gumbel.

    The value is exactly 0 or 1 (one sample a choice, shared by its cells), the gradient that of
    `gumbel_softmax`. Expected gates are the softmax of the logits. GDAS, eqs. 3 to 5,
    https://arxiv.org/abs/1910.04465; which candidates are computed, and thus which get a gradient,
    is the supernet's `execute`. Raises ValueError for a number as temperature that is not positive.
    """
    temperature_at = _positive_at(temperature)

    def harden(relaxed: jax.Array) -> jax.Array:
        hard = jax.nn.one_hot(jnp.argmax(relaxed, -1), relaxed.shape[-1], dtype=relaxed.dtype)
        return hard + (relaxed - jax.lax.stop_gradient(relaxed))

    def gates(arch: Arch, weights: Weights, *, key: Key, step) -> Gates:
        return jax.tree.map(harden, _concrete(key, arch, temperature_at(step)))

    return Relaxation(_normal(0.0, scale), gates, _softmax_of)


def concentration(logits: jax.Array) -> jax.Array:
    """Dirichlet parameters: ELU(logits) + 1, but at least 1e-3, below which samples underflow.

    DrNAS, xiangning-chen/DrNAS DARTS-space/model_search.py; the bound is ours.
    """
    return jnp.maximum(jax.nn.elu(logits) + 1, 1e-3)


def dirichlet(scale: float = 1e-3) -> Relaxation:
    """Gates of an edge are a differentiable sample of Dirichlet(`concentration(logits)`).

    One sample a choice, shared by its cells; the gradient is the implicit one of the gamma
    distribution. Expected gates are the distribution's mean. DrNAS, section 3,
    https://arxiv.org/abs/2006.10355
    """

    def gates(arch: Arch, weights: Weights, *, key: Key, step) -> Gates:
        c = jax.tree.map(concentration, arch)
        flat = jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(c)])
        logs = _noise(lambda k, shape: jax.random.loggamma(k, flat), key, c)
        return jax.tree.map(jax.nn.softmax, logs)

    def expected(arch: Arch, weights: Weights, **_) -> Gates:
        mean = lambda c: c / c.sum(-1, keepdims=True)
        return jax.tree.map(lambda logits: mean(concentration(logits)), arch)

    return Relaxation(_normal(0.0, scale), gates, expected)


def sigmoid() -> Relaxation:
    """Every gate is the sigmoid of its logit, which starts at 0: candidates do not compete.

    FairDARTS, eq. 4, https://arxiv.org/abs/1911.12126
    """

    def gates(arch: Arch, weights: Weights, **_) -> Gates:
        return jax.tree.map(jax.nn.sigmoid, arch)

    return deterministic(_normal(0.0, 0.0), gates)


def max_weighted(scale: float = 1e-3) -> Relaxation:
    """Gates are 1 - max(w) + w with w the softmax: the largest gate of an edge is always 1.

    Expected gates are w itself, as largest gates of 1 would rank no edges: what is evaluated is
    not what was trained. sharpDARTS's Max-W, https://arxiv.org/abs/1903.09900, in whose code
    (ahundt/sharpDARTS cnn/model_search.py) the maximum has a gradient, too.
    """

    def gates(arch: Arch, weights: Weights, **_) -> Gates:
        shifted = lambda w: 1 - w.max(-1, keepdims=True) + w
        return jax.tree.map(lambda logits: shifted(jax.nn.softmax(logits)), arch)

    return Relaxation(_normal(0.0, scale), gates, _softmax_of)


def joint_softmax(scale: float = 1e-3) -> Relaxation:
    """Gates of a choice are one softmax over all its edges and candidates.

    sharpDARTS's hypercuboid weighs all edges of a layer against each other,
    https://arxiv.org/abs/1903.09900.
    """

    def gates(arch: Arch, weights: Weights, **_) -> Gates:
        return jax.tree.map(lambda logits: jax.nn.softmax(logits, axis=(0, 1)), arch)

    return deterministic(_normal(0.0, scale), gates)


def with_auxiliary(relaxation: Relaxation, gate_at: optax.Schedule) -> Relaxation:
    """`relaxation` of all candidates but the last, whose gate is `gate_at(step)`.

    The last candidate has no logit, and its expected gate is 0. DARTS-, eq. 7,
    https://arxiv.org/abs/2009.01027, for a space as `choices.with_auxiliary_skip` makes it.
    """

    def init(key: Key, space: Space) -> Arch:
        drop = lambda choice: choice._replace(candidates=tuple(r[:-1] for r in choice.candidates))
        return relaxation.init(key, {name: drop(choice) for name, choice in space.items()})

    def append(gates: Gates, gate) -> Gates:
        column = lambda g: jnp.full((len(g), 1), gate, g.dtype)
        return jax.tree.map(lambda g: jnp.concatenate([g, column(g)], -1), gates)

    def gates(arch: Arch, weights: Weights, *, key: Key, step) -> Gates:
        return append(relaxation.gates(arch, weights, key=key, step=step), gate_at(step))

    def expected(arch: Arch, weights: Weights, *, step) -> Gates:
        return append(relaxation.expected(arch, weights, step=step), 0.0)

    return Relaxation(init, gates, expected)


def _normal(mean: float, scale: float) -> Callable[[Key, Space], Arch]:
    def init(key: Key, space: Space) -> Arch:
        return jax.tree.map(lambda noise: mean + noise, softmax(scale).init(key, space))

    return init


def _softmax_of(arch: Arch, weights: Weights, **_) -> Gates:
    return jax.tree.map(jax.nn.softmax, arch)


def _noise(sample: Callable[[Key, tuple], jax.Array], key: Key, arch: Arch) -> Gates:
    """One sample for the whole architecture, split by choice: a smaller program to compile."""
    leaves, tree = jax.tree.flatten(arch)
    ends = np.cumsum([leaf.size for leaf in leaves])
    parts = jnp.split(sample(key, (int(ends[-1]),)), ends[:-1])
    shaped = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(tree, shaped)


def _concrete(key: Key, arch: Arch, temperature: ArrayLike) -> Gates:
    relaxed = lambda logits, g: jax.nn.softmax((jax.nn.log_softmax(logits) + g) / temperature)
    return jax.tree.map(relaxed, arch, _noise(jax.random.gumbel, key, arch))


def _positive_at(temperature: float | optax.Schedule) -> optax.Schedule:
    if callable(temperature):
        return temperature
    if not temperature > 0:
        raise ValueError(f"A temperature is positive, not {temperature}.")
    return lambda step: temperature
