"""A cell with all its candidates, lowered as one loop over its edges.

All edges of one stride share one loop body, so that XLA compiles each candidate once for any number
of edges: weights are stacked, `[edges, ...]`, and the loop carries the values of the nodes. Edges
are ordered by source; candidates without weights have the same value on every edge of a source and
are computed at its first edge only.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import CustomVJPPrimal, SymbolicZero

from jaxnas.core.types import NONE
from jaxnas.nets import count, edge_stacks
from jaxnas.nets.ops import Identity, Norm, OpFactory, Ops

Execute = Literal["all", "selected", "surrogate"]


class Mixture(NamedTuple):
    """How a supernet mixes the candidates of an edge (static).

    `partial` K: candidates are applied to the first K-th of the channels, the others bypass them
    (PC-DARTS). `execute`: every candidate; or only the one with the largest gate, as GDAS does,
    whose surrogate adds the gates of the others to every pixel so that they get a gradient, too
    (D-X-Y/AutoDL-Projects search_model_gdas.py). `remat`: recompute an edge in its backward pass.
    """

    partial: int = 1
    execute: Execute = "all"
    remat: bool = True


def check_mixture(mixture: Mixture, features: int) -> None:
    """Raises ValueError for an invalid mixture, or one that does not divide `features`."""
    if mixture.execute not in ("all", "selected", "surrogate"):
        raise ValueError(
            f"Candidates are executed 'all', 'selected' or 'surrogate', not {mixture.execute!r}."
        )
    if mixture.partial < 1 or features % mixture.partial:
        raise ValueError(
            f"A {mixture.partial}-th of {features} channels is no whole number of channels: "
            "choose `partial` among the divisors of `features`."
        )


class LoopBody(NamedTuple):
    """The modules of one step of a loop (static).

    `per_edge` are the modules with weights, and the identity; `per_source` those without, whose
    values the edges of a source share.
    """

    per_edge: tuple[tuple[str, nn.Module], ...]
    per_source: tuple[tuple[str, nn.Module], ...]
    loop: edge_stacks.EdgeLoop
    mixture: Mixture
    stride: int


class MixedEdges(nn.Module):
    """Adds the outputs of a loop's edges to the nodes: `sum_o gate_o op_o(source)`.

    The call takes (f32[edges, candidates] gates, nodes, sources), the latter two
    `[nodes, B, H, W, C]`; sources are None where the loop reads the nodes that it writes.
    DARTS, eq. 2, https://arxiv.org/abs/1806.09055. With partial channels an edge brings
    `shuffle([sum_o gate_o op_o(x_1), sum_o gate_o x_2])`, which is PC-DARTS's edge with `gate_o`
    for the product of its edge's and its candidate's weight (eqs. 2 and 4,
    https://arxiv.org/abs/1907.05737).
    """

    loop: edge_stacks.EdgeLoop
    candidates: tuple[tuple[str, OpFactory], ...]
    features: int
    stride: int
    norm: Norm
    mixture: Mixture

    @nn.compact
    def __call__(self, gates: jax.Array, nodes: jax.Array, sources: jax.Array | None) -> jax.Array:
        ops = self._ops()
        if self.is_initializing():
            self._create(ops, nodes if sources is None else sources)
            return nodes
        weights, stats = (self.variables.get(kind, {}) for kind in ("params", "stats"))
        # The identity costs nothing; sharing it would only store copies.
        is_per_edge = lambda name, op: name in weights or isinstance(op, Identity)
        body = LoopBody(
            tuple((name, op) for name, op in ops if is_per_edge(name, op)),
            tuple((name, op) for name, op in ops if not is_per_edge(name, op)),
            self.loop,
            self.mixture,
            self.stride,
        )
        mix = _mix_all if self.mixture.execute == "all" else _mix_selected
        nodes, new_stats = mix(body, weights, stats, gates, nodes, sources)
        if self.is_mutable_collection("stats"):
            for name, value in new_stats.items():
                self.put_variable("stats", name, value)
        return nodes

    @nn.nowrap
    def macs(self, gates: jax.Array, nodes: jax.Array, sources: jax.Array | None) -> int:
        """Multiply-accumulates for one image: of each candidate, on all edges that have it."""
        image = self._image(nodes if sources is None else sources)
        edges = {name: sum(c >= 0 for c in columns) for name, columns in self.loop.columns}
        return sum(edges[name] * count.module_macs(op, image) for name, op in self._ops())

    @nn.nowrap
    def _ops(self) -> list[tuple[str, nn.Module]]:
        """Modules without a parent: their weights are stacked, and they are static settings."""
        make, features = dict(self.candidates), self.features // self.mixture.partial
        return [
            (name, make[name](features, self.stride, self.norm).clone(parent=None))
            for name, _ in self.loop.columns
        ]

    @nn.nowrap
    def _image(self, sources: jax.Array) -> jax.ShapeDtypeStruct:
        """One input image of the candidates."""
        features = self.features // self.mixture.partial
        return jax.ShapeDtypeStruct((1, *sources.shape[2:-1], features), sources.dtype)

    def _create(self, ops: list[tuple[str, nn.Module]], sources: jax.Array) -> None:
        image = self._image(sources)
        sample = jnp.zeros(image.shape, image.dtype)
        columns = dict(self.loop.columns)
        for name, op in ops:
            rows = sum(c >= 0 for c in columns[name])
            if "params" not in jax.eval_shape(op.init, jax.random.key(0), sample):
                rows = len(set(self.loop.sources))
            keys = jax.random.split(self.make_rng("params"), rows)
            for kind, tree in jax.vmap(op.init, (0, None))(keys, sample).items():
                self.put_variable(kind, name, tree)


class LoopInputs(NamedTuple):
    """The scanned inputs of a loop, and numpy arrays that map rows to edges."""

    scanned: dict  # leaves `[edges, ...]`
    columns: dict[str, np.ndarray]  # i[edges] a candidate: its gate's column, -1: absent
    present: dict[str, np.ndarray]  # bool[edges] a candidate
    is_first: np.ndarray  # bool[edges]: the first one of its source


def _loop_inputs(body: LoopBody, weights, stats) -> LoopInputs:
    """Stacks are in the order of the loop, one row for each edge that has the candidate; of
    candidates without weights one row for each source.
    """
    loop = body.loop
    columns = {name: np.array(row) for name, row in loop.columns}
    present = {name: row >= 0 for name, row in columns.items()}
    rows = {name: np.maximum(np.cumsum(p) - 1, 0) for name, p in present.items()}
    is_first = np.array([s not in loop.sources[:i] for i, s in enumerate(loop.sources)])
    source_row = np.cumsum(is_first) - 1
    unless_all = lambda tree, row: tree if len(set(row)) == len(row) else _rows(tree, row)
    scanned = {
        "source": np.array(loop.sources),
        "target": np.array(loop.targets),
        "first": is_first,
        "weights": {n: unless_all(weights.get(n, {}), rows[n]) for n, _ in body.per_edge},
        "own_stats": {n: unless_all(stats[n], rows[n]) for n, _ in body.per_edge if n in stats},
        "shared_stats": {n: _rows(stats[n], source_row) for n, _ in body.per_source if n in stats},
    }
    return LoopInputs(scanned, columns, present, is_first)


def _rows(tree, row):
    return jax.tree.map(lambda leaf: leaf[row], tree)


@functools.partial(jax.jit, static_argnums=0)
def _mix_all(body: LoopBody, weights, stats, gates, nodes, sources):
    """(nodes, statistics) after the loop. Jitted so that equal cells are traced once."""
    scanned, columns, present, is_first = _loop_inputs(body, weights, stats)
    edges = np.array(body.loop.edges)
    learned = {
        "weights": scanned["weights"],
        "gates": {n: gates[edges, c] * present[n] for n, c in columns.items()},
        "total": gates[edges].sum(-1),
    }
    constant = {name: scanned[name] for name in ("own_stats", "shared_stats")}
    constant["present"] = {n: p for n, p in present.items() if not p.all()}
    import os

    run = _run_edges if body.mixture.remat else _scan_edges
    if os.environ.get("MERGE"):
        run = _by_source
    nodes, (per_edge, per_source) = run(body, learned, constant, nodes, sources)
    new_stats = {n: _rows(tree, present[n].nonzero()[0]) for n, tree in per_edge.items()}
    return nodes, new_stats | {
        n: _rows(tree, is_first.nonzero()[0]) for n, tree in per_source.items()
    }


def _of_source(body, stats, x):
    return _apply_all(body.per_source, {}, stats, _split(x, body.mixture.partial)[0])


def _of_edge(body, learned, constant, x, shared):
    x, passed = _split(x, body.mixture.partial)
    total, new_stats = 0.0, {}
    for name, op in body.per_edge:
        run = functools.partial(_apply, op)
        arguments = (learned["weights"][name], constant["own_stats"].get(name, {}), x)
        if name in constant["present"]:
            absent = functools.partial(_zeros_like_result, run)
            value, new = jax.lax.cond(constant["present"][name], run, absent, *arguments)
        else:
            value, new = run(*arguments)
        total += learned["gates"][name] * value
        new_stats |= {name: new} if new else {}
    for name, _ in body.per_source:
        total += learned["gates"][name] * shared[name]
    return _join(total, learned["total"], passed, body.stride), new_stats


def _edge_rows(body):
    sources = np.array(body.loop.sources)
    changes = sources[1:] != sources[:-1]
    return {
        "source": sources,
        "target": np.array(body.loop.targets),
        "first": np.append(True, changes),
        "last": np.append(changes, True),
    }


def _row(nodes, i):
    return nodes.at[i].get(mode="promise_in_bounds")


def _add(nodes, i, y):
    return nodes.at[i].add(y, mode="promise_in_bounds")


def _scan_edges(body, learned, constant, nodes, sources):
    of_source = functools.partial(_of_source, body)

    def step(carry, edge):
        nodes, shared = carry
        where, learned, constant = edge
        x = _row(nodes if sources is None else sources, where["source"])
        if body.per_source:
            old = lambda *_: shared
            shared = jax.lax.cond(where["first"], of_source, old, constant["shared_stats"], x)
        y, new = _of_edge(body, learned, constant, x, shared[0])
        return (_add(nodes, where["target"], y), shared), (new, shared[1])

    sample = (nodes if sources is None else sources)[0]
    blank = _zeros_like_result(of_source, _rows(constant["shared_stats"], 0), sample)
    scanned = (_edge_rows(body), learned, constant)
    (nodes, _), new_stats = jax.lax.scan(step, (nodes, blank), scanned)
    return nodes, new_stats


_run_edges = jax.custom_vjp(_scan_edges, nondiff_argnums=(0,))


def _forward(body, learned, constant, nodes, sources):
    is_primal = lambda leaf: isinstance(leaf, CustomVJPPrimal)
    values = lambda tree: jax.tree.map(lambda leaf: leaf.value, tree, is_leaf=is_primal)
    perturbed = lambda tree: any(
        leaf.perturbed for leaf in jax.tree.leaves(tree, is_leaf=is_primal)
    )
    needs = Static(tuple(k for k in learned if perturbed(learned[k])))
    learned, constant, nodes, sources = map(values, (learned, constant, nodes, sources))
    nodes, new_stats = _scan_edges(body, learned, constant, nodes, sources)
    return (nodes, new_stats), (needs, learned, constant, nodes, sources)


def _backward(body, kept, cotangents):
    needs, learned, constant, nodes, sources = kept
    g = cotangents[0]
    if isinstance(g, SymbolicZero):
        g = jnp.zeros(g.shape, g.dtype)
    values = nodes if sources is None else sources
    needed = lambda tree: {k: v for k, v in tree.items() if k in needs.value}
    of_source = lambda stats, x: _of_source(body, stats, x)[0]

    def step(carry, edge):
        g, g_sources, shared, g_shared = carry
        where, learned, constant = edge
        x = _row(values, where["source"])
        stats = constant["shared_stats"]
        if body.per_source:
            shared = jax.lax.cond(where["last"], of_source, lambda *_: shared, stats, x)
        run = lambda some, x, shared: _of_edge(body, learned | some, constant, x, shared)[0]
        back = jax.vjp(run, needed(learned), x, shared)[1]
        g_learned, g_x, more = back(_row(g, where["target"]))
        if body.per_source:
            add = lambda old, new: jnp.where(where["last"], new, old + new)
            g_shared = jax.tree.map(add, g_shared, more)
            add_shared = lambda g_x, g: g_x + jax.vjp(lambda x: of_source(stats, x), x)[1](g)[0]
            keep = lambda g_x, _: g_x
            g_x = jax.lax.cond(where["first"], add_shared, keep, g_x, g_shared)
        if sources is None:
            g = _add(g, where["source"], g_x)
        else:
            g_sources = _add(g_sources, where["source"], g_x)
        return (g, g_sources, shared, g_shared), g_learned

    blank = _zeros_like_result(of_source, _rows(constant["shared_stats"], 0), values[0])
    g_sources = None if sources is None else jnp.zeros_like(sources)
    carry, scanned = (g, g_sources, blank, blank), (_edge_rows(body), learned, constant)
    (g, g_sources, *_), g_learned = jax.lax.scan(step, carry, scanned, reverse=True)
    g_learned = {k: g_learned.get(k) for k in learned}
    return g_learned, None, g, g_sources


def _side(leaf):
    return jnp.moveaxis(leaf, 0, -2).reshape(*leaf.shape[1:-1], -1)


def _apart(leaf, count):
    return jnp.moveaxis(leaf.reshape(*leaf.shape[:-1], count, -1), -2, 0)


def _by_source(body, learned, constant, nodes, sources):
    loop = body.loop
    where = _edge_rows(body)
    starts, ends = where["first"].nonzero()[0], where["last"].nonzero()[0] + 1
    values = list(nodes)
    per_edge, per_source = [], []
    policy = lambda prim, *_, **__: prim.name in ("convolution", "pointwise")

    present = {n: np.array(row) >= 0 for n, row in loop.columns}

    def of_source(start, end, learned, constant, x):
        count = end - start
        shared = _of_source(body, jax.tree.map(lambda leaf: leaf[0], constant["shared_stats"]), x)
        ys, total, new = [0.0] * count, 0.0, {}
        for name, op in body.per_edge:
            on = present[name][start:end].nonzero()[0]
            gates = learned["gates"][name]
            if isinstance(op, Identity):
                for e in on:
                    ys[e] += gates[e] * x
                continue
            take = lambda tree: jax.tree.map(lambda leaf: _side(leaf[on]), tree)
            wide = op.clone(features=len(on) * op.features)
            y, moved = _apply(
                wide, take(learned["weights"][name]), take(constant["own_stats"].get(name, {})), x
            )
            new[name] = jax.tree.map(lambda leaf: _apart(leaf, count), moved)
            y = y * jnp.repeat(gates[on], op.features, total_repeat_length=y.shape[-1])
            total += y
        for name, _ in body.per_source:
            for e in present[name][start:end].nonzero()[0]:
                ys[e] += learned["gates"][name][e] * shared[0][name]
        c = total.shape[-1] // count
        ys = [y + total[..., e * c : (e + 1) * c] for e, y in enumerate(ys)]
        return ys, (new, shared[1])

    for start, end in zip(starts, ends, strict=True):
        source = loop.sources[start]
        x = values[source] if sources is None else sources[source]
        take = lambda tree: jax.tree.map(lambda leaf: leaf[start:end], tree)
        run = jax.checkpoint(
            functools.partial(of_source, start, end), prevent_cse=False, policy=policy
        )
        ys, (new, moved) = run(take(learned), take(constant), x)
        for target, y in zip(loop.targets[start:end], ys, strict=True):
            values[target] += y
        per_edge.append(new)
        per_source.append(jax.tree.map(lambda leaf: jnp.stack([leaf] * (end - start)), moved))
    join = lambda trees: jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *trees)
    return jnp.stack(values), (join(per_edge), join(per_source))


@jax.tree_util.register_static
class Static(NamedTuple):
    value: tuple


_run_edges.defvjp(_forward, _backward, symbolic_zeros=True)


@functools.partial(jax.jit, static_argnums=0)
def _mix_selected(body: LoopBody, weights, stats, gates, nodes, sources):
    """`_mix_all` that computes only the candidate with the largest gate of each edge."""
    scanned, columns, present, is_first = _loop_inputs(body, weights, stats)
    edges = np.array(body.loop.edges)
    ops = (*body.per_edge, *body.per_source)
    # The branch of each column: 0 is `none`.
    branch = np.zeros(gates[edges].shape, np.int32)
    for number, (name, _) in enumerate(ops, 1):
        branch[present[name], columns[name][present[name]]] = number
    scanned |= {"gates": gates[edges], "branch": branch}
    checkpoint = _checkpoint(body.mixture)

    def runner_of(name, op):
        @checkpoint
        def run(weights, stats, x):
            value, new = _apply(op, weights.get(name, {}), stats.get(name, {}), x)
            return value, stats | ({name: new} if new else {})

        return run

    runs = [runner_of(name, op) for name, op in ops]

    def step(carry, edge):
        nodes, shared = carry
        x = (nodes if sources is None else sources)[edge["source"]]
        x, passed = _split(x, body.mixture.partial)
        keep_or_new = lambda a, b: jnp.where(edge["first"], a, b)
        shared = jax.tree.map(keep_or_new, edge["shared_stats"], shared)
        before = edge["own_stats"] | edge["shared_stats"]
        shape = jax.eval_shape(runs[0], edge["weights"], before, x)[0]
        none = lambda weights, stats, x: (jnp.zeros(shape.shape, shape.dtype), stats)
        chosen = jnp.argmax(edge["gates"])
        number = edge["branch"][chosen]
        arguments = (edge["weights"], before, x)
        value, after = jax.lax.switch(number, [none, *runs], *arguments)
        gate = edge["gates"][chosen]
        y = gate * value
        if body.mixture.execute == "surrogate":
            y += edge["gates"].sum() - gate
        y = _join(y, edge["gates"].sum(), passed, body.stride)
        # A candidate without weights has the same statistics on every edge of its source.
        for index, (name, _) in enumerate(body.per_source, 1 + len(body.per_edge)):
            if name in shared:
                keep = lambda new, old, index=index: jnp.where(number == index, new, old)
                shared = shared | {name: jax.tree.map(keep, after[name], shared[name])}
        new_stats = {name: after[name] for name in edge["own_stats"]}
        return (nodes.at[edge["target"]].add(y), shared), (new_stats, shared)

    blank = _rows(scanned["shared_stats"], 0)
    (nodes, _), (per_edge, per_source) = jax.lax.scan(step, (nodes, blank), scanned)
    is_last = np.append(is_first[1:], True)
    new_stats = {n: _rows(tree, present[n].nonzero()[0]) for n, tree in per_edge.items()}
    return nodes, new_stats | {
        n: _rows(tree, is_last.nonzero()[0]) for n, tree in per_source.items()
    }


def _checkpoint(mixture: Mixture):
    """A decorator: recompute in the backward pass, if the mixture has `remat`."""
    if not mixture.remat:
        return lambda function: function
    return functools.partial(jax.checkpoint, prevent_cse=False)


def _split(x: jax.Array, partial: int) -> tuple[jax.Array, jax.Array | None]:
    """(the channels of the candidates, those that bypass them)."""
    if partial == 1:
        return x, None
    # Not two slices: the derivative of a split is a concatenation, that of a slice a slow pad.
    return tuple(jnp.split(x, [x.shape[-1] // partial], -1))


def _join(y: jax.Array, gate: jax.Array, passed: jax.Array | None, stride: int) -> jax.Array:
    """`[y, gate * passed]` with shuffled channels, so that the next cell's first ones are from all.

    If the candidates halve the size, a 2x2 max-pool halves the others.
    """
    if passed is None:
        return y
    if stride == 2:
        batch, height, width, channels = passed.shape
        odd = ((0, 0), (0, height % 2), (0, width % 2), (0, 0))
        passed = jnp.pad(passed, odd, mode="edge")
        passed = passed.reshape(batch, y.shape[1], 2, y.shape[2], 2, channels).max((2, 4))
    joined = jnp.concatenate([y, gate * passed], -1)
    group, channels = y.shape[-1], joined.shape[-1]
    grouped = joined.reshape(*joined.shape[:-1], channels // group, group)
    return jnp.swapaxes(grouped, -1, -2).reshape(joined.shape)


def _zeros_like_result(function, *arguments):
    shapes = jax.eval_shape(function, *arguments)
    return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)


def _apply(op: nn.Module, weights, stats, x):
    value, new = op.apply({"params": weights, "stats": stats}, x, mutable=["stats"])
    return value, new.get("stats", {})


def _apply_all(ops, weights: Mapping, stats: Mapping, x):
    results = {name: _apply(op, weights.get(name, {}), stats.get(name, {}), x) for name, op in ops}
    values = {name: value for name, (value, _) in results.items()}
    return values, {name: new for name, (_, new) in results.items() if new}


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
