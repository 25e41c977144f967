"""Latency benchmarks of many devices: .npz tables of the networks of a space."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnas.core.types import Choice, Space
from jaxnas.hardware.predict.features import chain_features
from jaxnas.hardware.tables.latency_table import LatencyTable, Row, TableError
from jaxnas.spaces import choices as spaces
from jaxnas.spaces import genome, registry

CELLS_FILE = "nb201_arch.npz"


class BenchmarkLatencies(NamedTuple):
    space: Space
    networks: np.ndarray  # i64[N, positions]
    devices: tuple[str, ...]
    latency_ms: np.ndarray  # f64[devices, N], NaN: not measured
    work: np.ndarray | None  # f64[positions, candidates, quantities] of a chain with known sizes

    def column(self, device: str) -> np.ndarray:
        """f64[N] of one device of the table."""
        return self.latency_ms[self.devices.index(device)]


def read(path: Path, cells: Path | None = None) -> BenchmarkLatencies:
    """The table in a file of one of three forms; times are positive, or NaN if not measured.

    1. NAS-Bench-201: `devices` and `latency_ms` [device, network]; the cells (`ops`) are in the
       file `cells`, by default nb201_arch.npz in the same folder.
    2. A chain: the same with `ops` [network, layer], `op_names`, and `work`
       [layer, candidate, quantity] if its sizes are known. Layers whose operations are numbers
       (r160, r192) are settings of the whole network, and have no other operations.
    3. One device: `idx` and `rounds_ms` [session, round, program]; rounds are normalised by their
       medians, the first `n_random` programs are used.
    Raises TableError.
    """
    path = Path(path)
    arrays = read_arrays(path)
    if "rounds_ms" in arrays:
        space, networks = _cells(path, cells)
        table = _rounds(path, arrays, space, networks)
    else:
        _require(path, arrays, "devices", "latency_ms")
        if "ops" in arrays:
            space, networks, work = _chain(path, arrays)
        else:
            (space, networks), work = _cells(path, cells), None
        names = tuple(map(str, np.atleast_1d(arrays["devices"])))
        table = BenchmarkLatencies(
            space, networks, names, np.asarray(arrays["latency_ms"], float), work
        )
    if table.latency_ms.shape != (len(table.devices), len(table.networks)):
        raise TableError(
            f"{path}: latency_ms has the shape {table.latency_ms.shape}; there are "
            f"{len(table.devices)} devices and {len(table.networks)} networks: it is of another "
            "space, or its cells are."
        )
    invalid = np.isinf(table.latency_ms) | (table.latency_ms <= 0)
    if invalid.any():
        device = table.devices[int(np.argwhere(invalid)[0][0])]
        raise TableError(
            f"{path}: {invalid.sum()} times are zero, negative or infinite, the first of {device}: "
            "write NaN for what was not measured."
        )
    genome.check(table.space, table.networks)
    return table


def as_table(path: Path) -> LatencyTable:
    """A file of `devices`, `latency_ms` [device, network], `ops` and `op_names` as rows by name.

    So its networks may be read as those of another space with these operations. Networks without a
    time are left out. Raises TableError.
    """
    path = Path(path)
    arrays = read_arrays(path)
    _require(path, arrays, "devices", "latency_ms", "ops", "op_names")
    names, ops = np.asarray(arrays["op_names"], str), np.asarray(arrays["ops"])
    ms = np.atleast_2d(np.asarray(arrays["latency_ms"], float))
    is_codes = ops.ndim == 2 and np.issubdtype(ops.dtype, np.integer)
    if not is_codes or not len(ops) or ops.min() < 0 or ops.max() >= len(names):
        raise TableError(f"{path}: ops are no whole numbers [network, position] of op_names.")
    devices = np.atleast_1d(arrays["devices"])
    if ms.shape != (len(devices), len(ops)):
        raise TableError(f"{path}: latency_ms has the shape {ms.shape}, not [device, network].")
    networks = [" ".join(row) for row in names[ops]]
    rows = [
        Row(i + 1, {"network": networks[i], "device": str(device), "latency_ms": repr(float(x))})
        for device, row in zip(devices, ms, strict=True)
        for i, x in enumerate(row)
        if not np.isnan(x)
    ]
    return LatencyTable(path, rows, ("network", "device", "latency_ms"))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file. Raises TableError."""
    if not path.is_file():
        raise TableError(f"There is no table {path}: give the path of an .npz file.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError) as error:
        raise TableError(
            f"{path} is no .npz file of plain arrays ({str(error).splitlines()[0][:80]})."
        ) from error


def _require(path: Path, arrays: dict[str, np.ndarray], *names: str) -> None:
    missing = [name for name in names if name not in arrays]
    if missing:
        raise TableError(f"{path} has no {missing[0]!r}, only {', '.join(arrays) or 'nothing'}.")


def _cells(path: Path, cells: Path | None) -> tuple[Space, np.ndarray]:
    cells_path = Path(cells) if cells else path.parent / CELLS_FILE
    arrays = read_arrays(cells_path)
    _require(cells_path, arrays, "ops", "op_names", "edges")
    names = tuple(map(str, arrays["op_names"]))
    space = {"cell": spaces.uniform([tuple(map(int, e)) for e in arrays["edges"]], names)}
    return space, arrays["ops"].astype(int)


def _chain(path: Path, arrays: dict[str, np.ndarray]) -> tuple[Space, np.ndarray, np.ndarray]:
    _require(path, arrays, "op_names")
    ops, names = arrays["ops"], tuple(map(str, arrays["op_names"]))
    if ops.ndim != 2 or not np.issubdtype(ops.dtype, np.integer):
        raise TableError(f"{path}: ops are whole numbers [network, layer], not {ops.shape}.")
    depth, work = ops.shape[1], arrays.get("work")
    is_known = ops.size > 0 and ops.min() >= 0 and ops.max() < len(names)
    if is_known and (used := _with_settings(ops, names)) is not None:
        return _of_names(path, ops, names, used, work)
    space = {"layers": Choice(tuple((i, i + 1) for i in range(depth)), (names,) * depth)}
    if work is None:
        work = registry.table_workload(names, depth)
    return space, ops.astype(int), work


def _with_settings(ops: np.ndarray, names: Sequence[str]) -> list[list[int]] | None:
    """The operations at each position, of a table with settings of the whole network; else None.

    Those of layers are all that any layer has.
    """
    used = [np.unique(column).tolist() for column in ops.T]
    alone = {
        str(p): Choice(((p, p + 1),), (tuple(names[o] for o in codes),))
        for p, codes in enumerate(used)
    }
    found = chain_features.settings(alone)
    of_layers = sorted({o for p, codes in enumerate(used) if p not in found for o in codes})
    if not found or any(set(used[p]) & set(of_layers) for p in found):
        return None
    return [codes if p in found else of_layers for p, codes in enumerate(used)]


def _of_names(
    path: Path, ops: np.ndarray, names: Sequence[str], used: list[list[int]], work
) -> tuple[Space, np.ndarray, np.ndarray | None]:
    """As `_chain`, each position with its `used` operations alone."""
    space = {
        f"position {p}": Choice(((p, p + 1),), (tuple(names[o] for o in codes),))
        for p, codes in enumerate(used)
    }
    networks = np.stack([np.searchsorted(used[p], ops[:, p]) for p in range(len(used))], 1)
    if work is not None:
        if np.ndim(work) != 3 or np.shape(work)[:2] != (len(used), len(names)):
            raise TableError(f"{path}: work is not [layer, operation, quantity]: leave it out.")
        full, work = work, np.zeros((len(used), max(map(len, used)), work.shape[2]))
        for p, codes in enumerate(used):
            work[p, : len(codes)] = full[p, codes]
    return space, networks, work


def _rounds(path: Path, arrays: dict, space: Space, networks: np.ndarray) -> BenchmarkLatencies:
    _require(path, arrays, "idx")
    rounds = np.asarray(arrays["rounds_ms"], float)
    if rounds.ndim != 3 or not (np.isfinite(rounds).all() and (rounds > 0).all()):
        raise TableError(f"{path}: rounds_ms are positive times [session, round, program].")
    medians = np.median(rounds, 2, keepdims=True)
    sessions = np.median(rounds / medians, 1) * np.median(medians, (1, 2))[:, None]
    # One factor per session: the machine may have been busier throughout one of them.
    session_factor = np.median(sessions[0] / sessions, 1, keepdims=True)
    ms = np.exp(np.mean(np.log(sessions * session_factor), 0))
    count = int(arrays.get("n_random", len(ms)))
    index = arrays["idx"].astype(int)[:count]
    return BenchmarkLatencies(space, networks[index], (path.stem,), ms[None, :count], None)
