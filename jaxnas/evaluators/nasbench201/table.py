"""The table of NAS-Bench-201 in memory, and its .npz file."""

import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnas.evaluators.nasbench201 import cost, isomorphism
from jaxnas.evaluators.nasbench201.cost import SETS
from jaxnas.evaluators.nasbench201.isomorphism import COUNT, EDGES, GENOME, OPS, BenchmarkError
from jaxnas.spaces import genome
from jaxnas.spaces.nasbench201.notation import to_arch

VARIABLE = "JAXNAS_NASBENCH201"
EPOCHS = (12, 200)  # of the two trainings of every cell
SPLITS = ("valid", "test")
# c10_valid_12ep, c10_test_12ep, c10_valid_200ep, ...
ACCURACIES = tuple(
    f"{s.key}_{split}_{e}ep" for s in SETS.values() for e in EPOCHS for split in SPLITS
)
PARAMETERS = tuple(f"params_{s.key}" for s in SETS.values())
MACS = "flops_M_c10"
KEYS = ("index", "code", "arch", "iso_rep", "n_seeds", *ACCURACIES, *PARAMETERS, MACS)
MACS_TOLERANCE = 1e-4  # in millions: the benchmark's counter adds the classifier's 10 biases


class TabularBenchmark(NamedTuple):
    """One row a cell, in the benchmark's order: a row is the benchmark's index."""

    codes: np.ndarray  # i8[15625, 6]
    row_of: np.ndarray  # i64[15625]: the row of each cell, by `genome.index`
    same_as: np.ndarray  # i64[15625]: the first isomorphic row
    seeds: np.ndarray  # i64[15625]: number of trainings that the 200-epoch figures average
    valid: np.ndarray  # f64[3, 2, 15625]: percent; by data set (SETS) and epochs (EPOCHS)
    test: np.ndarray  # f64[3, 2, 15625]


def locate(path: str | None, environ: Mapping[str, str] = os.environ) -> Path:
    """The table's file: `path`, else the environment variable JAXNAS_NASBENCH201.

    Raises BenchmarkError if both are missing.
    """
    name = path or environ.get(VARIABLE)
    if not name:
        raise BenchmarkError(
            f"Where is the table of NAS-Bench-201? Give --table FILE or set {VARIABLE}; "
            "docs/oracle.md says how the file is made."
        )
    return Path(name).expanduser()


def load(path: Path | str) -> TabularBenchmark:
    """Reads and checks a table; docs/oracle.md has the format. Nothing is unpickled.

    Raises BenchmarkError for a file that is missing, unreadable or no table, and unless the rows
    are all the cells with accuracies in percent and the costs of the benchmark's networks.
    """
    path = Path(path)
    arrays = _arrays(path)
    fail = lambda cause: _fail(path, cause)
    for key, dtype_kinds in _kinds().items():
        if arrays[key].shape != (COUNT,):
            fail(f"{key} has the shape {arrays[key].shape}, not ({COUNT},)")
        if arrays[key].dtype.kind not in dtype_kinds:
            expected = {"U": "text", "iu": "whole numbers", "fiu": "numbers"}[dtype_kinds]
            fail(f"{key} holds {arrays[key].dtype}, not {expected}")
    if (wrong := arrays["index"] != np.arange(COUNT)).any():
        fail(f"index is {arrays['index'][wrong][0]} in row {wrong.argmax()}: number the rows")
    codes = _codes(arrays["code"], fail)
    if (wrong := arrays["arch"] != to_archs(codes)).any():
        fail(f"in row {wrong.argmax()} arch and code are different cells")
    for key in ACCURACIES:
        if (wrong := ~((arrays[key] >= 0) & (arrays[key] <= 100))).any():
            fail(f"{key} is {arrays[key][wrong][0]} in row {wrong.argmax()}, not percent")
    if (wrong := arrays["n_seeds"] < 1).any():
        fail(f"n_seeds is {arrays['n_seeds'][wrong][0]} in row {wrong.argmax()}, not 1 or more")
    _check_costs(arrays, codes, fail)
    same_as = isomorphism.representatives(codes)
    if (wrong := arrays["iso_rep"] != same_as).any():
        fail(f"iso_rep is not the first row that computes the same, in row {wrong.argmax()}")
    figures = lambda split: np.array(
        [[arrays[f"{s.key}_{split}_{e}ep"] for e in EPOCHS] for s in SETS.values()], np.float64
    )
    row_of = np.argsort(genome.index(GENOME.space, codes))
    return TabularBenchmark(
        codes, row_of, same_as, arrays["n_seeds"], figures("valid"), figures("test")
    )


