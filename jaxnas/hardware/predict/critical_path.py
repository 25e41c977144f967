"""How long the steps of a network's longest path take, fitted to its milliseconds.

    ms = floor + sum_w a_w live_w + sum_w c_w path_w(c),    floor, a, c >= 0

`live_w`: how often word w is executed, `path_w(c)`: how often on the path that the durations c make
the longest. Runtimes that start a step when its inputs are there take as long as that path. Fitted
by turns, the path by c and then c by least squares (our choice; design: docs/latency.md).
"""

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.optimize

from jaxnas.core.types import Space
from jaxnas.hardware.predict import cell_features, graph_counts
from jaxnas.hardware.predict.regression import FLOOR
from jaxnas.spaces import dataflow

ROUNDS = 12  # of taking turns
STARTS = (2, 3, 4)  # of a cell's weighings: steps of operations alike, by kernels' areas, by sizes
FURTHER = 0.1  # of the longest step: where a further summand starts from
RIDGE = 0.01  # of features of mean square one


def durations(space: Space, networks: np.ndarray, ms: np.ndarray) -> dict[str, float]:
    """Of the words of a space of cells and of a further SUMMAND, the longest one 1.

    From f[N] milliseconds of networks i[N, positions]. Only what they are to each other is told:
    whether there is such a path at all is for the regression to say.
    """
    cells = [graph_counts.tables(choice) for choice in space.values()]
    codes = cell_features.split(space, networks)
    words = tuple(dict.fromkeys(word for cell in cells for word in cell.vocabulary))
    groups = cell_features.features(space, networks)
    work = np.concatenate([np.ones((len(ms), 1)), groups["live"], groups["shared"]], 1)
    scale = np.maximum(ms, FLOOR * np.median(ms))
    best, least = None, np.inf
    for start in _starts(words):
        now, before = start, np.inf
        for _ in range(ROUNDS):
            steps = sum(
                _word_counts(cell, part, now, words)
                for cell, part in zip(cells, codes, strict=True)
            )
            loss, found = _fitted(np.concatenate([steps, work], 1) / scale[:, None], ms / scale)
            if not loss < before or not found[: len(now)].max() > 0:
                break
            if best is None or loss < least:
                best, least = now, loss
            before, found = loss, found[: len(now)]
            now = (now + found / found.max()) / 2
    best = start if best is None else best
    return dict(zip((*words, graph_counts.SUMMAND), (best / best.max()).tolist(), strict=True))


def _starts(words: Sequence[str]) -> Iterator[np.ndarray]:
    for weighing in STARTS:
        now = np.array([graph_counts.lengths(word)[weighing] for word in words])
        yield np.append(now / now.max(initial=1.0), FURTHER)


def _word_counts(
    cell: graph_counts.CellTables, codes: np.ndarray, lengths: np.ndarray, words: Sequence[str]
) -> np.ndarray:
    """f[N, words + 1]: how often each stands on the longest path; of equal ones the first."""
    graph, rows = cell.graph, np.arange(len(codes))
    live = graph_counts.executed(cell, codes)["live"]
    index = np.array([words.index(word) for word in cell.vocabulary] + [-1])
    word = index[graph_counts.picked(cell.words, codes)]
    edges, addition = lengths[word][:, :, None], lengths[-1:]
    distances = [
        d[:, 0] for d in dataflow.longest_path(graph, live, edges, addition)
    ]  # fmt: skip
    ends = np.stack([distances[node] for node in graph.outputs]).argmax(0)
    on_path = [np.zeros(len(codes), bool)] * graph.nodes
    for i, node in enumerate(graph.outputs):
        on_path[node] = ends == i
    counts = np.zeros((len(codes), len(lengths)))
    entering = dataflow.summands(graph, live)
    for node in reversed(range(graph.nodes)):
        counts[:, -1] += on_path[node] * np.maximum(entering[node] - 1, 0)
        into = [e for e, (_, target) in enumerate(graph.edges) if target == node]
        if not into:
            continue
        via = np.stack(
            [
                np.where(live[:, e], distances[graph.edges[e][0]] + edges[:, e, 0], -1.0)
                for e in into
            ]
        )
        best = via.argmax(0)
        for i, e in enumerate(into):
            taken = on_path[node] & (best == i) & live[:, e]
            np.add.at(counts, (rows, word[:, e]), taken)
            source = graph.edges[e][0]
            on_path[source] = on_path[source] | taken
    return counts


def _fitted(features: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    """(mean square error, weights none of which is negative)."""
    size = np.sqrt((features**2).mean(0))
    size[size == 0] = np.inf
    ridge = RIDGE * np.sqrt(len(target)) * np.eye(features.shape[1])
    rows = np.concatenate([features / size, ridge])
    try:
        found, _ = scipy.optimize.nnls(rows, np.append(target, np.zeros(len(ridge))), maxiter=1000)
    except RuntimeError:  # it gave up
        return np.inf, np.zeros(features.shape[1])
    found = found / size
    return float(np.mean((features @ found - target) ** 2)), found
