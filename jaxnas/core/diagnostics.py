"""Diagnostics of a search: curvature, gates, discretisation, agreement of hypergradients.

All losses are the mean cross-entropy of a batch, in nats, by the batch's own statistics and at
the expected gates, which `search.gates` gives. Functions are pure;
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
        """Supernet minus discrete: what discretisation loses."""
        return self.supernet - self.discrete


class HypergradientAgreement(NamedTuple):
    """Cosines between hypergradients, by pair of rules."""

    total: Mapping[tuple[str, str], Scalar]
    implicit: Mapping[tuple[str, str], Scalar]  # the part by way of the weights


def loss(net: Supernet, search: Search, state: SearchState) -> Callable[..., Scalar]:
    """`(arch, weights, batch) -> f[]`, all else as in the state."""

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

    Dominant means the largest, as R-DARTS takes it, not the largest in size.
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
    """Mean entropy of an edge's gates, in nats; log(candidates) where all are equally open."""
    rows = [jnp.reshape(-jax.scipy.special.xlogy(g, g).sum(-1), -1) for g in gates.values()]
    return jnp.concatenate(rows).mean()


def discretisation_gap(
    net: Supernet, search: Search, state: SearchState, discrete: Gates, batches: Batch
) -> Accuracies:
    """Accuracy of the supernet at its own gates and at those of a genotype, nothing retrained.

    Both by the statistics of each batch. `discrete` are the gates that open a genotype alone:
    `Genome.one_hot`.
    """

    def accuracy(gates: Gates) -> Scalar:
        def one(batch: Batch) -> Scalar:
            logits, _ = net.apply(state.weights, state.stats, gates, batch.inputs)
            return metrics.accuracy(logits, batch.labels)

        return jax.lax.map(one, batches).mean()

    return Accuracies(accuracy(search.gates(state)), accuracy(discrete))


def problem(
    net: Supernet, search: Search, state: SearchState, train: Batch, valid: Batch, rate: Scalar
) -> Problem:
    """The bilevel problem of two batches (no leading axis); its look-ahead is plain descent.

    Momentum and decay, which are constant in the architecture, are left out, so that the problem
    depends on the run's weights and not on its optimiser.
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

    The implicit part is that by way of the weights; rules without one, as first order, have nan
    there. Rules that look ahead take the other part, `d outer/d arch`, at the weights they look
    ahead to. On networks with kinks (ReLU, max pooling) the exact rule and the finite difference
    need not agree, however small the radius. Raises ValueError for fewer than two rules.
    """
    if len(rules) < 2:
        raise ValueError("A cosine is of two hypergradients: give at least two rules.")
    # Two copies of the architecture, one for each level, separate the two parts.
    separated = problem._replace(
        outer=lambda archs, weights: problem.outer(archs[0], weights),
        inner=lambda archs, weights: problem.inner(archs[1], weights),
    )
    parts = {n: rule.rule(separated)((arch, arch), weights)[1] for n, rule in rules.items()}
    total = {name: optax.tree.add(*both) for name, both in parts.items()}
    implicit = {name: both[1] for name, both in parts.items()}
    pairs = list(itertools.combinations(rules, 2))
    return HypergradientAgreement(
        {(a, b): cosine(total[a], total[b]) for a, b in pairs},
        {(a, b): cosine(implicit[a], implicit[b]) for a, b in pairs},
    )


def cosine(one: Arch, other: Arch) -> Scalar:
    """Cosine of the angle between two trees of numbers; nan where one of them is zero."""
    norms = optax.tree.norm(one) * optax.tree.norm(other)
    return jnp.where(norms == 0, jnp.nan, optax.tree.vdot(one, other) / norms)
