"""Features of cell spaces: counts of the executed graph, one-hot edges, pairs of edges."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from jaxnas.core.types import Choice, Space
from jaxnas.hardware.predict.features import graph_counts
from jaxnas.spaces import genome, op_names
from jaxnas.spaces.dataflow import CellGraph

Array = Any  # of numpy or of jax.numpy
MAX_PAIR_FEATURES = 2_000  # of a choice: with more, pairs of edges are left out
LONGEST_PATH = "way"  # name of the group: length of the longest path under fitted durations
COUNTS = (*graph_counts.FAMILIES, "shared", "path")
OCCURS = "occurs"  # name of the group: whether an operation is there at all, live and as written
BESIDE = "beside"  # name of the group: live counts beside an operation that is there
EXECUTED = "executed"  # name of the group: counts of the live graph and of shares of dead branches
OWN_UNITS = (*COUNTS, LONGEST_PATH, EXECUTED, OCCURS, BESIDE)  # scaled feature by feature
PathDurations = Mapping[str, Mapping[str, float]]  # group -> durations of its steps
DeadShares = Mapping[str, Sequence[float]]  # group -> executed shares of graph_counts.DEAD
MAX_ORDERS = 24  # node numberings: with more, isomorphic cells may have different edge features


def features(
    space: Space,
    codes: Array,
    xp: ModuleType = np,
    durations: PathDurations | None = None,
    dead_shares: DeadShares | None = None,
) -> dict[str, Array]:
    """Groups of features of networks i[N, positions], f[N, F] each, not centred.

    Groups of `graph_counts.counts`, per choice and summed over choices that share a vocabulary;
    one for each name of `dead_shares`: counts of the live graph and of these shares of dead
    branches; `occurs`: whether an operation is there at all; `edge`: one-hot candidates of the
    edges; `pair`: products of two of them. Cells that differ only in the numbering of their nodes
    have equal features.
    """
    groups: dict[str, list[Array]] = {}
    for name, value in _choices(space, codes, xp, durations or {}):
        groups.setdefault(name, []).append(value)
    for name, shares in (dead_shares or {}).items():
        groups[name] = [
            live + sum(share * counts for share, counts in zip(shares, dead, strict=True))
            for live, *dead in zip(groups["live"], *graph_counts.dead(groups), strict=True)
        ]
    groups[OCCURS] = [
        (xp.concatenate(counts, 1) > 0).astype(np.float32)
        for counts in zip(groups["live"], groups["raw"], strict=True)
    ]
    groups[BESIDE] = [_beside(counts, xp) for counts in groups["live"]]
    named_features = {name: xp.concatenate(parts, 1) for name, parts in groups.items()}
    if len(space) > 1 and len({c.candidates[0] for c in space.values()}) == 1:
        fitted = (*(durations or {}), *(dead_shares or {}))
        tied = {name: sum(groups[name]) for name in (*COUNTS, *fitted)}
        named_features |= {f"{name} in all": value for name, value in tied.items()}
    return named_features


def _beside(counts: Array, xp: ModuleType) -> Array:
    """The counts where an operation is there, one after the other for every operation."""
    there = (counts > 0).astype(np.float32)
    return xp.concatenate([there[:, i : i + 1] * counts for i in range(counts.shape[1])], 1)


def split(space: Space, codes: Array) -> list[Array]:
    """Splits genomes i[N, positions] into the codes of each choice, i[N, edges]."""
    stops = np.cumsum([len(choice.edges) for choice in space.values()])
    return [
        codes[:, stop - len(c.edges) : stop] for c, stop in zip(space.values(), stops, strict=True)
    ]


def _choices(
    space: Space, codes: Array, xp: ModuleType, durations: PathDurations
) -> Iterator[tuple[str, Array]]:
    """(group, features) of every choice.

    Equal choices are computed as one batch, since each computation takes seconds to compile.
    """
    parts = split(space, codes)
    indices_of: dict[Choice, list[int]] = {}
    for i, choice in enumerate(space.values()):
        indices_of.setdefault(choice, []).append(i)
    by_index = {}
    for choice, indices in indices_of.items():
        values = _choice(choice, xp.concatenate([parts[i] for i in indices]), xp, durations)
        for n, i in enumerate(indices):
            rows = slice(n * len(codes), (n + 1) * len(codes))
            by_index[i] = {name: value[rows] for name, value in values.items()}
    for i in range(len(parts)):
        yield from by_index[i].items()


def _choice(
    choice: Choice, codes: Array, xp: ModuleType, durations: PathDurations
) -> dict[str, Array]:
    tables = graph_counts.tables(choice)
    groups = graph_counts.counts(tables, codes, xp, durations)
    orders = _orders(choice, tables.graph)
    present = graph_counts.look_up(tables.kinds, codes, xp) != op_names.ABSENT
    edges = pairs = total_weight = 0
    has_pairs = (
        len(choice.edges) * (len(choice.edges) - 1) // 2 * choice.shape[1] ** 2 <= MAX_PAIR_FEATURES
    )
    for order in orders:
        renumbered, is_forward = _renumbered(choice, codes, present, order, xp)
        one_hot = (renumbered[:, :, None] == np.arange(choice.shape[1])).astype(np.float32)
        weights = is_forward.astype(np.float32)[:, None]
        edges = edges + weights * one_hot.reshape(len(codes), choice.shape[0] * choice.shape[1])
        if has_pairs:
            pairs = pairs + weights * _pairs(one_hot - 1 / choice.shape[1], xp)
        total_weight = total_weight + weights
    groups["edge"] = edges / total_weight
    if has_pairs and len(choice.edges) > 1:
        groups["pair"] = pairs / total_weight
    return groups


def _orders(choice: Choice, graph: CellGraph) -> list[tuple[int, ...]]:
    """All numberings of the nodes that keep the inputs and a single output in place."""
    last = graph.outputs if len(graph.outputs) == 1 else ()
    free = [v for v in range(graph.nodes) if v not in (*graph.inputs, *last)]
    uniform = len(set(choice.candidates)) == 1
    orders = list(itertools.islice(itertools.permutations(free), MAX_ORDERS + 1))
    if not uniform or len(orders) > MAX_ORDERS:
        orders = [tuple(free)]
    return [_numbering(graph.nodes, dict(zip(free, order, strict=True))) for order in orders]


def _numbering(nodes: int, new_numbers: dict[int, int]) -> tuple[int, ...]:
    return tuple(new_numbers.get(v, v) for v in range(nodes))


def _renumbered(choice, codes, present, order, xp) -> tuple[Array, Array]:
    """(codes after renumbering the nodes, whether all edges still point forward)."""
    index = {edge: e for e, edge in enumerate(choice.edges)}
    absent = [
        next((o for o, n in enumerate(row) if op_names.kind(n) == op_names.ABSENT), -1)
        for row in choice.candidates
    ]
    columns = [xp.full(len(codes), absent[e], codes.dtype) for e in range(len(choice.edges))]
    is_forward = xp.ones(len(codes), bool)
    for e, (source, target) in enumerate(choice.edges):
        new_edge = index.get((order[source], order[target]))
        if new_edge is None:
            is_forward = is_forward & ~present[:, e]
        else:
            columns[new_edge] = codes[:, e]
    return xp.stack(columns, 1), is_forward


def _pairs(one_hot: Array, xp: ModuleType) -> Array:
    edge_pairs = list(_edge_pairs(one_hot.shape[1]))
    if not edge_pairs:
        return xp.zeros((len(one_hot), 0), np.float32)
    first, second = (one_hot[:, [pair[i] for pair in edge_pairs]] for i in range(2))
    return (first[:, :, :, None] * second[:, :, None, :]).reshape(len(one_hot), -1)


def _edge_pairs(edges: int) -> Iterator[tuple[int, int]]:
    return itertools.combinations(range(edges), 2)


def reference_networks(space: Space) -> np.ndarray:
    """Networks i[N, positions] whose features define the centring and scaling."""
    if genome.is_enumerable(space) and np.prod(genome.cardinalities(space)) <= 20_000:
        return np.concatenate(list(genome.enumerate_all(space)))
    return genome.sample_uniform(space, 4096)
