"""The edges of a source in one pass: their convolutions as one, with kernels beside each other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.nets import ops
from jaxnas.nets.mixed.loop_body import LoopBody, apply, rows, values_of_source

# Values of a node from which on it pays: three quarters as long again to compile, for a seventh of
# a step.
LARGE = 2**16
# Each output channel of these has its own weights, so that one of n times the features is n of
# them; the outputs are the last axis of all their weights and statistics.
WIDENED = (ops.ReluConv, ops.ReluConvBN)
# What the backward pass does not recompute.
KEPT = ("convolution", "pointwise")


def is_faster(body: LoopBody, nodes: jax.Array) -> bool:
    """Whether `mix` can and should replace the loop over edges for nodes `[nodes, B, H, W, C]`."""
    fits = all(isinstance(op, (*WIDENED, ops.Identity)) for _, op in body.per_edge)
    return fits and body.mixture.partial == 1 and nodes[0].size >= LARGE


def mix(body: LoopBody, learned, constant, nodes, sources):
    """(nodes, statistics) after all edges; arguments as those of the loop."""
    loop, values = body.loop, list(nodes)
    new_stats = {name: [] for name, _ in (*body.per_edge, *body.per_source)}
    for source in dict.fromkeys(loop.sources):
        edges = np.array([i for i, s in enumerate(loop.sources) if s == source])
        run = functools.partial(_edges_of_source, body, tuple(edges.tolist()))
        if body.mixture.remat:
            policy = lambda primitive, *_, **__: primitive.name in KEPT
            run = jax.checkpoint(run, prevent_cse=False, policy=policy)
        x = values[source] if sources is None else sources[source]
        outputs, new = run(rows(learned, edges), rows(constant, edges), x)
        for edge, y in zip(edges, outputs, strict=True):
            values[loop.targets[edge]] += y
        for name, tree in new.items():
            new_stats[name].append(tree)
    join = lambda *leaves: jnp.concatenate(leaves)
    return jnp.stack(values), {n: jax.tree.map(join, *t) for n, t in new_stats.items() if t}


def _edges_of_source(body: LoopBody, edges: tuple[int, ...], learned, constant, x):
    """(what each edge adds to its target, {candidate: stacked statistics})."""
    shared, moved = values_of_source(body, rows(constant["shared_stats"], 0), x)
    new_stats = jax.tree.map(lambda leaf: leaf[None], moved)
    columns = {name: np.array(row)[list(edges)] for name, row in body.loop.columns}
    outputs = [0.0] * len(edges)
    for name, op in body.per_edge:
        own = (columns[name] >= 0).nonzero()[0]
        if isinstance(op, ops.Identity) or not len(own):
            shared = shared | {name: x}
            continue
        wide = op.clone(features=len(own) * op.features)
        trees = learned["weights"][name], constant["own_stats"].get(name, {})
        y, new = apply(wide, *(_widened(rows(tree, own)) for tree in trees), x)
        new_stats |= {name: _parted(new, len(own))} if new else {}
        y *= jnp.repeat(learned["gates"][name][own], op.features, total_repeat_length=y.shape[-1])
        for edge, part in zip(own, jnp.split(y, len(own), -1), strict=True):
            outputs[edge] += part
    for name, value in shared.items():
        for edge in (columns[name] >= 0).nonzero()[0]:
            outputs[edge] += learned["gates"][name][edge] * value
    return outputs, new_stats


def _widened(tree):
    """Leaves `[edges, ..., C]` as `[..., edges * C]`."""
    beside = lambda leaf: jnp.moveaxis(leaf, 0, -2).reshape(*leaf.shape[1:-1], -1)
    return jax.tree.map(beside, tree)


def _parted(tree, count: int):
    """Leaves `[..., count * C]` as `[count, ..., C]`."""
    part = lambda leaf: jnp.moveaxis(leaf.reshape(*leaf.shape[:-1], count, -1), -2, 0)
    return jax.tree.map(part, tree)
