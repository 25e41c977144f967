"""The file of a model of columns: JSON, checked when loaded."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from jaxnas.hardware.columns import column_features
from jaxnas.hardware.columns.column_model import ColumnModel
from jaxnas.hardware.predict import model_file
from jaxnas.run import files

FORMAT, VERSION = "jaxnas column model", 1
ARRAYS = "errors", "ranges", "logs", "powers", "means", "slopes"
NUMBERS = "least", "median", "floor", "log_factor", "constant"


def save(path: Path, model: ColumnModel) -> None:
    """Writes the file atomically. Raises RunError if it cannot be written."""
    record = {"format": FORMAT, "version": VERSION} | model._asdict()
    record |= {name: record[name].tolist() for name in ARRAYS}
    record["weights"] = {name: value.tolist() for name, value in model.weights.items()}
    files.write_text(path, json.dumps(record) + "\n")


def is_one(path: Path) -> bool:
    """Whether a file says that it is one; no for whatever cannot be read."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(record, dict) and record.get("format") == FORMAT


def load(path: Path, *, device: str | None = None) -> ColumnModel:
    """The model in a file; of the given device, if any. Raises ModelFileError."""
    return model_file.load(path, FORMAT, (VERSION,), _model, device)


def _model(record: dict[str, Any]) -> ColumnModel:
    fields = {name: record[name] for name in ColumnModel._fields}
    fields |= {name: np.array(record[name], float) for name in ARRAYS}
    fields |= {name: float(record[name]) for name in NUMBERS}
    fields["names"] = tuple(record["names"])
    fields["weights"] = {n: np.array(value, float) for n, value in record["weights"].items()}
    model = ColumnModel(**fields)
    texts = (*model.names, *model.constants, model.device, model.quantity)
    if not model.names or not all(isinstance(text, str) for text in texts):
        raise ValueError("a name that is no word")
    count = len(model.names)
    shapes = {"ranges": (2, count), "errors": (len(model.errors),)}
    for name in ARRAYS:
        if fields[name].shape != shapes.get(name, (count,)) or not fields[name].size:
            raise ValueError(f"{name} of another number of columns")
    groups = column_features.groups(np.zeros((1, count)))
    if any(groups[name].shape[1:] != value.shape for name, value in model.weights.items()):
        raise ValueError("weights of other columns")
    numbers = [fields[name] for name in (*ARRAYS, *NUMBERS)]
    numbers += [*model.weights.values(), list(model.constants.values())]
    if not all(np.isfinite(np.array(part, float)).all() for part in numbers):
        raise ValueError("a number is not finite")
    logged = model.logs > 0
    if (model.ranges[0] > model.ranges[1]).any() or (model.ranges[0, logged] <= 0).any():
        raise ValueError("ranges that are none")
    if not (model.least > 0 and model.median > 0 and model.floor >= 0):
        raise ValueError("a number that is not positive")
    return model
