"""Layout of a cell's graph: columns from left to right, in which nothing overlaps.

A node is in the first column after all its sources, with its operations stacked to its left. A
value needed further right passes each column between in a separate lane, so that curves run only
between columns and cross only each other.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Point = tuple[float, float]
Edge = tuple[int, int, str]

# Sizes are in CSS pixels; y points up.
PILL = 26  # height of an operation
PITCH = 34  # between operations of a node
NODE = 30
LANE = 10
GAP = 16  # between neighbours of a column
STEM = 24  # between an operation and its node
CURVES = 62  # between columns
MAX_EDGES = 60  # of a readable picture


class Operation(NamedTuple):
    """The label of an edge's operation."""

    edge: Edge
    centre: Point
    width: float


class Link(NamedTuple):
    """A curve between columns, and the level line of the lane it ends in, if any."""

    start: Point
    end: Point
    lane_end: Point | None
    op: str | None  # the operation it leads to; None for a lane or the output
    reached_ops: frozenset[str]  # operations it leads to through lanes, too; empty: the output


class Layout(NamedTuple):
    """Sizes and positions of a picture."""

    width: float
    height: float
    nodes: Mapping[int, Point]  # centres
    operations: tuple[Operation, ...]
    links: tuple[Link, ...]
    output: Point | None  # centre; None where the output is one node, drawn as such


class _Item(NamedTuple):
    kind: str  # "node", "lane" or "output"
    node: int


def check(cell: Any) -> None:
    """Raises ValueError where `cell` cannot be drawn.

    A cell has `edges` (source, target, op), input nodes 0..inputs-1, and the nodes `concat`, whose
    concatenation is its output.
    """
    if cell.inputs < 1:
        raise ValueError(f"A cell needs at least one input node, got inputs={cell.inputs}.")
    if not cell.edges:
        raise ValueError("A cell without edges cannot be drawn.")
    if len(cell.edges) > MAX_EDGES:
        raise ValueError(f"{len(cell.edges)} edges are too many to draw: at most {MAX_EDGES}.")
    for source, target, op in cell.edges:
        if not (0 <= source < target and target >= cell.inputs):
            raise ValueError(
                f"Edge {source} -> {target} ({op}): the source must come before the target, "
                f"and the target after the {cell.inputs} inputs."
            )
    last = max(target for _, target, _ in cell.edges)
    unknown = [node for node in cell.concat if not 0 <= node <= last]
    if unknown or not cell.concat:
        raise ValueError(f"concat must name nodes within 0..{last}, got {tuple(cell.concat)}.")


def lay_out(cell: Any, op_width: Mapping[str, float], input_width: float) -> Layout:
    """Lays out a checked cell whose operations' labels are `op_width` pixels wide."""
    depth = _depths(cell)
    columns, sources = _columns(cell, depth)
    columns = _ordered(columns, sources)
    y = _vertical_positions(columns, sources)
    return _assemble(cell, columns, sources, y, op_width, input_width)


