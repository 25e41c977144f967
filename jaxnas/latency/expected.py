"""The milliseconds to expect of gates: a differentiable function, exact wherever that is possible.

Gates are probabilities, each edge drawn by itself. Design: docs/latency.md, "Expected latency".
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.latency import cells, chains, layout
from jaxnas.latency.model import Model
from jaxnas.types import Gates, Scalar

DRAWS = 16
Expected = Callable[[Gates], Scalar]


def expected(model: Model) -> Expected:
    """gates -> f32[] milliseconds: `contracted`, `summed` or `sampled`, as the model's form allows.

    One-hot gates give what `predict` says. Raises ValueError, while tracing, for gates of another
    space.
    """
    if model.table is not None:
        return contracted(model)
    return summed(model) if model.costs is not None else sampled(model, DRAWS)


def contracted(model: Model) -> Expected:
    """Exact for any predictor: the table of all networks, contracted with each edge's gates."""
    if model.table is None:
        raise ValueError("Only models of small spaces of cells have a table: use `expected`.")
    table = jnp.asarray(model.table, jnp.float32)

    def milliseconds(gates: Gates) -> Scalar:
        left = table
        for row in _rows(model, gates):
            left = jnp.tensordot(row, left, 1)
        return left

    return milliseconds


def summed(model: Model) -> Expected:
    """Exact for chains: costs are linear in gates, pairs of neighbours are products of theirs."""
    if model.costs is None:
        raise ValueError("Only models of chains have costs: use `expected`.")
    wide, order = chains.width(model.space), chains.order(model.space)
    costs = jnp.asarray(model.costs, jnp.float32)
    pairs = None if model.pairs is None else jnp.asarray(model.pairs, jnp.float32)

    def milliseconds(gates: Gates) -> Scalar:
        rows = [jnp.pad(row, (0, wide - len(row))) for row in _rows(model, gates)]
        open_ = jnp.stack(rows)
        total = model.constant + jnp.sum(costs * open_)
        if pairs is not None:
            line = open_[order]
            total += jnp.einsum("la,lab,lb->", line[:-1], pairs, line[1:])
        return jnp.maximum(total, model.least_ms)

    return milliseconds


def sampled(model: Model, draws: int, seed: int = 0) -> Expected:
    """The mean over drawn networks, whose gradient is unbiased for independent edges.

    The same uniform numbers at every call: d/d gate is the mean of what the draws would take with
    that candidate in that place. Raises ValueError for fewer than one draw and for chains.
    """
    if draws < 1:
        raise ValueError(f"{draws} draws give no mean: take one or more.")
    if model.weights is None:
        raise ValueError("Chains have a closed form: use `expected`.")
    shape = layout.sizes(model.space)
    uniform = np.random.default_rng(seed).random((draws, len(shape))).astype(np.float32)
    uniform = np.clip(uniform, 1e-6, 1 - 1e-6)
    weights = {name: jnp.asarray(w, jnp.float32) for name, w in model.weights.items()}

    def take(codes: jax.Array) -> jax.Array:
        groups = cells.features(model.space, codes, jnp)
        total = model.constant + sum(groups[name] @ w for name, w in weights.items())
        return jnp.maximum(total, model.least_ms)

    def milliseconds(gates: Gates) -> Scalar:
        rows = _rows(model, gates)
        shares = [jax.lax.stop_gradient(row) for row in rows]
        summed_up = [jnp.cumsum(row) / jnp.sum(row) for row in shares]
        codes = jnp.stack(
            [
                jnp.minimum((uniform[:, p, None] > total).sum(1), shape[p] - 1)
                for p, total in enumerate(summed_up)
            ],
            1,
        )
        # Every draw, with every candidate put in every place.
        moved = [codes.at[:, p].set(o) for p, n in enumerate(shape) for o in range(n)]
        ms = take(jnp.concatenate([codes, *moved])).reshape(-1, draws).mean(1)
        ms = jax.lax.stop_gradient(ms)
        return ms[0] + (jnp.concatenate(rows) - jnp.concatenate(shares)) @ ms[1:]

    return milliseconds


def _rows(model: Model, gates: Gates) -> list[jax.Array]:
    layout.check_gates(model.space, gates)
    return [gates[position.choice][position.row] for position in layout.positions(model.space)]
