"""Durations of the operations on the critical path of a cell, fitted to measured latencies.

    ms = floor + sum_w a_w live_w + sum_w c_w path_w(c),    floor, a, c >= 0

`live_w`: count of operation w in the executed graph; `path_w(c)`: its count on the longest path
under the durations c. A runtime that starts a step once its inputs are ready takes as long as that
path. Fitted by alternation: the path given c, then c by least squares (our choice; design:
docs/latency.md).
"""

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.optimize

from jaxnas.core.types import Space
from jaxnas.hardware.predict.features import cell_features, graph_counts
from jaxnas.hardware.predict.regression import FLOOR
from jaxnas.spaces import dataflow

ROUNDS = 12  # of alternation
STARTS = (2, 3, 4)  # weighings of `graph_counts.lengths`: equal, by kernel area, by kernel size
FURTHER_START = 0.1  # of the longest step: initial duration of a further summand
RIDGE = 0.01  # of features of mean square one


def durations(space: Space, networks: np.ndarray, ms: np.ndarray) -> dict[str, float]:
    """Relative durations of the operations of a cell space and of a further SUMMAND, maximum 1.

    Fitted to f[N] milliseconds of networks i[N, positions]. Only their ratios matter: the
    regression decides whether the path explains latency at all.
    """
    cells = [graph_counts.tables(choice) for choice in space.values()]
    codes = cell_features.split(space, networks)
    words = tuple(dict.fromkeys(word for cell in cells for word in cell.vocabulary))
    groups = cell_features.features(space, networks)
    counts = np.concatenate([np.ones((len(ms), 1)), groups["live"], groups["shared"]], 1)
    scale = np.maximum(ms, FLOOR * np.median(ms))
    best_lengths, min_loss = None, np.inf
    for start in _starts(words):
        current, previous_loss = start, np.inf
        for _ in range(ROUNDS):
            steps = sum(
                _word_counts(cell, part, current, words)
                for cell, part in zip(cells, codes, strict=True)
            )
            loss, weights = nonnegative_least_squares(
                np.concatenate([steps, counts], 1) / scale[:, None], ms / scale
            )
            if not loss < previous_loss or not weights[: len(current)].max() > 0:
                break
            if best_lengths is None or loss < min_loss:
                best_lengths, min_loss = current, loss
            previous_loss, weights = loss, weights[: len(current)]
            current = (current + weights / weights.max()) / 2
    best_lengths = start if best_lengths is None else best_lengths
    relative = best_lengths / best_lengths.max()
    return dict(zip((*words, graph_counts.SUMMAND), relative.tolist(), strict=True))


def _starts(words: Sequence[str]) -> Iterator[np.ndarray]:
    for weighing in STARTS:
        lengths = np.array([graph_counts.lengths(word)[weighing] for word in words])
        yield np.append(lengths / lengths.max(initial=1.0), FURTHER_START)


def _word_counts(
    cell: graph_counts.CellTables, codes: np.ndarray, lengths: np.ndarray, words: Sequence[str]
) -> np.ndarray:
    """f[N, words + 1]: counts on the longest path, the first of equally long ones."""
    graph, rows = cell.graph, np.arange(len(codes))
    live = graph_counts.executed(cell, codes)["live"]
    index = np.array([words.index(word) for word in cell.vocabulary] + [-1])
    word_of_edge = index[graph_counts.look_up(cell.words, codes)]
    edges, addition = lengths[word_of_edge][:, :, None], lengths[-1:]
    distances = [d[:, 0] for d in dataflow.longest_path(graph, live, edges, addition)]
    last = np.stack([distances[node] for node in graph.outputs]).argmax(0)
    on_path = [np.zeros(len(codes), bool)] * graph.nodes
    for i, node in enumerate(graph.outputs):
        on_path[node] = last == i
    counts = np.zeros((len(codes), len(lengths)))
    entering = dataflow.summands(graph, live)
    for node in reversed(range(graph.nodes)):
        counts[:, -1] += on_path[node] * np.maximum(entering[node] - 1, 0)
        incoming = [e for e, (_, target) in enumerate(graph.edges) if target == node]
        if not incoming:
            continue
        arrivals = np.stack(
            [
                np.where(live[:, e], distances[graph.edges[e][0]] + edges[:, e, 0], -1.0)
                for e in incoming
            ]
        )
        latest = arrivals.argmax(0)
        for i, e in enumerate(incoming):
            on_edge = on_path[node] & (latest == i) & live[:, e]
            np.add.at(counts, (rows, word_of_edge[:, e]), on_edge)
            source = graph.edges[e][0]
            on_path[source] = on_path[source] | on_edge
    return counts


def nonnegative_least_squares(features: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    """(mean square error, weights none of which is negative) of f[N, F] features, f[N] targets."""
    scale = np.sqrt((features**2).mean(0))
    scale[scale == 0] = np.inf
    ridge = RIDGE * np.sqrt(len(target)) * np.eye(features.shape[1])
    rows = np.concatenate([features / scale, ridge])
    try:
        weights, _ = scipy.optimize.nnls(
            rows, np.append(target, np.zeros(len(ridge))), maxiter=1000
        )
    except RuntimeError:  # no convergence within maxiter
        return np.inf, np.zeros(features.shape[1])
    weights = weights / scale
    return float(np.mean((features @ weights - target) ** 2)), weights
