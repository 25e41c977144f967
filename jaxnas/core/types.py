"""The types of the engine: space, supernet, relaxation, term, hypergradient, search, cost.

Five trees share one set of keys, the choices of a space:

    space[k]     Choice(edges, candidates)   what may be chosen              (static)
    arch[k]      architecture parameters     trained
    gates[k]     f32[edges, candidates]      the weight of each candidate
    costs[k]     f32[edges, candidates]      milliseconds of each candidate
    genotype[k]  the edges that were chosen, each with an operation     (static)
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

Key: TypeAlias = jax.Array
Scalar: TypeAlias = jax.Array
# Trees of arrays.
Arch: TypeAlias = Any
Weights: TypeAlias = Any
Stats: TypeAlias = Any
Memory: TypeAlias = Any
# f32[edges, candidates] by choice, of JAX or, on the host, of NumPy.
Gates: TypeAlias = Mapping[str, Any]

# The candidate that gives zero: it has a gate and is computed nowhere.
NONE = "none"
# The candidate that DARTS- adds and never selects.
AUXILIARY_SKIP = "auxiliary_skip"


class Choice(NamedTuple):
    """The candidates of each edge of a cell, a rectangle of names.

    Every edge lists its own candidates (RobustDARTS S1 differs from edge to edge); all
    edges list equally many, so that gates are one array `f32[edges, candidates]`.
    """

    edges: tuple[tuple[int, int], ...]  # (source, target) nodes
    candidates: tuple[tuple[str, ...], ...]  # one tuple of names an edge

    @property
    def shape(self) -> tuple[int, int]:
        """(edges, candidates): the shape of this choice's gates."""
        return len(self.edges), len(self.candidates[0])


Space = Mapping[str, Choice]


class Batch(NamedTuple):
    """Images, normalised and augmented, with their labels."""

    inputs: jax.Array  # f32[B, H, W, C]
    labels: jax.Array  # i32[B]


class Supernet(NamedTuple):
    """The functions of a network that has all candidates, weighted by gates.

    `apply` normalises by the statistics of the batch and returns the updated running statistics;
    `infer` normalises by the running statistics.
    """

    space: Space
    init: Callable[[Key, jax.Array], tuple[Weights, Stats]]
    apply: Callable[[Weights, Stats, Gates, jax.Array], tuple[jax.Array, Stats]]
    infer: Callable[[Weights, Stats, Gates, jax.Array], jax.Array]


class Network(NamedTuple):
    """The functions of the network of a genotype.

    `apply(weights, stats, inputs, key, drop_path)` trains: batch statistics, paths dropped
    with probability `drop_path` (a traced scalar); it returns
    `((logits, auxiliary logits or None), stats)`. `infer(weights, stats, inputs)` gives
    the logits by running statistics.
    """

    init: Callable[[Key, jax.Array], tuple[Weights, Stats]]
    apply: Callable[..., tuple[tuple[jax.Array, jax.Array | None], Stats]]
    infer: Callable[[Weights, Stats, jax.Array], jax.Array]


class Relaxation(NamedTuple):
    """arch -> gates. `gates(arch, weights, *, key, step)` are those that a step computes with.

    `expected(arch, weights, *, step)` are those that are evaluated and discretised: where the
    gates of a step are samples, their means or probabilities. See `relax.deterministic` for gates
    that are both.
    """

    init: Callable[[Key, Space], Arch]
    gates: Callable[..., Gates]
    expected: Callable[..., Gates]


class Forward(NamedTuple):
    """A pass through the supernet: the input of terms."""

    batch: Batch
    logits: jax.Array  # f32[B, classes]
    gates: Gates
    stats: Stats  # before the pass
    step: Scalar
    arch: Arch = ()  # of the gates
    weights: Weights = ()  # of the pass; gates may depend on them too


class Term(NamedTuple):
    """A summand of an objective, with its memory."""

    init: Callable[[Arch, Weights], Memory]
    value: Callable[[Memory, Forward], Scalar]
    update: Callable[[Memory, Arch, Weights, Scalar], Memory]


class Problem(NamedTuple):
    """One step of a bilevel problem, closed over its two batches."""

    outer: Callable[[Arch, Weights], tuple[Scalar, Any]]  # validation loss, aux
    inner: Callable[[Arch, Weights], tuple[Scalar, Any]]  # training loss, aux
    descend: Callable[[Weights, Weights], Weights]  # (gradient, weights) -> next weights
    step: Scalar | int = 0  # i32[]


# (outer loss, aux), d outer / d arch: as `jax.value_and_grad(outer, has_aux=True)` gives.
OuterGradient = tuple[tuple[Scalar, Any], Arch]


class Hypergradient(NamedTuple):
    """A rule for d outer / d arch, and when it is applied.

    At a step that is not active neither the rule nor the architecture's optimiser runs.
    """

    rule: Callable[[Problem], Callable[[Arch, Weights], OuterGradient]]
    active: Callable[[Scalar], jax.Array] | None = None  # None: at every step
    weights_first: bool = False  # whether a step updates the weights before the architecture


class SearchState(NamedTuple):
    """The whole state of a search: one pytree, one checkpoint."""

    step: Scalar  # i32[]
    key: Key  # fixed: keys come by fold_in(key, step)
    arch: Arch
    weights: Weights
    stats: Stats
    arch_opt: Any  # optax.OptState
    weight_opt: Any
    memory: Memory


class Search(NamedTuple):
    """A method, as optax has optimisers: `update(state, train, valid)` is one step."""

    init: Callable[[Key, jax.Array], SearchState]
    update: Callable[[SearchState, Batch, Batch], tuple[SearchState, dict[str, Scalar]]]
    gates: Callable[[SearchState], Gates]


class CostModel(NamedTuple):
    """A cost of a space's networks: latency, MACs, parameters, energy, memory."""

    quantity: str  # "ms", "macs", "parameters", or another name
    of_genomes: Callable[[np.ndarray], np.ndarray]  # i[N, positions] -> f64[N]
    of_gates: Callable[[Gates], Scalar]  # expected cost of gates; differentiable
    bounds: tuple[float, float]  # cost of the space's cheapest and most expensive network
    margin: float = 0.0  # half of the 90 % interval, relative
    unit: str = ""  # of the quantity in messages; empty: it is counted
    # i[N, positions] -> (f64[N], f64[N]), the ends of the 90 % interval; None: counted
    interval: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None


class FixedWeight(NamedTuple):
    """A published form of a term, and its constant weight."""

    form: str  # of core.objectives.constraints.ADDED, MULTIPLIED or REWARDED
    weight: float


class Constraint(NamedTuple):
    """An upper limit of a cost. `risk`: the margin below it, in half-widths of the interval."""

    cost: CostModel
    limit: float
    risk: float = 0.0
    form: FixedWeight | None = None  # of its term in a search; None: a multiplier adapts

    @property
    def aim(self) -> float:
        """The limit of predicted costs, below `limit` by the margin of `risk`."""
        return self.limit / (1 + self.risk * self.cost.margin)


Constraints = Sequence[Constraint]
