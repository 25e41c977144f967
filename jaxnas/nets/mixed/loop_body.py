"""What the loops over a cell's edges have in common: their modules, and what they scan."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.nets.mixed import edge_stacks, partial_channels

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


class LoopInputs(NamedTuple):
    """The scanned inputs of a loop, and numpy arrays that map rows to edges."""

    scanned: dict  # leaves `[edges, ...]`
    columns: dict[str, np.ndarray]  # i[edges] a candidate: its gate's column, -1: absent
    present: dict[str, np.ndarray]  # bool[edges] a candidate
    is_first: np.ndarray  # bool[edges]: the first one of its source


def loop_inputs(body: LoopBody, weights, stats) -> LoopInputs:
    """Stacks are in the order of the loop, one row for each edge that has the candidate; of
    candidates without weights one row for each source.
    """
    loop = body.loop
    columns = {name: np.array(row) for name, row in loop.columns}
    present = {name: row >= 0 for name, row in columns.items()}
    position = {name: np.maximum(np.cumsum(p) - 1, 0) for name, p in present.items()}
    is_first = np.array([s not in loop.sources[:i] for i, s in enumerate(loop.sources)])
    source_row = np.cumsum(is_first) - 1
    unless_all = lambda tree, row: tree if len(set(row)) == len(row) else rows(tree, row)
    scanned = {
        "source": np.array(loop.sources),
        "target": np.array(loop.targets),
        "first": is_first,
        "weights": {n: unless_all(weights.get(n, {}), position[n]) for n, _ in body.per_edge},
        "own_stats": {n: unless_all(stats[n], position[n]) for n, _ in body.per_edge if n in stats},
        "shared_stats": {n: rows(stats[n], source_row) for n, _ in body.per_source if n in stats},
    }
    return LoopInputs(scanned, columns, present, is_first)


def rows(tree, row):
    return jax.tree.map(lambda leaf: leaf[row], tree)


def add_to_row(nodes: jax.Array, row: jax.Array, y: jax.Array) -> jax.Array:
    """`nodes[row] += y`, with no test whether there is such a row."""
    return nodes.at[row].add(y, mode="promise_in_bounds")


def take_row(nodes: jax.Array, row: jax.Array) -> jax.Array:
    """`nodes[row]`, with no test whether there is such a row."""
    return nodes.at[row].get(mode="promise_in_bounds")


def values_of_source(body: LoopBody, stats, x: jax.Array):
    """({candidate without weights: its value}, their statistics) for the edges of a source."""
    seen, _ = partial_channels.split(x, body.mixture.partial)
    return apply_all(body.per_source, {}, stats, seen)


def zeros_like_result(function, *arguments):
    shapes = jax.eval_shape(function, *arguments)
    return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)


def apply(op: nn.Module, weights, stats, x):
    value, new = op.apply({"params": weights, "stats": stats}, x, mutable=["stats"])
    return value, new.get("stats", {})


def apply_all(ops, weights: Mapping, stats: Mapping, x):
    results = {name: apply(op, weights.get(name, {}), stats.get(name, {}), x) for name, op in ops}
    values = {name: value for name, (value, _) in results.items()}
    return values, {name: new for name, (_, new) in results.items() if new}
