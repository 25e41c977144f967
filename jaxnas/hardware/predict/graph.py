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
from jaxnas.spaces import op_names

FAMILIES = ("raw", "forward", "backward", "live")
SUMMAND = "+"  # in durations: a further summand of a node
Array = Any  # of numpy or of jax.numpy


class CellGraph(NamedTuple):
    """A choice as tables that a code looks up; the last column is code -1, no edge at all."""

    edges: tuple[tuple[int, int], ...]
    nodes: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    vocabulary: tuple[str, ...]  # the names of all edges but those that are nothing
    kinds: np.ndarray  # i32[edges, candidates + 1]
    words: np.ndarray  # i32[edges, candidates + 1], index into `vocabulary`, -1: none
    lengths: np.ndarray  # f32[edges, candidates + 1, weighings] of a step on a path


def cell(choice: Choice) -> CellGraph:
    """The cell of a choice.

    Nodes that no edge enters are inputs. With one input the last node is the output
    (NAS-Bench-201), with more the concatenation of all others is (DARTS).
    """
    targets = {t for _, t in choice.edges}
    nodes = max(targets) + 1
    inputs = tuple(v for v in range(nodes) if v not in targets)
    outputs = (nodes - 1,) if len(inputs) == 1 else tuple(sorted(targets))
    live = lambda name: op_names.kind(name) != op_names.ABSENT
    vocabulary = tuple(dict.fromkeys(n for row in choice.candidates for n in row if live(n)))
    kinds = [[op_names.kind(n) for n in row] + [op_names.ABSENT] for row in choice.candidates]
    words = [
        [vocabulary.index(n) if live(n) else -1 for n in row] + [-1] for row in choice.candidates
    ]
    steps = [[lengths(n) for n in row] + [lengths("none")] for row in choice.candidates]
    tables = np.array(kinds, np.int32), np.array(words, np.int32), np.array(steps, np.float32)
    return CellGraph(choice.edges, nodes, inputs, outputs, vocabulary, *tables)


def counts(
    shape: CellGraph,
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
    kinds, words = pick(shape.kinds), pick(shape.words)
    masks = executed(shape, codes, xp)
    found = {name: _family(shape, mask, words, xp) for name, mask in masks.items()}
    found["shared"] = _shared(shape, masks["live"], kinds, words, xp)
    every = list((ways or {}).values())
    steps = [[way[word] for way in every] for word in shape.vocabulary] + [[0.0] * len(every)]
    weighings = shape.lengths.shape[2]
    further = np.array([0.0] * weighings + [way[SUMMAND] for way in every], np.float32)
    taken = [pick(shape.lengths), xp.asarray(np.array(steps, np.float32))[words]]
    far = _longest(shape, masks["live"], xp.concatenate(taken, 2), further, xp)
    found["path"] = far[:, :weighings]
    for i, name in enumerate(ways or {}, weighings):
        found[name] = far[:, i : i + 1]
    return found


def picked(table: np.ndarray, codes: Array, xp: ModuleType = np) -> Array:
    """Rows of a table [edges, candidates + 1, ...] of a Cell by the codes i[N, edges]."""
    return xp.stack([xp.asarray(table)[e][codes[:, e]] for e in range(len(table))], 1)


def executed(shape: CellGraph, codes: Array, xp: ModuleType = np) -> dict[str, Array]:
    """Which edges each of FAMILIES executes, bool[N, edges] each, of codes i[N, edges]."""
    written = picked(shape.kinds, codes, xp) != op_names.ABSENT
    reached, reaching = _forward(shape, written, xp), _backward(shape, written, xp)
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


def _forward(shape: CellGraph, written: Array, xp: ModuleType) -> Array:
    alive = [xp.zeros(len(written), bool)] * shape.nodes
    for node in shape.inputs:
        alive[node] = xp.ones(len(written), bool)
    for e, (source, target) in enumerate(shape.edges):
        alive[target] = alive[target] | (alive[source] & written[:, e])
    return xp.stack([alive[source] for source, _ in shape.edges], 1)


def _backward(shape: CellGraph, written: Array, xp: ModuleType) -> Array:
    needed = [xp.zeros(len(written), bool)] * shape.nodes
    for node in shape.outputs:
        needed[node] = xp.ones(len(written), bool)
    for e, (source, target) in reversed(list(enumerate(shape.edges))):
        needed[source] = needed[source] | (needed[target] & written[:, e])
    return xp.stack([needed[target] for _, target in shape.edges], 1)


def _family(shape: CellGraph, mask: Array, words: Array, xp: ModuleType) -> Array:
    each = [(mask & (words == w)).sum(1) for w in range(len(shape.vocabulary))]
    return xp.stack([*each, _additions(shape, mask, xp)], 1).astype(np.float32)


def _entering(shape: CellGraph, mask: Array, xp: ModuleType) -> list[Array]:
    targets = np.array([target for _, target in shape.edges])
    return [mask[:, targets == node].sum(1) for node in range(shape.nodes)]


def _additions(shape: CellGraph, mask: Array, xp: ModuleType) -> Array:
    return sum(xp.maximum(n - 1, 0) for n in _entering(shape, mask, xp))


def _shared(shape: CellGraph, live: Array, kinds: Array, words: Array, xp: ModuleType) -> Array:
    values = [xp.zeros(len(live), np.uint32)] * shape.nodes
    for i, node in enumerate(shape.inputs):
        values[node] = xp.full(len(live), 0x9E3779B9 * (i + 1) % 2**32, np.uint32)
    sources, made = [], []
    for e, (source, target) in enumerate(shape.edges):
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
    several = xp.stack([n > 1 for n in _entering(shape, live, xp)], 1)
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


def _longest(shape: CellGraph, live: Array, lengths: Array, further: np.ndarray, xp) -> Array:
    """f32[N, weighings]: the longest way from an input to an output over live edges.

    A node takes `further` f32[weighings] for every summand after its first.
    """
    nothing = xp.zeros((len(live), lengths.shape[2]), np.float32)
    far, entering = [nothing] * shape.nodes, _entering(shape, live, xp)
    for node in range(shape.nodes):
        for e, (source, target) in enumerate(shape.edges):
            if target == node:
                # Only live edges count, so that a node nothing reaches stays at zero.
                there = xp.where(live[:, e, None], far[source] + lengths[:, e], 0.0)
                far[node] = xp.maximum(far[node], there)
        summands = xp.maximum(entering[node] - 1, 0).astype(np.float32)
        far[node] = far[node] + summands[:, None] * further
    return xp.stack([far[node] for node in shape.outputs]).max(0)
