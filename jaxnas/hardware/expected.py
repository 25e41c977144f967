"""The milliseconds to expect of gates: a differentiable function, exact wherever that is possible.

Gates are probabilities, each edge drawn by itself unless a law of `draws` says how networks are
drawn. Design: docs/latency.md, "Expected latency".
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import Gates, Scalar
from jaxnas.hardware.predict import cell_features, chain_features
from jaxnas.hardware.predict.predictor import Predictor
from jaxnas.spaces import distribution

DRAWS = 16
Expected = Callable[[Gates], Scalar]


def expected(model: Predictor, law: distribution.ArchDistribution | None = None) -> Expected:
    """gates -> f32[] milliseconds: `contracted`, `summed` or `sampled`, as the model's form allows.

    One-hot gates give what `predict` says. Raises ValueError, while tracing, for gates of another
    space.
    """
    if model.costs is not None:
        return summed(model, law)
    if law is None and model.table is not None:
        return contracted(model)
    return sampled(model, DRAWS, law=law)


def contracted(model: Predictor) -> Expected:
    """Exact for any predictor: the table of all networks, contracted with each edge's gates."""
    if model.table is None:
        raise ValueError("Only models of small spaces of cells have a table: use `expected`.")
    law, table = distribution.edges(model.space), jnp.asarray(model.table, jnp.float32)

    def milliseconds(gates: Gates) -> Scalar:
        left = table
        for row in law.rows(gates):
            left = jnp.tensordot(row, left, 1)
        return left

    return milliseconds


def summed(model: Predictor, law: distribution.ArchDistribution | None = None) -> Expected:
    """Exact for costs that add up, and for what neighbours in a chain cost together."""
    if model.costs is None:
        raise ValueError("The model has no costs that add up: use `expected`.")
    law = law or distribution.edges(model.space)
    wide = chain_features.width(model.space)
    costs = jnp.asarray(model.costs, jnp.float32)
    pairs = None if model.pairs is None else jnp.asarray(model.pairs, jnp.float32)
    whole = lambda part: jnp.pad(part, [(0, wide - size) for size in part.shape])

    def milliseconds(gates: Gates) -> Scalar:
        found = law.chances(gates)
        total = model.constant + jnp.sum(costs * jnp.stack([whole(row) for row in found.open]))
        if pairs is not None:
            total += jnp.sum(pairs * jnp.stack([whole(both) for both in found.behind]))
        return jnp.maximum(total, model.least_ms)

    return milliseconds


def sampled(
    model: Predictor, count: int, seed: int = 0, law: distribution.ArchDistribution | None = None
) -> Expected:
    """The mean over `count` drawn networks, whose gradient is unbiased for independent draws.

    The same uniform numbers at every call, one in each `count`-th of every draw (Latin hypercube):
    d/d probability is the mean of what the networks would take with that outcome in that place.
    Without a law every edge is drawn by itself. Raises ValueError for fewer than one draw, and for
    costs that add up, which have a closed form.
    """
    if count < 1:
        raise ValueError(f"{count} draws give no mean: take one or more.")
    if model.weights is None:
        raise ValueError("Costs that add up have a closed form: use `expected`.")
    law = law or distribution.edges(model.space)
    random = np.random.default_rng(seed)
    strata = np.stack([random.permutation(count) for _ in law.sizes], 1)
    uniform = ((strata + random.random(strata.shape)) / count).astype(np.float32)
    uniform = np.clip(uniform, 1e-6, 1 - 1e-6)
    weights = {name: jnp.asarray(w, jnp.float32) for name, w in model.weights.items()}

    def take(networks: jax.Array) -> jax.Array:
        groups = cell_features.features(model.space, networks, jnp, model.ways)
        total = model.constant + sum(groups[name] @ w for name, w in weights.items())
        return jnp.maximum(total, model.least_ms)

    # Which draw is to come out how: every outcome of every draw, and first none.
    put = np.full((1 + sum(law.sizes), len(law.sizes)), -1)
    outcomes = [(d, o) for d, size in enumerate(law.sizes) for o in range(size)]
    put[np.arange(1, len(put)), [d for d, _ in outcomes]] = [o for _, o in outcomes]
    put = put[:, None]

    def milliseconds(gates: Gates) -> Scalar:
        rows = law.rows(gates)
        shares = [jax.lax.stop_gradient(row) for row in rows]
        summed_up = [jnp.cumsum(row) / jnp.sum(row) for row in shares]
        codes = jnp.stack(
            [
                jnp.minimum((uniform[:, d, None] > total).sum(1), law.sizes[d] - 1)
                for d, total in enumerate(summed_up)
            ],
            1,
        )
        every = jnp.where(put < 0, codes, put).reshape(-1, len(law.sizes))
        ms = take(law.network(every, jnp)).reshape(-1, count).mean(1)
        ms = jax.lax.stop_gradient(ms)
        return ms[0] + (jnp.concatenate(rows) - jnp.concatenate(shares)) @ ms[1:]

    return milliseconds
