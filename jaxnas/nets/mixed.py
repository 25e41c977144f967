"""A cell whose candidates are all alive, lowered as one loop over its edges.

All edges of one stride share one body, so that XLA compiles each candidate once however many
edges there are: their weights are stacked, `[edges, ...]`, and the loop carries the values of the
nodes. Edges come ordered by source; candidates without weights give every edge of a source
the same value and are computed at its first edge only.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.nets.ops import Identity, Norm, OpFactory, Ops
from jaxnas.space import NONE
from jaxnas.types import Choice


class Plan(NamedTuple):
    """Which edges of a choice one loop covers, in the order it takes them (static)."""

    sources: tuple[int, ...]
    targets: tuple[int, ...]
    columns: tuple[tuple[str, tuple[int, ...]], ...]  # candidate -> its gate's column, -1: absent
    edges: tuple[int, ...]  # row of the gates


class Candidates(NamedTuple):
    """The modules of a loop (static), those with weights and those without."""

    own: tuple[tuple[str, nn.Module], ...]
    shared: tuple[tuple[str, nn.Module], ...]


def plan(choice: Choice, edges: tuple[int, ...]) -> Plan:
    """The loop over `edges` (rows of the choice), by source."""
    order = tuple(sorted(edges, key=lambda e: choice.edges[e]))
    names = dict.fromkeys(n for e in order for n in choice.candidates[e] if n != NONE)
    column = lambda e, n: choice.candidates[e].index(n) if n in choice.candidates[e] else -1
    return Plan(
        tuple(choice.edges[e][0] for e in order),
        tuple(choice.edges[e][1] for e in order),
        tuple((n, tuple(column(e, n) for e in order)) for n in names),
        order,
    )


class MixedEdges(nn.Module):
    """Adds to the nodes what the edges of one loop bring: `sum_o gate_o op_o(source)`.

    `read` holds the sources, `[nodes, B, H, W, C]`, or is None where the loop reads the nodes
    that it writes. DARTS, eq. 2, https://arxiv.org/abs/1806.09055
    """

    plan: Plan
    candidates: tuple[tuple[str, OpFactory], ...]
    features: int
    stride: int
    norm: Norm
    remat: bool

    @nn.compact
    def __call__(self, gates: jax.Array, nodes: jax.Array, read: jax.Array | None) -> jax.Array:
        # Modules without a parent: their weights are stacked, and they serve as static settings.
        make = dict(self.candidates)
        ops = [
            (name, make[name](self.features, self.stride, self.norm).clone(parent=None))
            for name, _ in self.plan.columns
        ]
        if self.is_initializing():
            self._create(ops, nodes if read is None else read)
            return nodes
        weights, stats = (self.variables.get(kind, {}) for kind in ("params", "stats"))
        # The identity costs nothing, so that sharing it would only keep copies.
        own = [name for name, op in ops if name in weights or isinstance(op, Identity)]
        candidates = Candidates(
            tuple((name, op) for name, op in ops if name in own),
            tuple((name, op) for name, op in ops if name not in own),
        )
        nodes, moved = _sweep(candidates, self.plan, self.remat, weights, stats, gates, nodes, read)
        if self.is_mutable_collection("stats"):
            for name, value in moved.items():
                self.put_variable("stats", name, value)
        return nodes

    def _create(self, ops: list[tuple[str, nn.Module]], sources: jax.Array) -> None:
        sample = jnp.zeros((1, *sources.shape[2:]), sources.dtype)
        columns = dict(self.plan.columns)
        for name, op in ops:
            count = sum(c >= 0 for c in columns[name])
            if "params" not in jax.eval_shape(op.init, jax.random.key(0), sample):
                count = len(set(self.plan.sources))
            keys = jax.random.split(self.make_rng("params"), count)
            for kind, tree in jax.vmap(op.init, (0, None))(keys, sample).items():
                self.put_variable(kind, name, tree)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _sweep(candidates: Candidates, plan: Plan, remat: bool, weights, stats, gates, nodes, read):
    """(nodes, statistics) after the loop. Jitted so that equal cells are traced once."""
    columns = {name: np.array(row) for name, row in plan.columns}
    present = {name: row >= 0 for name, row in columns.items()}
    rows = {name: np.maximum(np.cumsum(p) - 1, 0) for name, p in present.items()}
    first = np.array([s not in plan.sources[:i] for i, s in enumerate(plan.sources)])
    source_row = np.cumsum(first) - 1
    edges = np.array(plan.edges)
    # Stacks are in the order of the loop, one row for each edge that has the candidate.
    take = lambda tree, row: jax.tree.map(lambda leaf: leaf[row], tree)
    unless_all = lambda tree, row: tree if len(set(row)) == len(row) else take(tree, row)
    per_edge = {
        "source": np.array(plan.sources),
        "target": np.array(plan.targets),
        "first": first,
        "gates": {n: gates[edges, c] * present[n] for n, c in columns.items()},
        "present": {n: p for n, p in present.items() if not p.all()},
        "weights": {n: unless_all(weights.get(n, {}), rows[n]) for n, _ in candidates.own},
        "own": {n: unless_all(stats[n], rows[n]) for n, _ in candidates.own if n in stats},
        "shared": {n: take(stats[n], source_row) for n, _ in candidates.shared if n in stats},
    }
    checkpoint = functools.partial(jax.checkpoint, prevent_cse=False) if remat else lambda f: f

    @checkpoint
    def of_source(stats, x):
        return _apply_all(candidates.shared, {}, stats, x)

    @checkpoint
    def of_edge(weights, stats, gates, present, x):
        total, moved = 0.0, {}
        for name, op in candidates.own:
            run = functools.partial(_apply, op)
            arguments = (weights[name], stats.get(name, {}), x)
            if name in present:
                idle = functools.partial(_zeros_like_result, run)
                value, after = jax.lax.cond(present[name], run, idle, *arguments)
            else:
                value, after = run(*arguments)
            total += gates[name] * value
            moved |= {name: after} if after else {}
        return total, moved

    def step(carry, edge):
        nodes, shared = carry
        x = (nodes if read is None else read)[edge["source"]]
        if candidates.shared:
            shared = jax.lax.cond(edge["first"], of_source, lambda *_: shared, edge["shared"], x)
        y, moved = of_edge(edge["weights"], edge["own"], edge["gates"], edge["present"], x)
        for name, _ in candidates.shared:
            y += edge["gates"][name] * shared[0][name]
        return (nodes.at[edge["target"]].add(y), shared), (moved, shared[1])

    sample = (nodes if read is None else read)[0]
    blank = _zeros_like_result(of_source, take(per_edge["shared"], 0), sample)
    (nodes, _), (own, shared) = jax.lax.scan(step, (nodes, blank), per_edge)
    moved = {name: take(tree, present[name].nonzero()[0]) for name, tree in own.items()}
    return nodes, moved | {name: take(tree, first.nonzero()[0]) for name, tree in shared.items()}


def _zeros_like_result(function, *arguments):
    shapes = jax.eval_shape(function, *arguments)
    return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)


def _apply(op: nn.Module, weights, stats, x):
    variables = {"params": weights, "stats": stats}
    value, moved = op.apply(variables, x, mutable=["stats"])
    return value, moved.get("stats", {})


def _apply_all(ops, weights: Mapping, stats: Mapping, x):
    done = {name: _apply(op, weights.get(name, {}), stats.get(name, {}), x) for name, op in ops}
    values = {name: value for name, (value, _) in done.items()}
    return values, {name: moved for name, (_, moved) in done.items() if moved}


def known(names: Iterable[str], ops: Ops) -> tuple[tuple[str, OpFactory], ...]:
    """(name, factory) of every named candidate but `none`.

    Raises ValueError for a name without an op.
    """
    missing = [n for n in names if n != NONE and n not in ops]
    if missing:
        raise ValueError(
            f"No operation is called {missing[0]!r}: choose among {', '.join(sorted(ops))}, "
            "or add yours to `candidates`."
        )
    return tuple((n, ops[n]) for n in names if n != NONE)
