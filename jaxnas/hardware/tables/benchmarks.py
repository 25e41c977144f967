"""Tables of many devices: the .npz files in which the networks of a space are timed."""

import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnas.core.types import Choice, Space
from jaxnas.hardware.tables.csv_table import TableError
from jaxnas.spaces import choices as spaces
from jaxnas.spaces import genome, registry

CELLS = "nb201_arch.npz"


class BenchmarkLatencies(NamedTuple):
    space: Space
    networks: np.ndarray  # i64[N, positions]
    devices: tuple[str, ...]
    latency_ms: np.ndarray  # f64[devices, N], NaN: not measured
    work: np.ndarray | None  # f64[positions, candidates, quantities] of a chain of known sizes

    def column(self, device: str) -> np.ndarray:
        """f64[N] of a device that the table has."""
        return self.latency_ms[self.devices.index(device)]


def read(path: Path, cells: Path | None = None) -> BenchmarkLatencies:
    """The table in a file of one of three forms; times must be positive, NaN is not measured.

    `devices` and `latency_ms` [device, network] of NAS-Bench-201, whose cells (`ops`) are in
    `cells`, by default nb201_arch.npz beside the file. The same with `ops` [network, layer] and
    `op_names` of a chain, and `work` [layer, candidate, quantity] if its sizes are known. Or
    `idx` and `rounds_ms` [session, round, program] of one device: rounds are normalised by their
    medians, the first `n_random` programs are kept. Raises TableError.
    """
    path = Path(path)
    arrays = _arrays(path)
    if "rounds_ms" in arrays:
        space, networks = _cells(path, cells)
        found = _pilot(path, arrays, space, networks)
    else:
        _need(path, arrays, "devices", "latency_ms")
        if "ops" in arrays:
            space, networks, known = _chain(path, arrays)
        else:
            (space, networks), known = _cells(path, cells), None
        names = tuple(map(str, np.atleast_1d(arrays["devices"])))
        found = BenchmarkLatencies(
            space, networks, names, np.asarray(arrays["latency_ms"], float), known
        )
    if found.latency_ms.shape != (len(found.devices), len(found.networks)):
        raise TableError(
            f"{path}: latency_ms has the shape {found.latency_ms.shape}; there are "
            f"{len(found.devices)} devices and {len(found.networks)} networks: it is of another "
            "space, or its cells are."
        )
    wrong = np.isinf(found.latency_ms) | (found.latency_ms <= 0)
    if wrong.any():
        device = found.devices[int(np.argwhere(wrong)[0][0])]
        raise TableError(
            f"{path}: {wrong.sum()} times are zero, negative or infinite, the first of {device}: "
            "write NaN for what was not measured."
        )
    genome.check(found.space, found.networks)
    return found


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise TableError(f"There is no table {path}: give the path of an .npz file.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError) as error:
        raise TableError(
            f"{path} is no .npz file of plain arrays ({str(error).splitlines()[0][:80]})."
        ) from error


def _need(path: Path, arrays: dict[str, np.ndarray], *names: str) -> None:
    missing = [name for name in names if name not in arrays]
    if missing:
        raise TableError(f"{path} has no {missing[0]!r}, only {', '.join(arrays) or 'nothing'}.")


def _cells(path: Path, cells: Path | None) -> tuple[Space, np.ndarray]:
    where = Path(cells) if cells else path.parent / CELLS
    arrays = _arrays(where)
    _need(where, arrays, "ops", "op_names", "edges")
    names = tuple(map(str, arrays["op_names"]))
    space = {"cell": spaces.uniform([tuple(map(int, e)) for e in arrays["edges"]], names)}
    return space, arrays["ops"].astype(int)


def _chain(path: Path, arrays: dict[str, np.ndarray]) -> tuple[Space, np.ndarray, np.ndarray]:
    _need(path, arrays, "op_names")
    ops, names = arrays["ops"], tuple(map(str, arrays["op_names"]))
    if ops.ndim != 2 or not np.issubdtype(ops.dtype, np.integer):
        raise TableError(f"{path}: ops are whole numbers [network, layer], not {ops.shape}.")
    depth = ops.shape[1]
    space = {"layers": Choice(tuple((i, i + 1) for i in range(depth)), (names,) * depth)}
    known = arrays.get("work")
    if known is None:
        known = registry.table_workload(names, depth)
    return space, ops.astype(int), known


def _pilot(path: Path, arrays: dict, space: Space, networks: np.ndarray) -> BenchmarkLatencies:
    _need(path, arrays, "idx")
    rounds = np.asarray(arrays["rounds_ms"], float)
    if rounds.ndim != 3 or not (np.isfinite(rounds).all() and (rounds > 0).all()):
        raise TableError(f"{path}: rounds_ms are positive times [session, round, program].")
    usual = np.median(rounds, 2, keepdims=True)
    sessions = np.median(rounds / usual, 1) * np.median(usual, (1, 2))[:, None]
    # One factor between sessions: the machine was busier in one of them as a whole.
    factor = np.median(sessions[0] / sessions, 1, keepdims=True)
    ms = np.exp(np.mean(np.log(sessions * factor), 0))
    count = int(arrays.get("n_random", len(ms)))
    index = arrays["idx"].astype(int)[:count]
    return BenchmarkLatencies(space, networks[index], (path.stem,), ms[None, :count], None)
