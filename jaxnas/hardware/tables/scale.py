"""Rows of a table whose times are of another scale than those of their likes."""

from collections.abc import Mapping, Sequence

import numpy as np

from jaxnas.hardware.tables.latency_table import TableError

NEIGHBOURS = 10  # networks that differ least
LEAST_FACTOR = 4.0  # smaller ones are differences between networks
DEVIATIONS = 8.0  # robust ones, of ratios to the median of the neighbours
FEWEST = 6  # rows from which neighbours say something
GAP = 30.0  # between the groups of a table in two units
PLACE_FACTOR = 30.0  # of a layer's time to others there, and to the operation's elsewhere
MAX_COMPARED = 4000  # networks compared with all others
SHOWN = 5
UNITS = {1e3: "a thousand", 1e6: "a million", 60.0: "sixty"}


def check_networks(
    networks: np.ndarray, times: np.ndarray, lines: np.ndarray, path: str, column: str
) -> None:
    """Raises TableError for networks whose times are of another scale than those of their likes.

    networks: i64[N, positions]; times: f64[N]; lines: i64[N], of the file. Likes are the networks
    that differ in the fewest positions; also, no table has its times in two groups far apart.
    """
    logs = np.log(times)
    ratios = np.zeros(len(times))
    if FEWEST <= len(times) <= MAX_COMPARED:
        ratios = _against_likes(networks, logs)
        spread = 1.4826 * np.median(np.abs(ratios - np.median(ratios)))
        ratios[np.abs(ratios) <= max(np.log(LEAST_FACTOR), DEVIATIONS * spread)] = 0
    if not ratios.any():
        ratios = _of_groups(logs)
    rows = np.flatnonzero(ratios)
    if not len(rows):
        return
    factor = float(np.exp(ratios[rows[0]]))
    others = len(rows) - 1
    more = ", ".join(str(line) for line in lines[rows[1 : 1 + SHOWN]])
    also = f", and so for {others:,} lines more ({more}{', ...' if others > SHOWN else ''})"
    raise TableError(
        f"{path}, line {lines[rows[0]]}: {column} is {times[rows[0]]:.6g} as read, "
        f"{_as_factor(factor)} its likes ({times[rows[0]] / factor:.4g})"
        f"{also if others else ''}{_unit_hint(factor)}: correct or remove such rows."
    )


def check_layers(
    entries: Mapping[tuple[str, str], float], lines: Mapping[tuple[str, str], int], path: str
) -> None:
    """Raises TableError for an entry of another scale than its place's and its operation's others.

    entries: (place, operation) -> milliseconds; zeros, as of skips, are left out.
    """
    positive = {key: ms for key, ms in entries.items() if ms > 0}
    groups: dict[tuple[int, str], list[float]] = {}
    for key, ms in positive.items():
        for part in (0, 1):
            groups.setdefault((part, key[part]), []).append(ms)
    for key, ms in positive.items():
        others = [_without(groups[part, key[part]], ms) for part in (0, 1)]
        if not all(others):
            continue
        factors = [ms / float(np.median(group)) for group in others]
        if min(factors) >= PLACE_FACTOR or max(factors) <= 1 / PLACE_FACTOR:
            raise TableError(
                f"{path}, line {lines[key]}: {key[1]} at {key[0]} takes {ms:.6g} ms, "
                f"{_as_factor(factors[0])} the others there"
                f"{_unit_hint(factors[0])}: correct or remove the row."
            )


def _against_likes(networks: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """f64[N]: the logarithm of each time over the median of its nearest networks' times."""
    count = min(NEIGHBOURS, len(logs) - 1)
    ratios = np.empty(len(logs))
    for i, network in enumerate(networks):
        distances = (networks != network).sum(1).astype(float)
        distances[i] = np.inf
        nearest = np.argpartition(distances, count - 1)[:count]
        ratios[i] = logs[i] - np.median(logs[nearest])
    return ratios


def _of_groups(logs: np.ndarray) -> np.ndarray:
    """f64[N]: 0, or for the smaller group beyond a gap its logarithmic distance to the other."""
    order = np.argsort(logs)
    gaps = np.diff(logs[order])
    ratios = np.zeros(len(logs))
    if len(gaps) and gaps.max() >= np.log(GAP):
        cut = int(gaps.argmax()) + 1
        low, high = order[:cut], order[cut:]
        few, many = (high, low) if len(high) <= len(low) else (low, high)
        ratios[few] = logs[few] - np.median(logs[many])
    return ratios


def _without(group: Sequence[float], value: float) -> list[float]:
    rest = list(group)
    rest.remove(value)
    return rest


def _as_factor(factor: float) -> str:
    return f"{factor:,.4g} times" if factor >= 1 else f"a {1 / factor:,.4g}th of"


def _unit_hint(factor: float) -> str:
    size = max(factor, 1 / factor)
    for unit, word in UNITS.items():
        if 1 / 3 < size / unit < 3:
            return f"; in another unit, {word} to one?"
    return ""