def spread(targets: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Positions closest to `targets` (least squares), in order and without overlap.

    Item i has the size `sizes[i]`. Isotonic regression by pooling adjacent violators, on the
    targets minus the offsets of items without gaps.
    """
    offset, offsets = 0.0, []
    for size, next_size in itertools.pairwise([0.0, *sizes]):
        offset += (size + next_size) / 2
        offsets.append(offset)
    pools: list[list[float]] = []  # [sum, count]
    for value, shift in zip(targets, offsets, strict=True):
        pools.append([value - shift, 1])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            total, count = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += count
    level = [total / count for total, count in pools for _ in range(int(count))]
    return [value + shift for value, shift in zip(level, offsets, strict=True)]


def _depths(cell: Any) -> dict[int, int]:
    """The column of each node."""
    depth = dict.fromkeys(range(cell.inputs), 0)
    last = max(target for _, target, _ in cell.edges)
    for node in range(cell.inputs, last + 1):
        depth[node] = 1 + max((depth[s] for s, t, _ in cell.edges if t == node), default=0)
    return depth


def _has_output(cell: Any) -> bool:
    """Whether the output is drawn apart: it joins several nodes, or one that edges start from."""
    first = cell.concat[0]
    return len(cell.concat) > 1 or any(source == first for source, _, _ in cell.edges)


def _columns(cell: Any, depth: dict[int, int]):
    """The items of each column, and for each item its sources, (item one column before, edge)."""
    last = max(depth.values()) + (1 if _has_output(cell) else 0)
    columns: list[list[_Item]] = [[] for _ in range(last + 1)]
    for node, column in depth.items():
        columns[column].append(_Item("node", node))
    if _has_output(cell):
        columns[last].append(_Item("output", -1))
    sources: dict[tuple[int, _Item], list[tuple[_Item, Edge | None]]] = {}

    def reach(node: int, column: int) -> _Item:
        """The item of `column` that has the value of `node`; adds lanes up to it."""
        if depth[node] == column:
            return _Item("node", node)
        lane = _Item("lane", node)
        if lane not in columns[column]:
            columns[column].append(lane)
            sources[column, lane] = [(reach(node, column - 1), None)]
        return lane

    for edge in cell.edges:
        source, target, _ = edge
        column = depth[target]
        pairs = sources.setdefault((column, _Item("node", target)), [])
        pairs.append((reach(source, column - 1), edge))
    if _has_output(cell):
        pairs = [(reach(node, last - 1), None) for node in dict.fromkeys(cell.concat)]
        sources[last, _Item("output", -1)] = pairs
    return columns, sources


def _height(item: _Item, inputs: int) -> float:
    if item.kind == "lane":
        return LANE + GAP
    return max(NODE, PITCH * inputs) + GAP


def _ordered(columns, sources):
    """Columns reordered for few crossings, then short links, by deterministic local search."""
    columns = [list(column) for column in columns]

    def cost() -> float:
        y = [_stack(items, column, sources) for column, items in enumerate(columns)]
        total = 0.0
        for column in range(1, len(columns)):
            links = [
                (y[column - 1][before], y[column][item])
                for item in columns[column]
                for before, _ in sources.get((column, item), ())
            ]
            total += sum(abs(a - b) for a, b in links)
            pairs = itertools.combinations(links, 2)
            total += 400 * sum((a - c) * (b - d) < 0 for (a, b), (c, d) in pairs)
        return total

    best = cost()
    for _ in range(6):
        last_best = best
        for column in range(1, len(columns) - 1):
            for i, j in itertools.combinations(range(len(columns[column])), 2):
                for move in (_swap, _shift, _shift_back):
                    old_items = columns[column]
                    columns[column] = move(old_items, i, j)
                    new_cost = cost()
                    if new_cost < best - 1e-9:
                        best = new_cost
                    else:
                        columns[column] = old_items
        if best == last_best:
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


def _stack(items, column, sources) -> dict[_Item, float]:
    """y of the items of a column, one below the other around 0."""
    heights = [_height(item, len(sources.get((column, item), ()))) for item in items]
    y, top = {}, sum(heights) / 2
    for item, height in zip(items, heights, strict=True):
        y[item] = top - height / 2
        top -= height
    return y


def _vertical_positions(columns, sources):
    """y of every item: near its neighbours in the adjacent columns, in the column's order."""
    y = {
        (column, item): value
        for column, items in enumerate(columns)
        for item, value in _stack(items, column, sources).items()
    }
    neighbours: dict[Any, list[tuple[Any, float]]] = {key: [] for key in y}
    for (column, item), pairs in sources.items():
        for source, edge in pairs:
            # Weights keep lanes straight; lines to the output count least.
            weight = 4.0 if item.kind == "lane" else 1.0 if edge else 0.3
            neighbours[column, item].append(((column - 1, source), weight))
            neighbours[column - 1, source].append(((column, item), weight))
    for sweep in range(24):
        order = range(len(columns)) if sweep % 2 == 0 else reversed(range(len(columns)))
        for column in order:
            keys = [(column, item) for item in reversed(columns[column])]  # upwards
            targets = []
            for key in keys:
                weights = sum(weight for _, weight in neighbours[key])
                total = sum(weight * y[other] for other, weight in neighbours[key])
                targets.append(total / weights if weights else y[key])
            heights = [_height(key[1], len(sources.get(key, ()))) for key in keys]
            y.update(zip(keys, spread(targets, heights), strict=True))
    return y


def _assemble(cell, columns, sources, y, op_width, input_width) -> Layout:
    """The layout of placed items: positions of all that is drawn, and the links between."""
    heights = {key: _height(key[1], len(sources.get(key, ()))) for key in y}
    low = min(value - heights[key] / 2 for key, value in y.items())
    high = max(value + heights[key] / 2 for key, value in y.items())
    y = {key: value - low for key, value in y.items()}

    nodes: dict[int, Point] = {}
    output = None
    operations: list[Operation] = []
    right_ends: dict[tuple[int, _Item], Point] = {}  # start of the links to the next column
    links: list[Link] = []
    right = 0.0
    for column, items in enumerate(columns):
        left = right + CURVES if column else 0.0
        ops = [edge[2] for item in items for _, edge in sources.get((column, item), ()) if edge]
        pill_width = max((op_width[op] for op in ops), default=0)
        width = pill_width + STEM + NODE if pill_width else NODE if column else input_width
        right = left + width
        for item in items:
            key = (column, item)
            pairs = sources.get(key, [])
            if item.kind == "output":
                output = (right - NODE / 2, y[key])
            if item.kind == "node":
                half = input_width / 2 if item.node < cell.inputs else NODE / 2
                nodes[item.node] = (right - half, y[key])
            right_ends[key] = (right, y[key])
            # Operations of a node are stacked in the order of their sources.
            ordered = sorted(pairs, key=lambda pair, column=column: -y[column - 1, pair[0]])
            for rank, (source, edge) in enumerate(ordered):
                start = right_ends[column - 1, source]
                if edge is None:
                    end = (left, y[key])
                    lane_end = (right, y[key]) if item.kind == "lane" else None
                    links.append(Link(start, end, lane_end, None, frozenset()))
                    continue
                pill_y = y[key] + PITCH * ((len(pairs) - 1) / 2 - rank)
                operations.append(Operation(edge, (left + pill_width / 2, pill_y), pill_width))
                reached_ops = frozenset({edge[2]})
                links.append(Link(start, (left, pill_y), None, edge[2], reached_ops))
    links = _with_reached_ops(links)
    return Layout(right, high - low, nodes, tuple(operations), tuple(links), output)


def _with_reached_ops(links: list[Link]) -> list[Link]:
    """Sets the operations that links to lanes lead to, from the last column backwards."""
    backwards: list[Link] = []
    for link in reversed(links):
        if link.lane_end:
            onward = (later.reached_ops for later in backwards if later.start == link.lane_end)
            link = link._replace(reached_ops=frozenset().union(*onward))
        backwards.append(link)
    return backwards[::-1]
