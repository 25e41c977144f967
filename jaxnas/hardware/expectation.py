"""The expected cost of gates: a differentiable function, exact where a closed form exists.

Gates are the probabilities of an `ArchDistribution`, by default the factorised one (every edge
drawn independently). Design: docs/latency.md, "Expected latency".
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import Gates, Scalar
from jaxnas.hardware.predict import two_modes
from jaxnas.hardware.predict.features import cell_features
from jaxnas.hardware.predict.predictor import Predictor
from jaxnas.spaces import distribution, genome
from jaxnas.spaces.distribution import ArchDistribution

DRAWS = 16
Expected = Callable[[Gates], Scalar]


def expected(model: Predictor, draws: ArchDistribution | None = None) -> Expected:
    """gates -> f32[] milliseconds: `contracted`, `summed` or `sampled`, by the form of the model.

    One-hot gates give the value of `predict`. Raises ValueError, while tracing, for gates of
    another space.
    """
    draws = draws or distribution.factorised(model.space)
    if model.costs is not None:
        return summed(model, draws)
    if draws.factorised and model.table is not None:
        return contracted(model)
    return sampled(model, DRAWS, draws=draws)


def contracted(model: Predictor) -> Expected:
    """Exact, for predictors with a table of all networks: contracted with each edge's gates."""
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
    """Exact, for additive costs of positions and of neighbouring pairs in a chain.

    What settings of the whole network multiply has the product of the expectations as its own:
    raises ValueError if the draws depend on each other.
    """
    if model.costs is None:
        raise ValueError("The model has no costs that add up: use `expected`.")
    draws = draws or distribution.factorised(model.space)
    max_candidates = max(genome.cardinalities(model.space))
    if model.factors and not draws.factorised:
        raise ValueError("Settings that multiply layers are drawn by themselves: give such draws.")
    costs = jnp.asarray(model.costs, jnp.float32)
    factors = jax.tree.map(lambda part: jnp.asarray(part, jnp.float32), model.factors)
    pairs = None if model.pairs is None else jnp.asarray(model.pairs, jnp.float32)
    pad = lambda array: jnp.pad(array, [(0, max_candidates - size) for size in array.shape])

    def milliseconds(gates: Gates) -> Scalar:
        marginals = draws.marginals(gates)
        rows = jnp.stack([pad(row) for row in marginals.candidates])
        total = model.constant + jnp.sum(costs * rows)
        for factor in factors:
            means = jnp.sum(factor.values * rows, 1)
            total += jnp.prod(means) * jnp.sum(factor.costs * rows)
        if pairs is not None:
            total += jnp.sum(pairs * jnp.stack([pad(table) for table in marginals.neighbours]))
        return jnp.maximum(total, model.least_ms)

    return milliseconds


def sampled(
    model: Predictor, count: int, seed: int = 0, draws: ArchDistribution | None = None
) -> Expected:
    """Monte Carlo mean over `count` networks; its gradient is unbiased for independent draws.

    Every call uses the same uniform numbers, a Latin hypercube over the draws. The derivative by a
    probability is the mean cost of the sampled networks with that outcome forced. Raises ValueError
    for fewer than one sample, and for additive costs, which have a closed form.
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

    def latency_ms(networks: jax.Array) -> jax.Array:
        groups = cell_features.features(model.space, networks, jnp, model.ways, model.dead_shares)
        cdf = model.constant + sum(groups[name] @ w for name, w in weights.items())
        return two_modes.move(model.modes, jnp.maximum(cdf, model.least_ms), jnp)

    # Row by row: no outcome forced, then every outcome of every draw.
    forced = np.full((1 + sum(draws.cardinalities), len(draws.cardinalities)), -1)
    outcomes = [(d, o) for d, size in enumerate(draws.cardinalities) for o in range(size)]
    forced[np.arange(1, len(forced)), [d for d, _ in outcomes]] = [o for _, o in outcomes]
    forced = forced[:, None]

    def milliseconds(gates: Gates) -> Scalar:
        rows = draws.probabilities(gates)
        shares = [jax.lax.stop_gradient(row) for row in rows]
        cdfs = [jnp.cumsum(row) / jnp.sum(row) for row in shares]
        codes = jnp.stack(
            [
                jnp.minimum((uniform[:, d, None] > cdf).sum(1), draws.cardinalities[d] - 1)
                for d, cdf in enumerate(cdfs)
            ],
            1,
        )
        forced_draws = jnp.where(forced < 0, codes, forced).reshape(-1, len(draws.cardinalities))
        ms = latency_ms(draws.genomes(forced_draws, jnp)).reshape(-1, count).mean(1)
        ms = jax.lax.stop_gradient(ms)
        return ms[0] + (jnp.concatenate(rows) - jnp.concatenate(shares)) @ ms[1:]

    return milliseconds
