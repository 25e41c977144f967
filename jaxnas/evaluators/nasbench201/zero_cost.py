"""Training-free scores of NAS-Bench-201's cells, read from a table."""

import csv
import gzip
import zlib
from pathlib import Path

import numpy as np

from jaxnas.evaluators.nasbench201.isomorphism import COUNT, BenchmarkError


def load(path: Path | str, key: str) -> dict[str, np.ndarray]:
    """f64[15625] by score: columns `NAME_KEY` of a .csv or .csv.gz, NaN where a cell has none.

    The column `index` is the benchmark's number of the cell; `key` is that of a data set
    (`cost.SETS`). More is better. Raises BenchmarkError for a file that is unreadable or has
    none of it.
    """
    path = Path(path).expanduser()
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        names = [name for name in (rows[0] if rows else ()) if name.endswith(f"_{key}")]
        index = np.array([int(row["index"]) for row in rows])
        values = {n: np.array([float(row[n] or "nan") for row in rows]) for n in names}
    except (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError) as error:
        raise BenchmarkError(f"{path} is no table of training-free scores ({error}).") from error
    if not names:
        raise BenchmarkError(f"{path} has no column that ends with _{key}: give another file.")
    if index.min() < 0 or index.max() >= COUNT or len(np.unique(index)) < len(index):
        raise BenchmarkError(f"{path}: index must number cells from 0 to {COUNT - 1}, each once.")
    scores = {}
    for name, column in values.items():
        scores[name.removesuffix(f"_{key}")] = whole = np.full(COUNT, np.nan)
        whole[index] = np.where(np.isfinite(column), column, np.nan)
    return scores
