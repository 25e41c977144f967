"""Claims on the supernet of a user's space, and on a search in it."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas.core import hypergrad, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Batch, Choice, Gates, Search, Space, Supernet
from jaxnas.spaces import registry
from jaxnas.spaces.genotype import Cell, Genotype
from jaxnas.spaces.user.claim import Claim, ClaimFailed
from jaxnas.spaces.user.space_claims import BATCH, FEATURES, INPUTS, SIDES
from jaxnas.spaces.user.user_space import UserSpace

CLASSES = 3
# One cell of each kind, small: structure is tested, not accuracy.
SHAPE = {"features": FEATURES, "cells": 2, "classes": CLASSES, "reductions": (1,)}
# Two float32 programs of the same sums, in another order.
TOLERANCE = 1e-4
STEPS = 3


def one_hot_gates_are_the_discrete_network(user: UserSpace) -> None:
    space = registry.of_user_space(user)
    assert space.inherit is not None
    net, x, key = _supernet(user), _images(0), jax.random.key(0)
    supernet = jax.jit(net.init)(key, x)
    apply, infer = jax.jit(net.apply), jax.jit(net.infer)
    for genotype, gates in discrete(user.space):
        network = space.network(genotype, **SHAPE)
        shapes = jax.eval_shape(network.init, key, x)
        try:
            weights, stats = space.inherit(genotype, SHAPE["reductions"], supernet, shapes)
        except ValueError as error:
            raise ClaimFailed(
                f"An operation has other weights alone than in the supernet. {error} Make the same "
                "ones whatever `norm` is, and keep them apart from its own scale and bias."
            ) from error
        (logits, _), new_stats = network.apply(weights, stats, x, key, jnp.float32(0))
        expected, supernet_stats = apply(*supernet, gates, x)
        _agree("while training", expected, logits, genotype)
        expected = infer(supernet[0], supernet_stats, gates, x)
        _agree("at inference", expected, network.infer(weights, new_stats, x), genotype)


def discrete(space: Space) -> Iterator[tuple[Genotype, Gates]]:
    """Every candidate of every edge once, with its one-hot gates."""
    for turn in range(max(choice.shape[1] for choice in space.values())):
        cells, gates = {}, {}
        for name, choice in space.items():
            chosen = [(i + turn) % choice.shape[1] for i in range(choice.shape[0])]
            cells[name] = _cell(choice, chosen)
            gates[name] = jax.nn.one_hot(jnp.array(chosen), choice.shape[1])
        yield Genotype("one of each", cells), gates


def _cell(choice: Choice, chosen: list[int]) -> Cell:
    named = zip(choice.edges, choice.candidates, chosen, strict=True)
    edges = tuple((source, target, row[column]) for (source, target), row, column in named)
    return Cell(edges, INPUTS, tuple(sorted({target for _, target, _ in edges})))


def _agree(when: str, expected: jax.Array, logits: jax.Array, genotype: Genotype) -> None:
    scale = float(jnp.max(jnp.abs(expected)))
    error = float(jnp.max(jnp.abs(expected - logits))) / max(scale, 1e-6)
    if not error <= TOLERANCE:  # NaN included
        used = sorted({op for cell in genotype.cells.values() for _, _, op in cell.edges})
        raise ClaimFailed(
            f"With one-hot gates the supernet's logits differ {when} from those of the discrete "
            f"network of the same weights, by {error:.1e} of the largest (operations: "
            f"{', '.join(used)}). An operation must depend on its input and its own variables "
            "alone, and treat each image alike whatever the network around it."
        )


def a_search_compiles_once_and_stays_finite(user: UserSpace) -> None:
    searched = _second_order(_supernet(user))
    traces = []

    def update(state, train, valid):
        traces.append(1)
        return searched.update(state, train, valid)

    state = jax.jit(searched.init)(jax.random.key(0), _images(0))
    step = jax.jit(update)
    for i in range(STEPS):
        state, metrics = step(state, _batch(2 * i), _batch(2 * i + 1))
        if len(traces) > 1:
            raise ClaimFailed(
                f"Step {i + 1} compiled the update anew: an operation gave back statistics of "
                "another shape or dtype than it was given."
            )
        for name, value in metrics.items():
            if not np.isfinite(value):
                raise ClaimFailed(f"Step {i + 1} of a second-order search has {name} = {value}.")
    for tree in ("arch", "weights", "stats"):
        for path, leaf in jax.tree.leaves_with_path(getattr(state, tree)):
            if jnp.issubdtype(leaf.dtype, jnp.floating) and not jnp.isfinite(leaf).all():
                raise ClaimFailed(
                    f"After {STEPS} second-order steps {tree}{jax.tree_util.keystr(path)} is not "
                    "finite: a second derivative of that operation is not."
                )


def _second_order(net: Supernet) -> Search:
    """DARTS with its paper's optimisers, and a constant learning rate."""
    transforms = search.Transforms(
        arch_tx=optax.chain(optax.add_decayed_weights(1e-3), optax.adam(3e-4, b1=0.5)),
        weight_tx=optax.chain(optax.add_decayed_weights(3e-4), optax.sgd(0.025, momentum=0.9)),
        clip_tx=optax.clip_by_global_norm(5.0),
    )
    return search.bilevel(
        net, relax.softmax(), terms.cross_entropy(), transforms, hypergrad=hypergrad.unrolled()
    )


def _supernet(user: UserSpace) -> Supernet:
    return registry.of_user_space(user).supernet(user.space, **SHAPE)


def _images(seed: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), (2 * BATCH, SIDES[0], SIDES[0], 3))


def _batch(seed: int) -> Batch:
    return Batch(_images(seed), jnp.arange(2 * BATCH) % CLASSES)


CLAIMS = (
    Claim(
        "one-hot gates = discrete network",
        "the network cut out of the supernet gives its logits",
        one_hot_gates_are_the_discrete_network,
    ),
    Claim(
        "a search compiles once",
        "one program for all steps; both orders of gradients finite",
        a_search_compiles_once_and_stays_finite,
    ),
)
