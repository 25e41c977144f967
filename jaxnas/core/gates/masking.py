"""Masks: relaxations with closed candidates or fixed edges.

Masks are data in the architecture, not constants: searches that differ in their masks only share
one compiled program.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas.core.types import Arch, Gates, Key, Relaxation, Space, Weights

FREE = "free"  # the part of a masked architecture that an optimiser may change


def masked(relaxation: Relaxation) -> Relaxation:
    """The gates of `relaxation` on the candidates of a mask; the sum of an edge is unchanged.

    The architecture is `{"free": that of relaxation, "mask": {name: f32[edges, candidates]}}`,
    with a mask of ones at first. On a softmax this is the softmax of the logits in the mask.
    For gates that are positive: where all gates in the mask are zero, its candidates share equally.
    """

    def init(key: Key, space: Space) -> Arch:
        mask = {name: jnp.ones(choice.shape) for name, choice in space.items()}
        return {FREE: relaxation.init(key, space), "mask": mask}

    def within(mask: jax.Array, gates: jax.Array) -> jax.Array:
        before = gates.sum(-1, keepdims=True)
        after = (gates * mask).sum(-1, keepdims=True)
        # A zero below would make the gradient of the branch not taken infinite.
        share = gates * mask / jnp.where(after > 0, after, 1)
        return before * jnp.where(after > 0, share, mask / mask.sum(-1, keepdims=True))

    return _wrapped(relaxation, init, lambda arch, gates: jax.tree.map(within, arch["mask"], gates))


def with_fixed_edges(relaxation: Relaxation) -> Relaxation:
    """The gates of `relaxation`, except on edges with fixed gates.

    The architecture is `{"free": that of relaxation, "fixed": {name: f32[edges, candidates]},
    "is_fixed": {name: f32[edges]}}`, with nothing fixed at first. See `fix_edge`.
    """

    def init(key: Key, space: Space) -> Arch:
        fixed = {name: jnp.zeros(choice.shape) for name, choice in space.items()}
        flags = {name: jnp.zeros(len(choice.edges)) for name, choice in space.items()}
        return {FREE: relaxation.init(key, space), "fixed": fixed, "is_fixed": flags}

    def overlay(arch: Arch, gates: Gates) -> Gates:
        choose = lambda flag, fixed, gate: jnp.where(flag[:, None] > 0, fixed, gate)
        return jax.tree.map(choose, arch["is_fixed"], arch["fixed"], gates)

    return _wrapped(relaxation, init, overlay)


def fix_edge(arch: Arch, name: str, edge: int, row: np.ndarray) -> Arch:
    """`arch` of `with_fixed_edges` with one more edge fixed at the gates `row`, f32[candidates]."""
    fixed = arch["fixed"] | {name: arch["fixed"][name].at[edge].set(row)}
    flags = arch["is_fixed"] | {name: arch["is_fixed"][name].at[edge].set(1)}
    return arch | {"fixed": fixed, "is_fixed": flags}


def only_free(tx: optax.GradientTransformation) -> optax.GradientTransformation:
    """`tx` on the free part of a masked architecture; masks and fixed gates are not updated."""
    return optax.partition(
        {True: tx, False: optax.set_to_zero()}, lambda arch: {part: part == FREE for part in arch}
    )


def _wrapped(relaxation: Relaxation, init, change) -> Relaxation:
    """`relaxation` of the free part, its gates changed by `change(arch, gates)`."""

    def gates(arch: Arch, weights: Weights, **context) -> Gates:
        return change(arch, relaxation.gates(arch[FREE], weights, **context))

    def expected(arch: Arch, weights: Weights, **context) -> Gates:
        return change(arch, relaxation.expected(arch[FREE], weights, **context))

    return Relaxation(init, gates, expected)
