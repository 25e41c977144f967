"""Operation counts of a cell's executed graph: after folding, dead-code elimination and sharing.

Four graphs are counted at once (facts about compiler passes: docs/latency.md): `raw`, all edges;
`forward`, edges reachable from an input; `backward`, edges that reach an output; `live`, both.
In the live graph common subexpressions are computed once. Values are numbered by hashes: a sum of
one summand and the identity equal their input, and the order of summands does not matter.
"""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from jaxnas.core.types import Choice
from jaxnas.spaces import dataflow, op_names
from jaxnas.spaces.dataflow import CellGraph

FAMILIES = ("raw", "forward", "backward", "live")
DEAD = ("needed by nothing", "entered by nothing", "both")  # kinds of dead branches
SUMMAND = "+"  # the key in durations of one more summand of a node
Array = Any  # of numpy or of jax.numpy


class CellTables(NamedTuple):
    """Lookup tables of a choice, indexed by codes; the last column is for code -1, no edge."""

    graph: CellGraph
    vocabulary: tuple[str, ...]  # names of candidates, those of kind ABSENT left out
    kinds: np.ndarray  # i32[edges, candidates + 1]
    words: np.ndarray  # i32[edges, candidates + 1], index into `vocabulary`, -1: none
    lengths: np.ndarray  # f32[edges, candidates + 1, weighings], see `lengths`


def tables(choice: Choice) -> CellTables:
    """The tables of a choice."""
    is_present = lambda name: op_names.kind(name) != op_names.ABSENT
    vocabulary = tuple(dict.fromkeys(n for row in choice.candidates for n in row if is_present(n)))
    kinds = [[op_names.kind(n) for n in row] + [op_names.ABSENT] for row in choice.candidates]
    word_indices = [
        [vocabulary.index(n) if is_present(n) else -1 for n in row] + [-1]
        for row in choice.candidates
    ]
    path_lengths = [[lengths(n) for n in row] + [lengths("none")] for row in choice.candidates]
    arrays = (
        np.array(kinds, np.int32),
        np.array(word_indices, np.int32),
        np.array(path_lengths, np.float32),
    )
    return CellTables(dataflow.of_choice(choice), vocabulary, *arrays)


def counts(
    cell: CellTables,
    codes: Array,
    xp: ModuleType = np,
    durations: Mapping[str, Mapping[str, float]] | None = None,
) -> dict[str, Array]:
    """Groups of counts, f32[N, ...] each, of codes i[N, edges].

    `raw`, `forward`, `backward`, `live`: counts of each name of the vocabulary, and of additions.
    `shared`: in the live graph, distinct pools, distinct inputs of operations with weights (their
    rectifiers) and distinct sums. `path`: the longest path under several weighings (`lengths`); and
    one group for each name of `durations`, weighed by its durations of names and of SUMMAND.
    """
    gather = lambda table: look_up(table, codes, xp)
    kinds, words = gather(cell.kinds), gather(cell.words)
    masks = executed(cell, codes, xp)
    counts_of = {name: _word_counts(cell, mask, words, xp) for name, mask in masks.items()}
    counts_of["shared"] = _shared(cell, masks["live"], kinds, words, xp)
    all_durations = list((durations or {}).values())
    further_lengths = [[steps[word] for steps in all_durations] for word in cell.vocabulary]
    further_lengths.append([0.0] * len(all_durations))  # of no operation
    weighings = cell.lengths.shape[2]
    of_summand = np.array(
        [0.0] * weighings + [steps[SUMMAND] for steps in all_durations], np.float32
    )
    step_lengths = [gather(cell.lengths), xp.asarray(np.array(further_lengths, np.float32))[words]]
    step_lengths = xp.concatenate(step_lengths, 2)
    distances = dataflow.longest_path(cell.graph, masks["live"], step_lengths, of_summand, xp)
    longest = xp.stack([distances[node] for node in cell.graph.outputs]).max(0)
    counts_of["path"] = longest[:, :weighings]
    for i, name in enumerate(durations or {}, weighings):
        counts_of[name] = longest[:, i : i + 1]
    return counts_of