def to_archs(rows: np.ndarray) -> np.ndarray:
    """U95[n]: the benchmark's notation of cells i[n, 6]."""
    blank = GENOME.decode(np.zeros(len(EDGES), int))
    edges = tuple((s, t, "{}") for s, t, _ in blank.cells["cell"].edges)
    cell = blank.cells["cell"]._replace(edges=edges)
    text = to_arch(blank._replace(cells={"cell": cell}))
    return np.array([text.format(*row) for row in np.array(OPS)[rows]])


def to_digits(rows: np.ndarray) -> np.ndarray:
    """U6[...]: cells i[..., 6] as six digits, an edge each."""
    return np.char.zfill(np.asarray(rows, np.int64).dot(10 ** np.arange(6)[::-1]).astype("U6"), 6)


def _kinds() -> dict[str, str]:
    """The allowed kinds of dtype of each array."""
    kinds = dict.fromkeys(KEYS, "iu")
    return kinds | dict.fromkeys(("code", "arch"), "U") | dict.fromkeys((*ACCURACIES, MACS), "fiu")


def _codes(digits: np.ndarray, fail) -> np.ndarray:
    codes = np.zeros((COUNT, len(EDGES)), np.int8)
    for row, text in enumerate(digits):
        if len(text) != len(EDGES) or not set(text) <= set("01234"):
            fail(f"code is {str(text)!r} in row {row}, not six digits from 0 to 4")
        codes[row] = [int(digit) for digit in text]
    if len(np.unique(genome.index(GENOME.space, codes))) < COUNT:
        values, counts = np.unique(digits, return_counts=True)
        fail(f"the cell {str(values[counts > 1][0])} stands twice")
    return codes


def _check_costs(arrays: Mapping[str, np.ndarray], codes: np.ndarray, fail) -> None:
    for dataset, key in zip(SETS.values(), PARAMETERS, strict=True):
        if (wrong := arrays[key] != (expected := cost.parameters(codes, dataset.classes))).any():
            row = wrong.argmax()
            fail(f"{key} is {arrays[key][row]} in row {row}, where the network has {expected[row]}")
    expected = cost.macs(codes, SETS["cifar10"].classes, SETS["cifar10"].side) / 1e6
    if (wrong := ~(np.abs(arrays[MACS] - expected) < MACS_TOLERANCE)).any():
        row = wrong.argmax()
        fail(f"{MACS} is {arrays[MACS][row]} in row {row}, where the network has {expected[row]}")


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise BenchmarkError(
            f"No table {path}: check the path; docs/oracle.md says how one is made."
        )
    broken = (OSError, ValueError, EOFError, KeyError, OverflowError, NotImplementedError)
    try:
        # np.load does not close a file that it opened itself if the archive is broken.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                _fail(path, "it is a single array")
            with archive:
                missing = [key for key in KEYS if key not in archive.files]
                if missing:
                    _fail(path, f"{len(missing)} of its arrays are missing, first {missing[0]}")
                return {key: archive[key] for key in KEYS}
    except BenchmarkError:
        raise
    except (*broken, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        cause = (str(error) or type(error).__name__).splitlines()[0]
        raise BenchmarkError(
            f"{path}: no readable .npz file ({cause}); copy it again, or make it by "
            "jaxnas oracle build."
        ) from error


def _fail(path: Path, cause: str):
    raise BenchmarkError(
        f"{path} is no table of NAS-Bench-201: {cause}. Make one by jaxnas oracle build."
    )
