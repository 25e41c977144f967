"""A loop over the edges of a cell that computes one candidate of each."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.nets.mixed import partial_channels
from jaxnas.nets.mixed.loop_body import (
    LoopBody,
    Mixture,
    add_to_row,
    apply,
    loop_inputs,
    rows,
    take_row,
)


@functools.partial(jax.jit, static_argnums=0)
def mix_selected(body: LoopBody, weights, stats, gates, nodes, sources):
    """`edge_loop.mix_all` that computes only the candidate with the largest gate of each edge."""
    scanned, columns, present, is_first = loop_inputs(body, weights, stats)
    edges = np.array(body.loop.edges)
    ops = (*body.per_edge, *body.per_source)
    # The branch of each column: 0 is `none`.
    branch = np.zeros(gates[edges].shape, np.int32)
    for number, (name, _) in enumerate(ops, 1):
        branch[present[name], columns[name][present[name]]] = number
    scanned |= {"gates": gates[edges], "branch": branch}
    recomputed = _checkpoint(body.mixture)

    def runner_of(name, op):
        @recomputed
        def run(weights, stats, x):
            value, new = apply(op, weights.get(name, {}), stats.get(name, {}), x)
            return value, stats | ({name: new} if new else {})

        return run

    runs = [runner_of(name, op) for name, op in ops]

    def step(carry, edge):
        nodes, shared = carry
        x = take_row(nodes if sources is None else sources, edge["source"])
        x, passed = partial_channels.split(x, body.mixture.partial)
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
        y = partial_channels.join(y, edge["gates"].sum(), passed, body.stride)
        # A candidate without weights has the same statistics on every edge of its source.
        for index, (name, _) in enumerate(body.per_source, 1 + len(body.per_edge)):
            if name in shared:
                keep = lambda new, old, index=index: jnp.where(number == index, new, old)
                shared = shared | {name: jax.tree.map(keep, after[name], shared[name])}
        new_stats = {name: after[name] for name in edge["own_stats"]}
        return (add_to_row(nodes, edge["target"], y), shared), (new_stats, shared)

    blank = rows(scanned["shared_stats"], 0)
    (nodes, _), (per_edge, per_source) = jax.lax.scan(step, (nodes, blank), scanned)
    is_last = np.append(is_first[1:], True)
    new_stats = {n: rows(tree, present[n].nonzero()[0]) for n, tree in per_edge.items()}
    return nodes, new_stats | {
        n: rows(tree, is_last.nonzero()[0]) for n, tree in per_source.items()
    }


def _checkpoint(mixture: Mixture):
    """A decorator: recompute in the backward pass, if the mixture has `remat`."""
    if not mixture.remat:
        return lambda function: function
    return functools.partial(jax.checkpoint, prevent_cse=False)
