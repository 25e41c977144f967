"""A loop over the edges of a cell, with a derivative that is a loop as well.

All edges of one stride share one loop body, so that XLA compiles each candidate once for any number
of edges: weights are stacked, `[edges, ...]`, and the loop carries the values of the nodes. Edges
are ordered by source; candidates without weights have the same value on every edge of a source and
are computed at its first edge only.

The derivative of a loop as JAX writes it keeps the nodes as they were before each edge. No edge
enters a node that an earlier one has left, so the nodes as they are at the end serve every edge:
ours keeps these alone, a third of the memory, and recomputes each edge.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import CustomVJPPrimal, SymbolicZero

from jaxnas.nets.mixed import edges_by_source, partial_channels
from jaxnas.nets.mixed.loop_body import (
    LoopBody,
    add_to_row,
    apply,
    loop_inputs,
    rows,
    take_row,
    values_of_source,
    zeros_like_result,
)


@functools.partial(jax.jit, static_argnums=0)
def mix_all(body: LoopBody, weights, stats, gates, nodes, sources):
    """(nodes, statistics) after all edges. Jitted so that equal cells are traced once."""
    scanned, columns, present, is_first = loop_inputs(body, weights, stats)
    edges = np.array(body.loop.edges)
    learned = {
        "weights": scanned["weights"],
        "gates": {n: gates[edges, c] * present[n] for n, c in columns.items()},
        "total": gates[edges].sum(-1),
    }
    constant = {name: scanned[name] for name in ("own_stats", "shared_stats")}
    if edges_by_source.is_faster(body, nodes):
        return edges_by_source.mix(body, learned, constant, nodes, sources)
    constant["present"] = {n: p for n, p in present.items() if not p.all()}
    loop = _loop if body.mixture.remat else _scan
    nodes, (per_edge, per_source) = loop(body, learned, constant, nodes, sources)
    return nodes, {
        **{n: rows(tree, present[n].nonzero()[0]) for n, tree in per_edge.items()},
        **{n: rows(tree, is_first.nonzero()[0]) for n, tree in per_source.items()},
    }


def _scan(body: LoopBody, learned, constant, nodes, sources):
    """(nodes, statistics of each edge) after the loop. `learned` has derivatives."""
    of_source = functools.partial(values_of_source, body)

    def step(carry, edge):
        nodes, shared = carry
        place, learned, constant = edge
        x = take_row(nodes if sources is None else sources, place["source"])
        if body.per_source:
            old = lambda *_: shared
            shared = jax.lax.cond(place["first"], of_source, old, constant["shared_stats"], x)
        y, new = _edge(body, learned, constant, x, shared[0])
        return (add_to_row(nodes, place["target"], y), shared), (new, shared[1])

    sample = (nodes if sources is None else sources)[0]
    blank = zeros_like_result(of_source, rows(constant["shared_stats"], 0), sample)
    scanned = (_places(body), learned, constant)
    (nodes, _), new_stats = jax.lax.scan(step, (nodes, blank), scanned)
    return nodes, new_stats


def _places(body: LoopBody) -> dict[str, np.ndarray]:
    """Where each edge leads, and whether it is its source's first or last one."""
    sources = np.array(body.loop.sources)
    changes = sources[1:] != sources[:-1]
    return {
        "source": sources,
        "target": np.array(body.loop.targets),
        "first": np.append(True, changes),
        "last": np.append(changes, True),
    }


def _edge(body: LoopBody, learned, constant, x, shared):
    """(what an edge adds to its target, its statistics)."""
    x, passed = partial_channels.split(x, body.mixture.partial)
    total, new_stats = 0.0, {}
    for name, op in body.per_edge:
        run = functools.partial(apply, op)
        arguments = (learned["weights"][name], constant["own_stats"].get(name, {}), x)
        if name in constant["present"]:
            absent = functools.partial(zeros_like_result, run)
            value, new = jax.lax.cond(constant["present"][name], run, absent, *arguments)
        else:
            value, new = run(*arguments)
        total += learned["gates"][name] * value
        new_stats |= {name: new} if new else {}
    for name, _ in body.per_source:
        total += learned["gates"][name] * shared[name]
    return partial_channels.join(total, learned["total"], passed, body.stride), new_stats


# Statistics, and which edges have a candidate, count as constant.
_loop = jax.custom_vjp(_scan, nondiff_argnums=(0,))


def _forward(body: LoopBody, learned, constant, nodes, sources):
    leaves = lambda tree: jax.tree.leaves(tree, is_leaf=_is_primal)
    varies = {name: any(x.perturbed for x in leaves(tree)) for name, tree in learned.items()}
    values = lambda tree: jax.tree.map(lambda x: x.value, tree, is_leaf=_is_primal)
    learned, constant, nodes, sources = map(values, (learned, constant, nodes, sources))
    nodes, new_stats = _scan(body, learned, constant, nodes, sources)
    # As the length of an array: JAX keeps one structure of the residuals for all derivatives of a
    # traced function, of gates alone and of weights.
    varies = {name: jnp.zeros(int(is_needed)) for name, is_needed in varies.items()}
    in_nodes = None if sources is not None else nodes
    return (nodes, new_stats), (varies, learned, constant, in_nodes, sources)


def _is_primal(leaf) -> bool:
    return isinstance(leaf, CustomVJPPrimal)


def _backward(body: LoopBody, residuals, cotangents):
    varies, learned, constant, nodes, sources = residuals
    d_nodes, _ = cotangents  # no loss depends on running statistics
    if isinstance(d_nodes, SymbolicZero):
        d_nodes = jnp.zeros(d_nodes.shape, d_nodes.dtype)
    values = nodes if sources is None else sources
    of_source = lambda stats, x: values_of_source(body, stats, x)[0]

    def step(carry, edge):
        d_nodes, d_sources, shared, d_shared = carry
        place, learned, constant = edge
        x, stats = take_row(values, place["source"]), constant["shared_stats"]
        if body.per_source:
            shared = jax.lax.cond(place["last"], of_source, lambda *_: shared, stats, x)
        run = lambda some, x, shared: _edge(body, learned | some, constant, x, shared)[0]
        some = {name: tree for name, tree in learned.items() if varies[name].size}
        pull = jax.vjp(run, some, x, shared)[1]
        d_learned, d_x, more = pull(take_row(d_nodes, place["target"]))
        if body.per_source:
            add = lambda total, new: jnp.where(place["last"], new, total + new)
            d_shared = jax.tree.map(add, d_shared, more)
            to_source = lambda d: jax.vjp(lambda x: of_source(stats, x), x)[1](d)[0]
            d_x = jax.lax.cond(
                place["first"], lambda d_x, d: d_x + to_source(d), lambda d_x, _: d_x, d_x, d_shared
            )
        if sources is None:
            d_nodes = add_to_row(d_nodes, place["source"], d_x)
        else:
            d_sources = add_to_row(d_sources, place["source"], d_x)
        return (d_nodes, d_sources, shared, d_shared), d_learned

    blank = zeros_like_result(of_source, rows(constant["shared_stats"], 0), values[0])
    d_sources = None if sources is None else jnp.zeros_like(sources)
    carry, scanned = (d_nodes, d_sources, blank, blank), (_places(body), learned, constant)
    (d_nodes, d_sources, *_), d_learned = jax.lax.scan(step, carry, scanned, reverse=True)
    return {name: d_learned.get(name) for name in learned}, None, d_nodes, d_sources


_loop.defvjp(_forward, _backward, symbolic_zeros=True)
