"""Tables of what the candidates of a chain compute at each layer: MACs, bytes, or the like."""

from pathlib import Path

import numpy as np

from jaxnas.core.types import Space
from jaxnas.hardware.tables import latency_table
from jaxnas.hardware.tables.latency_table import TableError
from jaxnas.spaces import genome, layers

KEYS = ("layer", "op")


def read(path: Path, space: Space) -> np.ndarray:
    """f64[positions, candidates, quantities] of a chain: 0 where a layer has no such candidate.

    Columns: `layer`, counted from 0 or from 1, `op`, a candidate's name, and one or more of
    numbers that are not negative; a row for each candidate of each layer. Raises TableError.
    """
    table = latency_table.read(path)
    quantities = [name for name in table.names if name not in KEYS]
    if not set(KEYS) <= set(table.names) or not quantities:
        raise TableError(
            f"{path} has the columns {', '.join(table.names)}: it needs `layer`, `op`, and numbers."
        )
    if not genome.is_chain(space):
        raise TableError(f"{path} has no effect on cells: sizes of layers are of chains; leave it.")
    numbers = [row.entries["layer"] for row in table.rows]
    if not all(number.isdecimal() for number in numbers):
        raise TableError(f"{path}: layers are numbers, counted from 0 or from 1.")
    positions = genome.positions(space)
    try:
        start = layers.first_number(list(map(int, numbers)), [p.edge[0] for p in positions])
    except ValueError as error:
        raise TableError(f"{path}: {error}") from error
    found = {
        (int(number) - start, row.entries["op"]): [
            latency_table.value(table, row, name, minimum=0.0) for name in quantities
        ]
        for number, row in zip(numbers, table.rows, strict=True)
    }
    work = np.zeros((len(positions), max(genome.cardinalities(space)), len(quantities)))
    for p, position in enumerate(positions):
        for o, name in enumerate(position.candidates):
            if (position.edge[0], name) not in found:
                raise TableError(f"{path} has no {name!r} at layer {position.edge[0] + start}.")
            work[p, o] = found[position.edge[0], name]
    return work
