"""Where the parts of a cell go: columns from left to right, nothing on top of anything.

A node waits in the first column behind all its sources, with its operations stacked before
it. A value needed further right passes every column between in a lane of its own, so that
curves run only between columns and cross nothing but each other.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Point = tuple[float, float]
Edge = tuple[int, int, str]

PILL = 26  # heights and widths in CSS pixels; y points up
PITCH = 34
NODE = 30
LANE = 10
GAP = 16  # between neighbours of a column
STEM = 24  # from an operation to its node
CURVES = 62  # between columns
MOST = 60  # edges that a picture can tell


class Operation(NamedTuple):
    edge: Edge
    centre: Point
    width: float


class Link(NamedTuple):
    """A curve between columns, and the level line of the lane it ends in, if it does."""

    start: Point
    end: Point
    lane_end: Point | None
    op: str | None  # the operation it feeds; None where it feeds several, or the output
    serves: frozenset[str]  # operations reached through it; empty: only the output


class Layout(NamedTuple):
    width: float
    height: float
    nodes: Mapping[int, Point]  # centres
    operations: tuple[Operation, ...]
    links: tuple[Link, ...]
    output: Point | None  # centre; None where the one concatenated node is the output


class _Item(NamedTuple):
    kind: str  # "node", "lane" or "output"
    node: int


def check(cell: Any) -> None:
    """Raises ValueError with the cause where `cell` is no drawable cell.

    A cell has `edges` (source, target, op), `inputs` nodes 0..inputs-1 that are given, and
    the nodes `concat` that make its output.
    """
    if cell.inputs < 1:
        raise ValueError(f"A cell needs at least one input node, got inputs={cell.inputs}.")
    if not cell.edges:
        raise ValueError("A cell without edges cannot be drawn.")
    if len(cell.edges) > MOST:
        raise ValueError(f"A picture of {len(cell.edges)} edges says nothing: at most {MOST}.")
    for source, target, op in cell.edges:
        if not (0 <= source < target and target >= cell.inputs):
            raise ValueError(
                f"Edge {source} -> {target} ({op}): the source must come before the target, "
                f"and the target after the {cell.inputs} inputs."
            )
    last = max(target for _, target, _ in cell.edges)
    wrong = [node for node in cell.concat if not 0 <= node <= last]
    if wrong or not cell.concat:
        raise ValueError(f"concat must name nodes within 0..{last}, got {tuple(cell.concat)}.")


def place(cell: Any, op_width: Mapping[str, float], input_width: float) -> Layout:
    """Lays out a checked cell whose operations' labels are `op_width` pixels wide."""
    depth = _depths(cell)
    columns, sources = _columns(cell, depth)
    columns = _ordered(columns, sources)
    y = _heights_to_y(columns, sources)
    return _assembled(cell, columns, sources, y, op_width, input_width)


def spread(wanted: Sequence[float], room: Sequence[float]) -> list[float]:
    """Positions closest to `wanted` (least squares), in order, item i taking `room[i]`.

    Pool adjacent violators on the positions less the room before them.
    """
    offset, offsets = 0.0, []
    for before, after in itertools.pairwise([0.0, *room]):
        offset += (before + after) / 2
        offsets.append(offset)
    pools: list[list[float]] = []  # [sum, count]
    for value, shift in zip(wanted, offsets, strict=True):
        pools.append([value - shift, 1])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            total, count = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += count
    level = [total / count for total, count in pools for _ in range(int(count))]
    return [value + shift for value, shift in zip(level, offsets, strict=True)]


def _depths(cell: Any) -> dict[int, int]:
    depth = dict.fromkeys(range(cell.inputs), 0)
    last = max(target for _, target, _ in cell.edges)
    for node in range(cell.inputs, last + 1):
        depth[node] = 1 + max((depth[s] for s, t, _ in cell.edges if t == node), default=0)
    return depth


def _has_output(cell: Any) -> bool:
    only = cell.concat[0]
    return len(cell.concat) > 1 or any(source == only for source, _, _ in cell.edges)


def _columns(cell: Any, depth: dict[int, int]):
    """The items of each column, and for each item the (item before, edge) pairs it needs."""
    last = max(depth.values()) + (1 if _has_output(cell) else 0)
    columns: list[list[_Item]] = [[] for _ in range(last + 1)]
    for node, at in depth.items():
        columns[at].append(_Item("node", node))
    if _has_output(cell):
        columns[last].append(_Item("output", -1))
    sources: dict[tuple[int, _Item], list[tuple[_Item, Edge | None]]] = {}

    def reach(node: int, column: int) -> _Item:
        """The item in `column` that holds the value of `node`; adds lanes on the way."""
        if depth[node] == column:
            return _Item("node", node)
        lane = _Item("lane", node)
        if lane not in columns[column]:
            columns[column].append(lane)
            sources[column, lane] = [(reach(node, column - 1), None)]
        return lane

    for edge in cell.edges:
        source, target, _ = edge
        at = depth[target]
        pairs = sources.setdefault((at, _Item("node", target)), [])
        pairs.append((reach(source, at - 1), edge))
    if _has_output(cell):
        into = [(reach(node, last - 1), None) for node in dict.fromkeys(cell.concat)]
        sources[last, _Item("output", -1)] = into
    return columns, sources


def _room(item: _Item, needs: int) -> float:
    if item.kind == "lane":
        return LANE + GAP
    return max(NODE, PITCH * needs) + GAP


