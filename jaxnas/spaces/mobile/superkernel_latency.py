"""The latency of Single-Path NAS: a table of four times a layer -> milliseconds that differentiate.

https://arxiv.org/abs/1904.02877, dstamoulis/single-path-nas nas-search/singlepath_supernet.py.
"""

import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp

from jaxnas.core.objectives.cost_terms import Costs
from jaxnas.core.types import Scalar, Space
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile.superkernel_gates import Indicators, sizes_of

# Milliseconds of a Pixel 1 outside the searched layers: stem, head, first and last block.
PIXEL1_FIXED_MS = 19.5999
COLUMNS = ["layer", "choice", "latency_ms"]
OUTSIDE = 2  # layers of the published table that are not searched: the first and the last
SLOWER = 1.1  # times: above, what does less is not slower by noise


class Times(NamedTuple):
    """Milliseconds of a layer's four candidates, in the order of the published table."""

    small_narrow: float  # choice 0: 3x3, expansion 3
    small_wide: float  # 1: 3x3, expansion 6
    large_narrow: float  # 2: 5x5, expansion 3
    large_wide: float  # 3: 5x5, expansion 6


Table = Mapping[int, Times]  # by layer


class TableError(ValueError):
    """No table of latencies: the message is one line."""


def parse(text: str) -> Table:
    """The table of a text with the columns `layer,choice,latency_ms`, four rows a layer.

    Raises TableError for another form, for times that are not positive numbers, and for a layer
    whose four choices do not stand once each.
    """
    rows = list(csv.reader(text.splitlines()))
    if not rows or [name.strip() for name in rows[0]] != COLUMNS:
        raise TableError(f"A table of latencies begins with the line {','.join(COLUMNS)}.")
    found: dict[int, dict[int, float]] = {}
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        try:
            layer, choice, time = int(row[0]), int(row[1]), float(row[2])
        except (ValueError, IndexError):
            raise TableError(
                f"Line {number} of the table is {','.join(row)[:60]!r}: expected layer, choice "
                "and milliseconds."
            ) from None
        if len(row) != 3 or layer < 0 or choice not in range(4):
            raise TableError(f"Line {number}: a layer is 0 or more, a choice 0 to 3, no more.")
        if not (math.isfinite(time) and time > 0):
            raise TableError(f"Line {number}: {time} ms is no time; measure layer {layer} again.")
        if choice in found.setdefault(layer, {}):
            raise TableError(f"Line {number}: choice {choice} of layer {layer} stands twice.")
        found[layer][choice] = time
    for layer, times in found.items():
        if len(times) < 4:
            raise TableError(f"Layer {layer} has {len(times)} of its four choices: give all.")
    if not found:
        raise TableError("The table of latencies is empty: give four rows a layer.")
    return {layer: Times(*(times[i] for i in range(4))) for layer, times in found.items()}


def read(path: str) -> Table:
    """The table of a file: see `parse`. Raises TableError for a file that cannot be read."""
    if not path:
        raise TableError(
            "Single-Path NAS needs a table of latencies: give its file as the setting `table`, or "
            "a target in its place."
        )
    try:
        # Spreadsheets begin a file with a byte-order mark, which is no part of the first name.
        text = Path(path).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"Cannot read the table of latencies {path}: {error}") from error
    return parse(text)


def milliseconds(found: Indicators, times: Times) -> Scalar:
    """The paper's polynomial: exact for three candidates and the skip.

    The small and narrow candidate gets `large_narrow * small_wide / large_wide`; its own time is
    not used.
    """
    wide = times.large_wide - times.large_narrow
    large = found.keep * (times.large_narrow + found.widen * wide)
    share = times.small_wide / times.large_wide
    return large * share + large * (1 - share) * found.kernel


def costs(space: Space, table: Table) -> Costs:
    """What the polynomial gives every candidate; it is `sum(gates * costs)`, a skip is free.

    Raises TableError for a layer that the table has not, for more layers than the chain's
    searched ones and OUTSIDE others, and where a candidate is slower than one that does more, by
    more than noise; ValueError for other candidates.
    """
    return _each(space, table, _as_polynomial)


def measured(space: Space, table: Table) -> Costs:
    """The table's own entries. Raises as `costs` does."""
    return _each(space, table, lambda times, large, wide: times[2 * large + wide])


def _as_polynomial(times: Times, large: bool, wide: bool) -> float:
    return milliseconds(Indicators(float(large), 1.0, float(wide)), times)


def _each(space: Space, table: Table, entry: Callable[[Times, bool, bool], float]) -> Costs:
    _refuse_another_chain(space, table)
    found = {}
    for name, choice in space.items():
        rows = []
        for (layer, _), candidates in zip(choice.edges, choice.candidates, strict=True):
            if layer not in table:
                raise TableError(f"The table has no layer {layer}: it is of another network.")
            sizes, row = sizes_of(candidates), []
            _refuse_dominated(layer, table[layer])
            for candidate in candidates:
                if candidate == chains.SKIP:
                    row.append(0.0)
                    continue
                what = chains.block(candidate)
                large = what.kernel == sizes.kernels[1]
                row.append(entry(table[layer], large, what.expansion == sizes.expansions[1]))
            rows.append(row)
        found[name] = jnp.array(rows)
    return found


def _refuse_another_chain(space: Space, table: Table) -> None:
    """Raises TableError where the table has layers that the chain has not."""
    searched = sum(len(choice.edges) for choice in space.values())
    if len(table) > searched + OUTSIDE:
        raise TableError(
            f"The table has {len(table)} layers, the chain searches {searched}: give a table of "
            "this chain, other --cells, or --target-ms in place of a table."
        )


def _refuse_dominated(layer: int, times: Times) -> None:
    """Raises TableError where a wider kernel or expansion is faster than measuring explains."""
    names = ("3x3 e3", "3x3 e6", "5x5 e3", "5x5 e6")  # in the order of Times
    for less, more in ((0, 1), (0, 2), (1, 3), (2, 3), (0, 3)):
        if times[less] > SLOWER * times[more]:
            raise TableError(
                f"Layer {layer} of the table: {names[less]} takes {times[less]:g} ms, "
                f"{names[more]}, which does more, {times[more]:g} ms: measure the layer again."
            )
