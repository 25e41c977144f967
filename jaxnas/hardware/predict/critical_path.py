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
from jaxnas.hardware.predict import cell_features, graph
from jaxnas.hardware.predict.regression import FLOOR

ROUNDS = 12  # of taking turns
STARTS = (2, 3, 4)  # of a cell's weighings: steps of operations alike, by kernels' areas, by sizes
FURTHER = 0.1  # of the longest step: where a further summand starts from
RIDGE = 0.01  # of features of mean square one


def durations(space: Space, networks: np.ndarray, ms: np.ndarray) -> dict[str, float]:
    """Of the words of a space of cells and of a further SUMMAND, the longest one 1.

    From f[N] milliseconds of networks i[N, positions]. Only what they are to each other is told:
    whether there is such a path at all is for the regression to say.
    """
    shapes, codes = (
        [graph.cell(choice) for choice in space.values()],
        cell_features.split(space, networks),
    )
    words = tuple(dict.fromkeys(word for shape in shapes for word in shape.vocabulary))
    groups = cell_features.features(space, networks)
    work = np.concatenate([np.ones((len(ms), 1)), groups["live"], groups["shared"]], 1)
    scale = np.maximum(ms, FLOOR * np.median(ms))
    best, least = None, np.inf
    for start in _starts(words):
        now, before = start, np.inf
        for _ in range(ROUNDS):
            steps = sum(
                _steps(shape, each, now, words) for shape, each in zip(shapes, codes, strict=True)
            )
            loss, found = _fitted(np.concatenate([steps, work], 1) / scale[:, None], ms / scale)
            if not loss < before or not found[: len(now)].max() > 0:
                break
            if best is None or loss < least:
                best, least = now, loss
            before, found = loss, found[: len(now)]
            now = (now + found / found.max()) / 2
    best = start if best is None else best
    return dict(zip((*words, graph.SUMMAND), (best / best.max()).tolist(), strict=True))


def _starts(words: Sequence[str]) -> Iterator[np.ndarray]:
    for weighing in STARTS:
        now = np.array([graph.lengths(word)[weighing] for word in words])
        yield np.append(now / now.max(initial=1.0), FURTHER)


def _steps(
    shape: graph.CellGraph, codes: np.ndarray, now: np.ndarray, words: Sequence[str]
) -> np.ndarray:
    """f[N, words + 1]: how often each stands on the longest path."""
    live, n = graph.executed(shape, codes)["live"], len(codes)
    index = np.array([words.index(word) for word in shape.vocabulary] + [-1])
    at = index[graph.picked(shape.words, codes)]
    far = [np.zeros(n)] * shape.nodes
    steps = [np.zeros((n, len(now)))] * shape.nodes
    for node in range(shape.nodes):
        longest, best, summands = np.full(n, -1.0), np.zeros((n, len(now))), np.zeros(n)
        for e, (source, target) in enumerate(shape.edges):
            if target == node:
                there = np.where(live[:, e], far[source] + now[at[:, e]], -1.0)
                taken = steps[source].copy()
                taken[np.arange(n), at[:, e]] += 1
                best = np.where((there > longest)[:, None], taken, best)
                longest, summands = np.maximum(longest, there), summands + live[:, e]
        further = np.maximum(summands - 1, 0)
        best[:, -1] += further
        far[node], steps[node] = np.maximum(longest, 0) + further * now[-1], best
    ends = np.stack([far[node] for node in shape.outputs])
    return np.stack([steps[node] for node in shape.outputs])[ends.argmax(0), np.arange(n)]


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
