"""The expected cost of gates: a differentiable function, exact wherever that is possible.

Gates are the probabilities of an `ArchDistribution`, by default the one that draws every edge by
itself. Design: docs/latency.md, "Expected latency".
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import Gates, Scalar
from jaxnas.hardware.predict import cell_features
from jaxnas.hardware.predict.predictor import Predictor
from jaxnas.spaces import distribution, genome
from jaxnas.spaces.distribution import ArchDistribution

DRAWS = 16
Expected = Callable[[Gates], Scalar]


def expected(model: Predictor, draws: ArchDistribution | None = None) -> Expected:
    """gates -> f32[] milliseconds: `contracted`, `summed` or `sampled`, as the model's form allows.

    One-hot gates give what `predict` says. Raises ValueError, while tracing, for gates of another
    space.
    """
    draws = draws or distribution.factorised(model.space)
    if model.costs is not None:
        return summed(model, draws)
    if draws.factorised and model.table is not None:
        return contracted(model)
    return sampled(model, DRAWS, draws=draws)


def contracted(model: Predictor) -> Expected:
    """Exact for any predictor: the table of all networks, contracted with each edge's gates."""
    if model.table is None:
        raise ValueError("Only models of small spaces of cells have a table: use `expected`.")
    draws, table = distribution.factorised(model.space), jnp.asarray(model.table, jnp.float32)
    return lambda gates: contract(draws.probabilities(gates), table)


def contract(probabilities: Sequence[jax.Array], table: jax.Array) -> Scalar:
    """The mean of a table f[candidates of position 0, of position 1, ...]."""
    for row in probabilities:
        table = jnp.tensordot(row, table, 1)
    return table


def summed(model: Predictor, draws: ArchDistribution | None = None) -> Expected:
    """Exact for costs that add up, and for what neighbours in a chain cost together."""
    if model.costs is None:
        raise ValueError("The model has no costs that add up: use `expected`.")
    draws = draws or distribution.factorised(model.space)
    most = max(genome.cardinalities(model.space))
    costs = jnp.asarray(model.costs, jnp.float32)
    pairs = None if model.pairs is None else jnp.asarray(model.pairs, jnp.float32)
    padded = lambda part: jnp.pad(part, [(0, most - size) for size in part.shape])

    def milliseconds(gates: Gates) -> Scalar:
        marginals = draws.marginals(gates)
        rows = jnp.stack([padded(row) for row in marginals.candidates])
        total = model.constant + jnp.sum(costs * rows)
        if pairs is not None:
            total += jnp.sum(pairs * jnp.stack([padded(both) for both in marginals.neighbours]))
        return jnp.maximum(total, model.least_ms)

    return milliseconds


def sampled(
    model: Predictor, count: int, seed: int = 0, draws: ArchDistribution | None = None
) -> Expected:
    """The mean over `count` drawn networks, whose gradient is unbiased for independent draws.

    The same uniform numbers at every call, one in each `count`-th of every draw (Latin hypercube):
    d/d probability is the mean of what the networks would take with that outcome in that place.
    Raises ValueError for fewer than one draw, and for
    costs that add up, which have a closed form.
    """
    if count < 1:
        raise ValueError(f"{count} draws give no mean: take one or more.")
    if model.weights is None:
        raise ValueError("Costs that add up have a closed form: use `expected`.")
    draws = draws or distribution.factorised(model.space)
    random = np.random.default_rng(seed)
    strata = np.stack([random.permutation(count) for _ in draws.cardinalities], 1)
    uniform = ((strata + random.random(strata.shape)) / count).astype(np.float32)
    uniform = np.clip(uniform, 1e-6, 1 - 1e-6)
    weights = {name: jnp.asarray(w, jnp.float32) for name, w in model.weights.items()}

    def take(networks: jax.Array) -> jax.Array:
        groups = cell_features.features(model.space, networks, jnp, model.ways)
        total = model.constant + sum(groups[name] @ w for name, w in weights.items())
        return jnp.maximum(total, model.least_ms)

    # Which draw is to come out how: every outcome of every draw, and first none.
    put = np.full((1 + sum(draws.cardinalities), len(draws.cardinalities)), -1)
    outcomes = [(d, o) for d, size in enumerate(draws.cardinalities) for o in range(size)]
    put[np.arange(1, len(put)), [d for d, _ in outcomes]] = [o for _, o in outcomes]
    put = put[:, None]

    def milliseconds(gates: Gates) -> Scalar:
        rows = draws.probabilities(gates)
        shares = [jax.lax.stop_gradient(row) for row in rows]
        summed_up = [jnp.cumsum(row) / jnp.sum(row) for row in shares]
        codes = jnp.stack(
            [
                jnp.minimum((uniform[:, d, None] > total).sum(1), draws.cardinalities[d] - 1)
                for d, total in enumerate(summed_up)
            ],
            1,
        )
        every = jnp.where(put < 0, codes, put).reshape(-1, len(draws.cardinalities))
        ms = take(draws.genomes(every, jnp)).reshape(-1, count).mean(1)
        ms = jax.lax.stop_gradient(ms)
        return ms[0] + (jnp.concatenate(rows) - jnp.concatenate(shares)) @ ms[1:]

    return milliseconds