def _ordered(columns, sources):
    """Columns reordered for few crossings, then short links; deterministic descent."""
    columns = [list(column) for column in columns]

    def cost() -> float:
        y = [_stacked(column, at, sources) for at, column in enumerate(columns)]
        total = 0.0
        for at in range(1, len(columns)):
            links = [
                (y[at - 1][before], y[at][item])
                for item in columns[at]
                for before, _ in sources.get((at, item), ())
            ]
            total += sum(abs(a - b) for a, b in links)
            pairs = itertools.combinations(links, 2)
            total += 400 * sum((a - c) * (b - d) < 0 for (a, b), (c, d) in pairs)
        return total

    best = cost()
    for _ in range(6):
        before = best
        for at in range(1, len(columns) - 1):
            for i, j in itertools.combinations(range(len(columns[at])), 2):
                for move in (_swap, _shift, _shift_back):
                    kept = columns[at]
                    columns[at] = move(kept, i, j)
                    now = cost()
                    if now < best - 1e-9:
                        best = now
                    else:
                        columns[at] = kept
        if best == before:
            break
    return columns


def _swap(items, i, j):
    items = list(items)
    items[i], items[j] = items[j], items[i]
    return items


def _shift(items, i, j):
    items = list(items)
    items.insert(j, items.pop(i))
    return items


def _shift_back(items, i, j):
    return _shift(items, j, i)


def _stacked(column, at, sources) -> dict[_Item, float]:
    rooms = [_room(item, len(sources.get((at, item), ()))) for item in column]
    y, top = {}, sum(rooms) / 2
    for item, room in zip(column, rooms, strict=True):
        y[item] = top - room / 2
        top -= room
    return y


def _heights_to_y(columns, sources):
    """y of every item: near its neighbours on both sides, in the order of its column."""
    y = {
        (at, item): value
        for at, column in enumerate(columns)
        for item, value in _stacked(column, at, sources).items()
    }
    pulls: dict[Any, list[tuple[Any, float]]] = {key: [] for key in y}
    for (at, item), pairs in sources.items():
        for before, edge in pairs:
            # Lanes want to be straight; the output's own lines matter least.
            weight = 4.0 if item.kind == "lane" else 1.0 if edge else 0.3
            pulls[at, item].append(((at - 1, before), weight))
            pulls[at - 1, before].append(((at, item), weight))
    for sweep in range(24):
        order = range(len(columns)) if sweep % 2 == 0 else reversed(range(len(columns)))
        for at in order:
            keys = [(at, item) for item in reversed(columns[at])]  # upwards
            wanted = []
            for key in keys:
                weights = sum(weight for _, weight in pulls[key])
                pull = sum(weight * y[other] for other, weight in pulls[key])
                wanted.append(pull / weights if weights else y[key])
            rooms = [_room(key[1], len(sources.get(key, ()))) for key in keys]
            y.update(zip(keys, spread(wanted, rooms), strict=True))
    return y


def _assembled(cell, columns, sources, y, op_width, input_width) -> Layout:
    rooms = {key: _room(key[1], len(sources.get(key, ()))) for key in y}
    low = min(value - rooms[key] / 2 for key, value in y.items())
    high = max(value + rooms[key] / 2 for key, value in y.items())
    y = {key: value - low for key, value in y.items()}

    nodes: dict[int, Point] = {}
    output = None
    operations: list[Operation] = []
    ends: dict[tuple[int, _Item], Point] = {}  # where a value leaves its column
    links: list[Link] = []
    right = 0.0
    for at, column in enumerate(columns):
        left = right + CURVES if at else 0.0
        ops = [e[2] for i in column for _, e in sources.get((at, i), ()) if e]
        pills = max((op_width[op] for op in ops), default=0)
        right = left + (pills + STEM + NODE if pills else input_width if not at else NODE)
        for item in column:
            key = (at, item)
            pairs = sources.get(key, [])
            if item.kind == "output":
                output = (right - NODE / 2, y[key])
            if item.kind == "node":
                half = input_width / 2 if item.node < cell.inputs else NODE / 2
                nodes[item.node] = (right - half, y[key])
            ends[key] = (right, y[key])
            # Operations of a node are stacked in the order of what feeds them.
            ordered = sorted(pairs, key=lambda pair, at=at: -y[at - 1, pair[0]])
            for rank, (before, edge) in enumerate(ordered):
                start = ends[at - 1, before]
                if edge is None:
                    end = (left, y[key])
                    lane_end = (right, y[key]) if item.kind == "lane" else None
                    links.append(Link(start, end, lane_end, None, frozenset()))
                    continue
                pill_y = y[key] + PITCH * ((len(pairs) - 1) / 2 - rank)
                operations.append(Operation(edge, (left + pills / 2, pill_y), pills))
                serves = frozenset({edge[2]})
                links.append(Link(start, (left, pill_y), None, edge[2], serves))
    links = _with_purpose(links, ends)
    return Layout(right, high - low, nodes, tuple(operations), tuple(links), output)


def _with_purpose(links: list[Link], ends: Mapping[Any, Point]) -> list[Link]:
    """Lane links learn which operations they lead to, from the last column backwards."""
    done: list[Link] = []
    for link in reversed(links):
        if link.lane_end:
            onward = (later.serves for later in done if later.start == link.lane_end)
            link = link._replace(serves=frozenset().union(*onward))
        done.append(link)
    return done[::-1]
