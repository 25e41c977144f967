"""A cell whose candidates are all alive, lowered as one loop over its edges.

All edges of one stride share one body, so that XLA compiles each candidate once however many
edges there are: their weights are stacked, `[edges, ...]`, and the loop carries the values of the
nodes. Edges come ordered by source; candidates without weights give every edge of a source
the same value and are computed at its first edge only.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import NONE, Choice
from jaxnas.nets.ops import Identity, Norm, OpFactory, Ops

Execute = Literal["all", "selected", "surrogate"]


class Mixture(NamedTuple):
    """How a supernet mixes the candidates of an edge (static).

    `partial` K: candidates see the first K-th of the channels and the others pass by them
    (PC-DARTS). `execute`: every candidate; or the one with the largest gate alone, as GDAS does,
    whose surrogate adds the gates of the others to every pixel so that they too get a gradient
    (D-X-Y/AutoDL-Projects search_model_gdas.py). `remat`: recompute an edge in its backward pass.
    """

    partial: int = 1
    execute: Execute = "all"
    remat: bool = True


def check_mixture(mixture: Mixture, features: int) -> None:
    """Raises ValueError for a mixture that cannot be, of cells that begin with `features`."""
    if mixture.execute not in ("all", "selected", "surrogate"):
        raise ValueError(
            f"Candidates are executed 'all', 'selected' or 'surrogate', not {mixture.execute!r}."
        )
    if mixture.partial < 1 or features % mixture.partial:
        raise ValueError(
            f"A {mixture.partial}-th of {features} channels is no whole number of channels: "
            "choose `partial` among the divisors of `features`."
        )


class EdgeLoop(NamedTuple):
    """Which edges of a choice one loop covers, in the order it takes them (static)."""

    sources: tuple[int, ...]
    targets: tuple[int, ...]
    columns: tuple[tuple[str, tuple[int, ...]], ...]  # candidate -> its gate's column, -1: absent
    edges: tuple[int, ...]  # row of the gates


class Candidates(NamedTuple):
    """The modules of a loop (static), those with weights and those without."""

    own: tuple[tuple[str, nn.Module], ...]
    shared: tuple[tuple[str, nn.Module], ...]


def edge_loop(choice: Choice, edges: tuple[int, ...]) -> EdgeLoop:
    """The loop over `edges` (rows of the choice), by source."""
    order = tuple(sorted(edges, key=lambda e: choice.edges[e]))
    names = dict.fromkeys(n for e in order for n in choice.candidates[e] if n != NONE)
    column = lambda e, n: choice.candidates[e].index(n) if n in choice.candidates[e] else -1
    return EdgeLoop(
        tuple(choice.edges[e][0] for e in order),
        tuple(choice.edges[e][1] for e in order),
        tuple((n, tuple(column(e, n) for e in order)) for n in names),
        order,
    )


class MixedEdges(nn.Module):
    """Adds to the nodes what the edges of one loop bring: `sum_o gate_o op_o(source)`.

    `read` holds the sources, `[nodes, B, H, W, C]`, or is None where the loop reads the nodes
    that it writes. DARTS, eq. 2, https://arxiv.org/abs/1806.09055. With partial channels an edge
    brings `shuffle([sum_o gate_o op_o(x_1), sum_o gate_o x_2])`, which is PC-DARTS's edge with
    `gate_o` for the product of its edge's and its candidate's weight (eqs. 2 and 4,
    https://arxiv.org/abs/1907.05737).
    """

    plan: EdgeLoop
    candidates: tuple[tuple[str, OpFactory], ...]
    features: int
    stride: int
    norm: Norm
    mixture: Mixture

    @nn.compact
    def __call__(self, gates: jax.Array, nodes: jax.Array, read: jax.Array | None) -> jax.Array:
        # Modules without a parent: their weights are stacked, and they serve as static settings.
        make = dict(self.candidates)
        seen = self.features // self.mixture.partial
        ops = [
            (name, make[name](seen, self.stride, self.norm).clone(parent=None))
            for name, _ in self.plan.columns
        ]
        if self.is_initializing():
            self._create(ops, nodes if read is None else read, seen)
            return nodes
        weights, stats = (self.variables.get(kind, {}) for kind in ("params", "stats"))
        # The identity costs nothing, so that sharing it would only keep copies.
        own = [name for name, op in ops if name in weights or isinstance(op, Identity)]
        candidates = Candidates(
            tuple((name, op) for name, op in ops if name in own),
            tuple((name, op) for name, op in ops if name not in own),
        )
        sweep = _sweep if self.mixture.execute == "all" else _sweep_selected
        settings = (candidates, self.plan, self.mixture, self.stride)
        nodes, moved = sweep(*settings, weights, stats, gates, nodes, read)
        if self.is_mutable_collection("stats"):
            for name, value in moved.items():
                self.put_variable("stats", name, value)
        return nodes

    def _create(self, ops: list[tuple[str, nn.Module]], sources: jax.Array, seen: int) -> None:
        sample = jnp.zeros((1, *sources.shape[2:-1], seen), sources.dtype)
        columns = dict(self.plan.columns)
        for name, op in ops:
            count = sum(c >= 0 for c in columns[name])
            if "params" not in jax.eval_shape(op.init, jax.random.key(0), sample):
                count = len(set(self.plan.sources))
            keys = jax.random.split(self.make_rng("params"), count)
            for kind, tree in jax.vmap(op.init, (0, None))(keys, sample).items():
                self.put_variable(kind, name, tree)


def _rows(plan: EdgeLoop, own, shared, weights, stats):
    """What each step of the loop takes: its nodes, its gates' columns, its weights and statistics.

    Stacks are in the order of the loop, one row for each edge that has the candidate; of
    candidates without weights one row for each source.
    """
    columns = {name: np.array(row) for name, row in plan.columns}
    present = {name: row >= 0 for name, row in columns.items()}
    rows = {name: np.maximum(np.cumsum(p) - 1, 0) for name, p in present.items()}
    first = np.array([s not in plan.sources[:i] for i, s in enumerate(plan.sources)])
    source_row = np.cumsum(first) - 1
    unless_all = lambda tree, row: tree if len(set(row)) == len(row) else _take(tree, row)
    per_edge = {
        "source": np.array(plan.sources),
        "target": np.array(plan.targets),
        "first": first,
        "weights": {n: unless_all(weights.get(n, {}), rows[n]) for n, _ in own},
        "own": {n: unless_all(stats[n], rows[n]) for n, _ in own if n in stats},
        "shared": {n: _take(stats[n], source_row) for n, _ in shared if n in stats},
    }
    return per_edge, columns, present, first


def _take(tree, row):
    return jax.tree.map(lambda leaf: leaf[row], tree)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _sweep(
    candidates: Candidates,
    plan: EdgeLoop,
    mixture: Mixture,
    stride: int,
    weights,
    stats,
    gates,
    nodes,
    read,
):
    """(nodes, statistics) after the loop. Jitted so that equal cells are traced once."""
    per_edge, columns, present, first = _rows(plan, *candidates, weights, stats)
    edges = np.array(plan.edges)
    per_edge |= {
        "gates": {n: gates[edges, c] * present[n] for n, c in columns.items()},
        "present": {n: p for n, p in present.items() if not p.all()},
        "total": gates[edges].sum(-1),
    }
    split = functools.partial(_split, partial=mixture.partial)
    checkpoint = functools.partial(jax.checkpoint, prevent_cse=False)
    checkpoint = checkpoint if mixture.remat else lambda f: f

    @checkpoint
    def of_source(stats, x):
        return _apply_all(candidates.shared, {}, stats, split(x)[0])

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
        x, passed = split(x)
        y, moved = of_edge(edge["weights"], edge["own"], edge["gates"], edge["present"], x)
        for name, _ in candidates.shared:
            y += edge["gates"][name] * shared[0][name]
        y = _join(y, edge["total"], passed, stride)
        return (nodes.at[edge["target"]].add(y), shared), (moved, shared[1])

    sample = (nodes if read is None else read)[0]
    blank = _zeros_like_result(of_source, _take(per_edge["shared"], 0), sample)
    (nodes, _), (own, shared) = jax.lax.scan(step, (nodes, blank), per_edge)
    moved = {name: _take(tree, present[name].nonzero()[0]) for name, tree in own.items()}
    return nodes, moved | {name: _take(tree, first.nonzero()[0]) for name, tree in shared.items()}


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _sweep_selected(
    candidates: Candidates,
    plan: EdgeLoop,
    mixture: Mixture,
    stride: int,
    weights,
    stats,
    gates,
    nodes,
    read,
):
    """`_sweep` where of each edge's candidates only the one with the largest gate is computed."""
    per_edge, columns, present, first = _rows(plan, *candidates, weights, stats)
    edges = np.array(plan.edges)
    # The branch of each column: 0 is `none`.
    branch = np.zeros(gates[edges].shape, np.int32)
    for number, (name, _) in enumerate((*candidates.own, *candidates.shared), 1):
        branch[present[name], columns[name][present[name]]] = number
    per_edge |= {"gates": gates[edges], "branch": branch}
    checkpoint = functools.partial(jax.checkpoint, prevent_cse=False)
    checkpoint = checkpoint if mixture.remat else lambda f: f

    def of(name, op):
        @checkpoint
        def run(weights, stats, x):
            value, after = _apply(op, weights.get(name, {}), stats.get(name, {}), x)
            return value, stats | ({name: after} if after else {})

        return run

    runs = [of(name, op) for name, op in (*candidates.own, *candidates.shared)]

    def step(carry, edge):
        nodes, shared = carry
        x = (nodes if read is None else read)[edge["source"]]
        x, passed = _split(x, mixture.partial)
        shared = jax.tree.map(lambda a, b: jnp.where(edge["first"], a, b), edge["shared"], shared)
        before = edge["own"] | edge["shared"]
        shape = jax.eval_shape(runs[0], edge["weights"], before, x)[0]
        none = lambda weights, stats, x: (jnp.zeros(shape.shape, shape.dtype), stats)
        chosen = jnp.argmax(edge["gates"])
        number = edge["branch"][chosen]
        arguments = (edge["weights"], before, x)
        value, after = jax.lax.switch(number, [none, *runs], *arguments)
        gate = edge["gates"][chosen]
        y = gate * value
        if mixture.execute == "surrogate":
            y += edge["gates"].sum() - gate
        y = _join(y, edge["gates"].sum(), passed, stride)
        # A candidate without weights brings every edge of its source the same statistics.
        for index, (name, _) in enumerate(candidates.shared, 1 + len(candidates.own)):
            if name in shared:
                keep = lambda new, old, index=index: jnp.where(number == index, new, old)
                shared = shared | {name: jax.tree.map(keep, after[name], shared[name])}
        moved = {name: after[name] for name in edge["own"]}
        return (nodes.at[edge["target"]].add(y), shared), (moved, shared)

    (nodes, _), (own, shared) = jax.lax.scan(step, (nodes, _take(per_edge["shared"], 0)), per_edge)
    last = np.append(first[1:], True)
    moved = {name: _take(tree, present[name].nonzero()[0]) for name, tree in own.items()}
    return nodes, moved | {name: _take(tree, last.nonzero()[0]) for name, tree in shared.items()}


def _split(x: jax.Array, partial: int) -> tuple[jax.Array, jax.Array | None]:
    """The channels that the candidates see, and those that pass by them."""
    if partial == 1:
        return x, None
    seen = x.shape[-1] // partial
    return x[..., :seen], x[..., seen:]


def _join(y: jax.Array, gate: jax.Array, passed: jax.Array | None, stride: int) -> jax.Array:
    """`[y, gate * passed]` with its channels shuffled, so that the next cell's first ones are
    drawn from all. Where the candidates halve the size a 2x2 max-pool does it for the others.
    """
    if passed is None:
        return y
    if stride == 2:
        batch, height, width, channels = passed.shape
        odd = ((0, 0), (0, height % 2), (0, width % 2), (0, 0))
        passed = jnp.pad(passed, odd, mode="edge")
        passed = passed.reshape(batch, y.shape[1], 2, y.shape[2], 2, channels).max((2, 4))
    joined = jnp.concatenate([y, gate * passed], -1)
    seen, whole = y.shape[-1], joined.shape[-1]
    grouped = joined.reshape(*joined.shape[:-1], whole // seen, seen)
    return jnp.swapaxes(grouped, -1, -2).reshape(joined.shape)


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


def op_factories(names: Iterable[str], ops: Ops) -> tuple[tuple[str, OpFactory], ...]:
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
