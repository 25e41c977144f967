"""The graph that a runtime executes of a cell: what is left after folding, pruning and sharing.

Four runtimes are counted at once (facts of the passes: docs/latency.md): `raw`, every edge that is
written; `forward`, what something reaches; `backward`, what reaches the output; `live`, both.
In the live graph, equal values are computed once: values are numbered by hashes, so that a sum
of one summand and the identity are their input, and the order of summands does not matter.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from jaxnas.core.types import Choice
from jaxnas.spaces import dataflow, op_names
from jaxnas.spaces.dataflow import CellGraph

FAMILIES = ("raw", "forward", "backward", "live")
SUMMAND = "+"  # in durations: a further summand of a node
Array = Any  # of numpy or of jax.numpy


class CellTables(NamedTuple):
    """A choice as tables that a code looks up; the last column is code -1, no edge at all."""

    graph: CellGraph
    vocabulary: tuple[str, ...]  # the names of all edges but those that are nothing
    kinds: np.ndarray  # i32[edges, candidates + 1]
    words: np.ndarray  # i32[edges, candidates + 1], index into `vocabulary`, -1: none
    lengths: np.ndarray  # f32[edges, candidates + 1, weighings] of a step on a path


def tables(choice: Choice) -> CellTables:
    """The tables of a choice."""
    live = lambda name: op_names.kind(name) != op_names.ABSENT
    vocabulary = tuple(dict.fromkeys(n for row in choice.candidates for n in row if live(n)))
    kinds = [[op_names.kind(n) for n in row] + [op_names.ABSENT] for row in choice.candidates]
    words = [
        [vocabulary.index(n) if live(n) else -1 for n in row] + [-1] for row in choice.candidates
    ]
    steps = [[lengths(n) for n in row] + [lengths("none")] for row in choice.candidates]
    arrays = np.array(kinds, np.int32), np.array(words, np.int32), np.array(steps, np.float32)
    return CellTables(dataflow.of_choice(choice), vocabulary, *arrays)


def counts(
    cell: CellTables,
    codes: Array,
    xp: ModuleType = np,
    ways: Mapping[str, Mapping[str, float]] | None = None,
) -> dict[str, Array]:
    """Counts of what is executed, f32[N, ...] each, of codes i[N, edges].

    `raw`, `forward`, `backward`, `live`: how often each word of the vocabulary stands, and the
    additions. `shared`: in the live graph, different pools, different inputs of weights (their
    rectifiers) and different sums. `path`: the longest path, steps weighed in several ways; and
    by each name of `ways`, weighed by its durations of words and of a further SUMMAND.
    """
    pick = lambda table: picked(table, codes, xp)
    kinds, words = pick(cell.kinds), pick(cell.words)
    masks = executed(cell, codes, xp)
    found = {name: _family(cell, mask, words, xp) for name, mask in masks.items()}
    found["shared"] = _shared(cell, masks["live"], kinds, words, xp)
    every = list((ways or {}).values())
    steps = [[way[word] for way in every] for word in cell.vocabulary] + [[0.0] * len(every)]
    weighings = cell.lengths.shape[2]
    further = np.array([0.0] * weighings + [way[SUMMAND] for way in every], np.float32)
    taken = [pick(cell.lengths), xp.asarray(np.array(steps, np.float32))[words]]
    lengths_taken = xp.concatenate(taken, 2)
    distances = dataflow.longest_path(cell.graph, masks["live"], lengths_taken, further, xp)
    far = xp.stack([distances[node] for node in cell.graph.outputs]).max(0)
    found["path"] = far[:, :weighings]
    for i, name in enumerate(ways or {}, weighings):
        found[name] = far[:, i : i + 1]
    return found


def picked(table: np.ndarray, codes: Array, xp: ModuleType = np) -> Array:
    """Rows of a table [edges, candidates + 1, ...] of a Cell by the codes i[N, edges]."""
    return xp.stack([xp.asarray(table)[e][codes[:, e]] for e in range(len(table))], 1)


def executed(cell: CellTables, codes: Array, xp: ModuleType = np) -> dict[str, Array]:
    """Which edges each of FAMILIES executes, bool[N, edges] each, of codes i[N, edges]."""
    written = picked(cell.kinds, codes, xp) != op_names.ABSENT
    reached = dataflow.reached(cell.graph, written, xp)
    reaching = dataflow.reaching(cell.graph, written, xp)
    return {
        "raw": written,
        "forward": written & reached,
        "backward": written & reaching,
        "live": written & reached & reaching,
    }


def lengths(name: str) -> tuple[float, ...]:
    """How long a step is in each weighing: learned ones, free ones, both, by area, by side."""
    kind, size = op_names.kind(name), op_names.numbers(name).get("k", 1.0)
    learned, free = kind == op_names.LEARNED, kind == op_names.FREE
    return (learned, free, learned or free, learned * size**2, (learned or free) * size)


def _family(cell: CellTables, mask: Array, words: Array, xp: ModuleType) -> Array:
    each = [(mask & (words == w)).sum(1) for w in range(len(cell.vocabulary))]
    return xp.stack([*each, _additions(cell, mask, xp)], 1).astype(np.float32)


def _additions(cell: CellTables, mask: Array, xp: ModuleType) -> Array:
    return sum(xp.maximum(n - 1, 0) for n in dataflow.summands(cell.graph, mask))


def _shared(cell: CellTables, live: Array, kinds: Array, words: Array, xp: ModuleType) -> Array:
    values = [xp.zeros(len(live), np.uint32)] * cell.graph.nodes
    for i, node in enumerate(cell.graph.inputs):
        values[node] = xp.full(len(live), 0x9E3779B9 * (i + 1) % 2**32, np.uint32)
    sources, made = [], []
    for e, (source, target) in enumerate(cell.graph.edges):
        value, kind = values[source], kinds[:, e]
        free = _mixed(value + (words[:, e] + 101).astype(np.uint32))
        # Weights are an edge's own, so that no two such values are equal.
        learned = _mixed(value * np.uint32(31) + np.uint32(100_003 + 17 * e))
        made_here = xp.where(kind == op_names.FREE, free, learned)
        made_here = xp.where(kind == op_names.PASS, value, made_here)
        made_here = xp.where(live[:, e], made_here, xp.zeros_like(value))
        values[target] = values[target] + made_here
        sources.append(value)
        made.append(made_here)
    pools = _different(xp.stack(made, 1), live & (kinds == op_names.FREE))
    rectified = _different(xp.stack(sources, 1), live & (kinds == op_names.LEARNED))
    several = xp.stack([n > 1 for n in dataflow.summands(cell.graph, live)], 1)
    sums = _different(xp.stack(values, 1), several)
    return xp.stack([pools, rectified, sums], 1).astype(np.float32)


def _mixed(x: Array) -> Array:
    """A hash of 32 bits (the constants of Wellons' lowbias32)."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def _different(values: Array, mask: Array) -> Array:
    """How many different values stand under the mask, i[N]."""
    total = 0
    for i in range(values.shape[1]):
        new = mask[:, i]
        for j in range(i):
            new = new & ~(mask[:, j] & (values[:, j] == values[:, i]))
        total = total + new
    return total + np.int32(0)
