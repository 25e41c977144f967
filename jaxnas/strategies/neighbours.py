"""Nearest designs that keep conditions, of many: exact, or by codes of a few bits and re-ranking.

After SQUASH, https://arxiv.org/abs/2502.01528: conditions filter first, codes have more bits where
the features vary more. Ours has no partitions and no attribute codes: an archive is small.
"""

from typing import NamedTuple

import numpy as np

LLOYD_STEPS = 10  # that move the borders of cells from equal populations to least error


class NearnessIndex(NamedTuple):
    """Features as codes of a few bits, in directions of decreasing energy."""

    mean: np.ndarray  # f64[F]
    directions: np.ndarray  # f64[F, F]: rows are directions, an orthonormal basis
    bits: np.ndarray  # i64[F]: of each direction's code
    centres: tuple[np.ndarray, ...]  # f64[2 ** bits] of each direction with bits
    codes: np.ndarray  # u8[N, bytes], packed


def nearest(
    features: np.ndarray, query: np.ndarray, count: int, allowed: np.ndarray | None = None
) -> np.ndarray:
    """i64[min(count, matches)]: the nearest rows of f64[N, F] to f64[F] that bool[N] allows.

    By Euclidean distance, nearest first, of equally near ones the first. For features of
    `designs.features.one_hot` it orders by the number of different variables.
    """
    rows = np.arange(len(features)) if allowed is None else np.flatnonzero(allowed)
    distances = ((features[rows] - query) ** 2).sum(1)
    return rows[np.argsort(distances, kind="stable")[:count]]


def bits_by_energy(energies: np.ndarray, budget: int) -> np.ndarray:
    """i64[F]: `budget` bits, one after another to the largest energy, which a bit divides by 4."""
    left, bits = np.array(energies, float), np.zeros(len(energies), np.int64)
    for _ in range(budget):
        largest = left.argmax()
        bits[largest] += 1
        left[largest] /= 4
    return bits


def build(features: np.ndarray, bits: int) -> NearnessIndex:
    """An index of f64[N, F] with codes of `bits` bits a row, in whole bytes.

    Raises ValueError for fewer than two rows, and for `bits` that are no multiple of 8.
    """
    if len(features) < 2 or bits < 8 or bits % 8:
        raise ValueError(
            f"An index needs 2 rows or more and whole bytes, not {len(features)} rows and {bits} "
            "bits: choose 8, 16, 24, ..."
        )
    mean = features.mean(0)
    _, scale, directions = np.linalg.svd(features - mean, full_matrices=False)
    projected = (features - mean) @ directions.T
    of_direction = bits_by_energy(scale**2, bits)
    columns, centres = [], []
    for values, width in zip(projected.T, of_direction, strict=True):
        found = _centres(values, 1 << width)
        centres.append(found)
        columns.append(_to_bits(_cell(values, found), int(width)))
    codes = np.packbits(np.concatenate(columns, 1), axis=1)
    return NearnessIndex(mean, directions, of_direction, tuple(centres), codes)


def search(
    index: NearnessIndex,
    query: np.ndarray,
    count: int,
    allowed: np.ndarray | None = None,
    features: np.ndarray | None = None,
    candidates: int = 10,
) -> np.ndarray:
    """i64[min(count, matches)]: as `nearest`, by the codes.

    With `features`, f64[N, F] wherever they lie (a memory map, too), the `candidates * count`
    nearest by codes are compared exactly; only their rows are read.
    """
    rows = np.arange(len(index.codes)) if allowed is None else np.flatnonzero(allowed)
    target = index.directions @ (np.asarray(query) - index.mean)
    unpacked, distances, start = np.unpackbits(index.codes[rows], axis=1), np.zeros(len(rows)), 0
    for value, width, centres in zip(target, index.bits, index.centres, strict=True):
        table = (centres - value) ** 2
        cells = unpacked[:, start : start + width] @ (1 << np.arange(width)[::-1])
        distances += table[cells]
        start += width
    if features is None:
        return rows[np.argsort(distances, kind="stable")[:count]]
    near = np.sort(rows[np.argsort(distances, kind="stable")[: candidates * count]])
    return near[nearest(np.asarray(features[near]), query, count)]


def _centres(values: np.ndarray, cells: int) -> np.ndarray:
    """The means of cells, ascending: at first equally populated, then moved as Lloyd does."""
    centres = np.quantile(values, (np.arange(cells) + 0.5) / cells)
    for _ in range(LLOYD_STEPS):
        cell = _cell(values, centres)
        count = np.bincount(cell, minlength=cells)
        total = np.bincount(cell, values, cells)
        centres = np.sort(np.where(count > 0, total / np.maximum(count, 1), centres))
    return centres


def _cell(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.searchsorted((centres[1:] + centres[:-1]) / 2, values)


def _to_bits(cells: np.ndarray, width: int) -> np.ndarray:
    return (cells[:, None] >> np.arange(width)[::-1] & 1).astype(np.uint8)