def dead(families: Mapping[str, Sequence[Array]]) -> list[list[Array]]:
    """Counts of each kind of DEAD branches in each choice, of FAMILIES' counts in each choice."""
    choices = list(zip(*(families[name] for name in FAMILIES), strict=True))
    return [
        [forward - live for _, forward, _, live in choices],
        [backward - live for _, _, backward, live in choices],
        [raw - forward - backward + live for raw, forward, backward, live in choices],
    ]


def look_up(table: np.ndarray, codes: Array, xp: ModuleType = np) -> Array:
    """Entries of a table [edges, candidates + 1, ...] at codes i[N, edges]: [N, edges, ...]."""
    return xp.stack([xp.asarray(table)[e][codes[:, e]] for e in range(len(table))], 1)


def executed(cell: CellTables, codes: Array, xp: ModuleType = np) -> dict[str, Array]:
    """The edges that each of FAMILIES executes, bool[N, edges], of codes i[N, edges]."""
    present = look_up(cell.kinds, codes, xp) != op_names.ABSENT
    reached = dataflow.reached(cell.graph, present, xp)
    reaching = dataflow.reaching(cell.graph, present, xp)
    return {
        "raw": present,
        "forward": present & reached,
        "backward": present & reaching,
        "live": present & reached & reaching,
    }


def lengths(name: str) -> tuple[float, ...]:
    """Path length of an operation by weighing: with weights, without, both, by area, by side."""
    kind, size = op_names.kind(name), op_names.numbers(name).get("k", 1.0)
    learned, free = kind == op_names.LEARNED, kind == op_names.FREE
    return (learned, free, learned or free, learned * size**2, (learned or free) * size)


def _word_counts(cell: CellTables, mask: Array, words: Array, xp: ModuleType) -> Array:
    counts_of_words = [(mask & (words == w)).sum(1) for w in range(len(cell.vocabulary))]
    return xp.stack([*counts_of_words, _additions(cell, mask, xp)], 1).astype(np.float32)


def _additions(cell: CellTables, mask: Array, xp: ModuleType) -> Array:
    return sum(xp.maximum(n - 1, 0) for n in dataflow.summands(cell.graph, mask))


def _shared(cell: CellTables, live: Array, kinds: Array, words: Array, xp: ModuleType) -> Array:
    values = [xp.zeros(len(live), np.uint32)] * cell.graph.nodes
    for i, node in enumerate(cell.graph.inputs):
        values[node] = xp.full(len(live), 0x9E3779B9 * (i + 1) % 2**32, np.uint32)
    sources, results = [], []
    for e, (source, target) in enumerate(cell.graph.edges):
        value, kind = values[source], kinds[:, e]
        free = _hash(value + (words[:, e] + 101).astype(np.uint32))
        # Each edge has its own weights: values of different edges are never equal.
        learned = _hash(value * np.uint32(31) + np.uint32(100_003 + 17 * e))
        result = xp.where(kind == op_names.FREE, free, learned)
        result = xp.where(kind == op_names.PASS, value, result)
        result = xp.where(live[:, e], result, xp.zeros_like(value))
        values[target] = values[target] + result
        sources.append(value)
        results.append(result)
    pools = _count_distinct(xp.stack(results, 1), live & (kinds == op_names.FREE))
    rectified = _count_distinct(xp.stack(sources, 1), live & (kinds == op_names.LEARNED))
    has_several = xp.stack([n > 1 for n in dataflow.summands(cell.graph, live)], 1)
    sums = _count_distinct(xp.stack(values, 1), has_several)
    return xp.stack([pools, rectified, sums], 1).astype(np.float32)


def _hash(x: Array) -> Array:
    """A hash of 32 bits (the constants of Wellons' lowbias32)."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def _count_distinct(values: Array, mask: Array) -> Array:
    """Number of distinct values under the mask, i[N]."""
    total = 0
    for i in range(values.shape[1]):
        new = mask[:, i]
        for j in range(i):
            new = new & ~(mask[:, j] & (values[:, j] == values[:, i]))
        total = total + new
    return total + np.int32(0)
