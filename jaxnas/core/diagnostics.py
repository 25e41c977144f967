"""Diagnostics of a search: curvature, gates, discretisation, agreement of hypergradients.

All losses are the mean cross-entropy of a batch, in nats, with batch statistics and at the
expected gates, `search.gates`. Functions are pure;
`batches` have a leading axis, `inputs` f32[N, B, H, W, C] and `labels` i32[N, B].
"""

import itertools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnas.core import curvature, metrics
from jaxnas.core.types import (
    Arch,
    Batch,
    Gates,
    Hypergradient,
    Key,
    Problem,
    Scalar,
    Search,
    SearchState,
    Supernet,
    Weights,
)

RADIUS = 0.05  # of SAM on CIFAR (Foret et al. 2021, section 3.1)
ITERATIONS = 30  # of Lanczos; our choice


class Accuracies(NamedTuple):
    """Accuracies of a supernet and of the network selected from it, with the same weights."""

    supernet: Scalar
    discrete: Scalar

    @property
    def gap(self) -> Scalar:
        """Supernet minus discrete: the loss of accuracy by discretisation."""
        return self.supernet - self.discrete


class HypergradientAgreement(NamedTuple):
    """Cosines between hypergradients, by pair of rules."""

    total: Mapping[tuple[str, str], Scalar]
    implicit: Mapping[tuple[str, str], Scalar]  # the part by way of the weights


def loss(net: Supernet, search: Search, state: SearchState) -> Callable[..., Scalar]:
    """`(arch, weights, batch) -> f[]` with the state's other values."""

    def value(arch: Arch, weights: Weights, batch: Batch) -> Scalar:
        gates = search.gates(state._replace(arch=arch, weights=weights))
        logits, _ = net.apply(weights, state.stats, gates, batch.inputs)
        return metrics.cross_entropy(logits, batch.labels)

    return value


def arch_hessian(
    net: Supernet, search: Search, state: SearchState, batches: Batch, decay: float = 0.0
) -> jax.Array:
    """d^2 loss/d arch^2, f[n, n], exact, row by row; `decay` is added to its diagonal.

    n is 224 for the DARTS space (2 cells, 14 edges, 8 candidates). R-DARTS, section 4,
    https://arxiv.org/abs/1909.09656, whose code adds the architecture's weight decay.
    """
    value = lambda arch, batch: loss(net, search, state)(arch, state.weights, batch)
    matrix = curvature.hessian(value, state.arch, batches)
    return matrix + decay * jnp.eye(len(matrix), dtype=matrix.dtype)


def arch_eigenvalues(
    net: Supernet,
    search: Search,
    state: SearchState,
    batches: Batch,
    key: Key,
    iterations: int = ITERATIONS,
) -> curvature.Ritz:
    """Outer eigenvalues of d^2 loss/d arch^2 by Lanczos; `values[-1]` is the dominant one.

    Dominant means the largest, as in R-DARTS, not the largest in magnitude.
    """
    value = lambda arch, batch: loss(net, search, state)(arch, state.weights, batch)
    return curvature.lanczos(value, state.arch, batches, key, iterations)


def weight_eigenvalues(
    net: Supernet,
    search: Search,
    state: SearchState,
    batches: Batch,
    key: Key,
    iterations: int = ITERATIONS,
) -> curvature.Ritz:
    """Outer eigenvalues of d^2 loss/d weights^2 by Lanczos; `values[-1]` is the dominant one.

    Takes the memory of `iterations` copies of the weights.
    """
    value = lambda weights, batch: loss(net, search, state)(state.arch, weights, batch)
    return curvature.lanczos(value, state.weights, batches, key, iterations)


def sharpness(
    net: Supernet, search: Search, state: SearchState, batches: Batch, radius: float = RADIUS
) -> Scalar:
    """Rise of the loss, in nats, by one ascent step of length `radius` in the weights (SAM)."""
    value = lambda weights, batch: loss(net, search, state)(state.arch, weights, batch)
    return curvature.sharpness(value, state.weights, batches, radius)


def entropy(gates: Gates) -> Scalar:
    """Mean entropy of an edge's gates, in nats; log(candidates) for equal gates."""
    rows = [jnp.reshape(-jax.scipy.special.xlogy(g, g).sum(-1), -1) for g in gates.values()]
    return jnp.concatenate(rows).mean()


def discretisation_gap(
    net: Supernet, search: Search, state: SearchState, discrete: Gates, batches: Batch
) -> Accuracies:
    """Accuracy of the supernet at its gates and at those of a genotype, without retraining.

    Both with batch statistics. `discrete` are the one-hot gates of a genotype, `Genome.one_hot`.
    """

    def accuracy(gates: Gates) -> Scalar:
        def batch_accuracy(batch: Batch) -> Scalar:
            logits, _ = net.apply(state.weights, state.stats, gates, batch.inputs)
            return metrics.accuracy(logits, batch.labels)

        return jax.lax.map(batch_accuracy, batches).mean()

    return Accuracies(accuracy(search.gates(state)), accuracy(discrete))


def problem(
    net: Supernet, search: Search, state: SearchState, train: Batch, valid: Batch, rate: Scalar
) -> Problem:
    """The bilevel problem of two batches (no leading axis); its look-ahead is gradient descent.

    Without momentum and decay, which are constant in the architecture, so that the problem depends
    on the run's weights and not on its optimiser.
    """
    value = loss(net, search, state)
    outer = lambda arch, weights: (value(arch, weights, valid), None)
    inner = lambda arch, weights: (value(arch, weights, train), None)
    descend = lambda grads, weights: optax.tree.add_scale(weights, -rate, grads)
    return Problem(outer, inner, descend, state.step)


def agreement(
    problem: Problem, arch: Arch, weights: Weights, rules: Mapping[str, Hypergradient]
) -> HypergradientAgreement:
    """Cosines between the hypergradients of all pairs of rules, in total and of the implicit part.

    The implicit part is the one through the weights; for rules without it, as first order, the
    cosine is nan. Look-ahead rules evaluate the direct part, `d outer/d arch`, at the look-ahead
    weights. On networks with kinks (ReLU, max pooling) the exact rule and the finite difference
    need not agree, for any radius. Raises ValueError for fewer than two rules.
    """
    if len(rules) < 2:
        raise ValueError("A cosine is of two hypergradients: give at least two rules.")
    # Two copies of the architecture, one for each level, separate the two parts.
    separated = problem._replace(
        outer=lambda archs, weights: problem.outer(archs[0], weights),
        inner=lambda archs, weights: problem.inner(archs[1], weights),
    )
    parts = {name: rule.rule(separated)((arch, arch), weights)[1] for name, rule in rules.items()}
    total = {name: optax.tree.add(*levels) for name, levels in parts.items()}
    implicit = {name: levels[1] for name, levels in parts.items()}
    pairs = list(itertools.combinations(rules, 2))
    return HypergradientAgreement(
        {(a, b): cosine(total[a], total[b]) for a, b in pairs},
        {(a, b): cosine(implicit[a], implicit[b]) for a, b in pairs},
    )


def cosine(first: Arch, second: Arch) -> Scalar:
    """Cosine of the angle between two trees of numbers; nan where one of them is zero."""
    norms = optax.tree.norm(first) * optax.tree.norm(second)
    return jnp.where(norms == 0, jnp.nan, optax.tree.vdot(first, second) / norms)
