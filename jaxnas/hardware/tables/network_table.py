"""Tables of measured whole networks: a campaign's own, or users' CSV files."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxnas.core.types import Space
from jaxnas.hardware import programs
from jaxnas.hardware.predict import validation
from jaxnas.hardware.predict.features import chain_features
from jaxnas.hardware.predict.predictor import LATENCY
from jaxnas.hardware.tables import latency_table, scale
from jaxnas.hardware.tables.latency_table import UNITS, DominancePair, LatencyTable, Row, TableError
from jaxnas.spaces import dataflow, genome, op_names, registry
from jaxnas.spaces.genotype import GenotypeError

NOTATION = "|"  # first character of a network in a space's own notation
PARTS = tuple(kind for kind in programs.KINDS if kind != programs.NETWORK)  # not whole networks
MAX_COMPARED = 20_000  # networks compared pairwise, which takes some seconds


class MeasuredNetworks(NamedTuple):
    """Networks of a space and their times."""

    device: str
    networks: np.ndarray  # i64[N, positions]
    latency_ms: np.ndarray  # f64[N]
    lines: np.ndarray  # i64[N], of the file


def layer_table_message(table: LatencyTable) -> str:
    """The message that a look-up table of layers cannot be used as a table of networks."""
    return (
        f"{table.path} is a {table.form} look-up table of layers, from which no model of whole "
        f"networks is fitted: `jaxnas latency check {table.path}` says what it holds."
    )


def devices(table: LatencyTable) -> list[str]:
    """The names in the device column, if there is one."""
    named = "device" in table.names
    return sorted({row.entries["device"] for row in table.rows}) if named else []


def of_device(table: LatencyTable, device: str | None) -> tuple[LatencyTable, str]:
    """(the rows of a device, its name): the only one by default; "": the table names none.

    Raises TableError for another device, and for several to choose from.
    """
    path, named = table.path, devices(table)
    if device is not None and named and device not in named:
        raise TableError(f"{path} is of {', '.join(named)}, not of {device!r}.")
    if device is None and len(named) > 1:
        raise TableError(
            f"{path} is of several devices ({', '.join(named)}): choose one with --device."
        )
    if not named or device is None:
        return table, device or (named[0] if named else "")
    rows = [row for row in table.rows if row.entries["device"] == device]
    return table._replace(rows=rows), device


def read_networks(
    table: LatencyTable, space: Space, *, device: str | None = None, column: str | None = None
) -> MeasuredNetworks:
    """The networks and times of a table, a row a network.

    Columns: `network`, the names or indices of its candidates in the order of positions, separated
    by spaces, or NAS-Bench-201's string; one of latency_ms, latency_us, latency_ns, latency_s; and
    `device` if several devices share the file: `device` selects one. `column`: reads another
    quantity than times, unconverted, from the column of that name. In a campaign's table the
    networks are those of the column `architecture`, and rows whose `kind` is not `network` are left
    out. Raises TableError for other columns, a network of another space, another device, and times
    that are not positive, FitError for rows of one network that disagree.
    """
    path, names = table.path, table.names
    if table.form in latency_table.LAYER_TABLES:
        raise TableError(layer_table_message(table))
    units = [name for name in names if name in UNITS]
    if column is not None and column not in names:
        raise TableError(f"{path} has the columns {', '.join(names)}, and no {column!r}.")
    if "network" not in names or (column is None and len(units) != 1):
        raise TableError(
            f"{path} has the columns {', '.join(names)}: it needs `network` and one of "
            f"{', '.join(UNITS)}."
        )
    rows = [row for row in table.rows if row.entries.get("kind") not in PARTS]
    if not rows:
        raise TableError(f"{path} has no whole networks: measure some with --kinds network.")
    table, device = of_device(table._replace(rows=rows), device)
    rows = table.rows
    networks = np.array([_network(table, row, space) for row in rows])
    time_column = units[0] if column is None else column
    values = [latency_table.value(table, row, time_column) for row in rows]
    times = np.array(values) * UNITS.get(time_column, 1.0)
    lines = np.array([row.line for row in rows])
    if "kind" not in names:  # not a campaign's own table
        quantity = time_column if time_column not in UNITS else LATENCY
        validation.check_repeats(space, networks, times, quantity)
        # A device may prune a network without a path from input to output to nothing.
        alive = np.flatnonzero(dataflow.connected(space, networks))
        for part in chain_features.alike(space, networks[alive]):
            rows_alike = alive[part]
            scale.check_networks(
                networks[rows_alike], np.array(values)[rows_alike], lines[rows_alike], str(path),
                time_column,
            )  # fmt: skip
    return MeasuredNetworks(device, networks, times, lines)


def networks_alone(table: LatencyTable, space: Space) -> tuple[np.ndarray, list[str]]:
    """(i64[N, positions], how the table writes each): the distinct networks, whatever their times.

    Raises TableError as `read_networks`.
    """
    if "network" not in table.names:
        raise TableError(
            f"{table.path} has the columns {', '.join(table.names)}, and no `network`."
        )
    rows = [row for row in table.rows if row.entries.get("kind") not in PARTS]
    distinct = {row.entries["network"]: row for row in rows}
    networks = np.array([_network(table, row, space) for row in distinct.values()])
    return networks.reshape(len(distinct), -1), list(distinct)


def codes_of(text: str, space: Space) -> np.ndarray:
    """i64[positions] of a network's candidates, by names or indices with spaces between.

    Raises GenotypeError for one of another space.
    """
    return _parse_names(text, space)


def dominance_violations(
    measured: MeasuredNetworks, space: Space
) -> tuple[int, list[DominancePair]]:
    """(number of dominance pairs, those that violate it) among networks of a table.

    In a pair one network differs from the other in dominating candidates only. Of the first
    MAX_COMPARED networks; violations within the device's noise count as well.
    """
    positions = genome.positions(space)
    networks, ms = measured.networks[:MAX_COMPARED], measured.latency_ms[:MAX_COMPARED]
    count, violations = 0, []
    dominance = [_dominance(position.candidates) for position in positions]
    for i, network in enumerate(networks):
        dominating = (networks != network).any(1)
        for p, code in enumerate(network):
            dominating &= dominance[p][code, networks[:, p]]
        count += int(dominating.sum())
        for j in np.flatnonzero(dominating & (ms < ms[i])):
            changed = np.flatnonzero(networks[j] != network)
            names = (
                " ".join(positions[p].candidates[row[p]] for p in changed)
                for row in (network, networks[j])
            )
            location = f"lines {measured.lines[i]} and {measured.lines[j]}"
            violations.append(DominancePair(location, *names, float(ms[i]), float(ms[j])))
    return count, violations


def _network(table: LatencyTable, row: Row, space: Space) -> np.ndarray:
    """The codes of a row's network: names, indices, a genotype, or a space's own notation."""
    text = row.entries["network"]
    architecture = row.entries.get("architecture", "")
    # In tables that are not ours the column may name a processor.
    architecture = architecture if architecture.startswith("{") else ""
    location = f"{table.path}, line {row.line}"
    try:
        if architecture or text.startswith(NOTATION):
            genotype = registry.parse_genotype(architecture or text)
            codes = genome.encode(space, genotype)
        else:
            codes = _parse_names(text, space)
    except GenotypeError as error:
        raise TableError(f"{location}: {error}") from error
    if not architecture and -1 in codes:
        raise TableError(f"{location}: {text!r} has not all edges of the space: it is of another.")
    return codes


def _parse_names(text: str, space: Space) -> np.ndarray:
    positions, tokens = genome.positions(space), text.split()
    if len(tokens) != len(positions):
        raise GenotypeError(
            f"{text!r} has {len(tokens)} positions, the space has {len(positions)}: it is of "
            "another space."
        )
    codes = []
    for token, position in zip(tokens, positions, strict=True):
        if token in position.candidates:
            codes.append(position.candidates.index(token))
        elif token.isdecimal() and int(token) < len(position.candidates):
            codes.append(int(token))
        else:
            raise GenotypeError(
                f"The space has no candidate {token!r} there, only "
                f"{', '.join(position.candidates)}."
            )
    names = [p.candidates[code] for p, code in zip(positions, codes, strict=True)]
    genome.check_widths(names if genome.is_chain(space) else [])
    return np.array(codes)


def _dominance(names: Sequence[str]) -> np.ndarray:
    """bool[O + 1, O + 1]: whether candidate j equals or dominates i; the last index is no edge."""
    dominance = np.eye(len(names) + 1, dtype=bool)
    dominance[:-1, :-1] |= op_names.dominates(names)
    return dominance
