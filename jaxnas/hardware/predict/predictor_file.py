"""The file of a predictor: JSON, checked when loaded."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from jaxnas.core.types import Choice, Space
from jaxnas.hardware.predict import fit, model_file, two_modes
from jaxnas.hardware.predict.features.chain_features import Factor
from jaxnas.hardware.predict.predictor import Predictor, linear_ms
from jaxnas.run import files
from jaxnas.spaces import genome

FORMAT = "jaxnas latency model"
VERSION, WITH_FACTORS = 1, 2  # of files; of chains whose settings multiply layers


def save(path: Path, model: Predictor) -> None:
    """Writes the file atomically. Raises RunError if it cannot be written."""
    space = [
        [name, [list(e) for e in choice.edges], [list(row) for row in choice.candidates]]
        for name, choice in model.space.items()
    ]
    plain = lambda value: None if value is None else np.asarray(value).tolist()
    # The table follows from the weights.
    version = WITH_FACTORS if model.factors else VERSION
    record = {"format": FORMAT, "version": version} | model._asdict() | {"space": space}
    record |= {name: plain(record[name]) for name in ("errors", "costs", "pairs")}
    weights = model.weights
    record["weights"] = weights and {name: plain(value) for name, value in weights.items()}
    del record["table"], record["factors"]
    if model.factors:
        record["factors"] = [[plain(part) for part in factor] for factor in model.factors]
    files.write_text(path, json.dumps(record) + "\n")


def load(path: Path, *, device: str | None = None, space: Space | None = None) -> Predictor:
    """The predictor in a file; of the given device and space, if any.

    Raises ModelFileError.
    """
    model = model_file.load(path, FORMAT, (VERSION, WITH_FACTORS), _model, device)
    if space is not None and dict(model.space) != dict(space):
        raise model_file.ModelFileError(f"{path} was fitted for another space: fit one for this.")
    return model


def _model(record: dict[str, Any]) -> Predictor:
    space = {
        name: Choice(tuple((int(s), int(t)) for s, t in edges), tuple(map(tuple, candidates)))
        for name, edges, candidates in record["space"]
    }
    array = lambda value: None if value is None else np.array(value, float)
    fields = {name: record[name] for name in Predictor._fields if name in record}
    fields |= {"space": space} | {
        name: array(record[name]) for name in ("errors", "costs", "pairs")
    }
    factors = [Factor(*map(array, parts)) for parts in record.get("factors", ())]
    fields["factors"] = tuple(factors)
    weights = record["weights"]
    fields["weights"] = weights and {name: array(value) for name, value in weights.items()}
    modes = record.get("modes")
    fields["modes"] = modes and two_modes.Modes(*((float(a), float(b)) for a, b in modes))
    if fields["modes"] and not 0 < fields["modes"].fast_ms[1] < fields["modes"].slow_ms[0]:
        raise ValueError("modes that overlap")
    model = Predictor(**fields)
    numbers = [model.constant, model.least_ms, model.median_ms, model.absolute_ms]
    for durations in model.ways.values():
        numbers += durations.values()
    for shares in (*model.dead_shares.values(), *(model.modes or ())):
        numbers += shares
    parts = [model.errors, *(weights or {}).values(), model.costs, model.pairs, numbers]
    parts += [part for factor in factors for part in factor]
    if not all(_is_finite(part) for part in parts if part is not None):
        raise ValueError("a number is not finite")
    if (model.weights is None) == (model.costs is None) or not len(model.errors):
        raise ValueError("neither costs nor weights")
    if not isinstance(model.quantity, str):
        raise ValueError("a quantity that is no word")
    if model.costs is not None:
        shape = len(genome.positions(space)), max(genome.cardinalities(space))
        if any(costs.shape != shape for costs in (model.costs, *(f for fs in factors for f in fs))):
            raise ValueError("costs of another space")
        return model
    # Raises KeyError or ValueError where parts are missing.
    linear_ms(model, genome.sample_uniform(space, 1))
    return fit.with_table(model) if genome.is_enumerable(space) else model


def _is_finite(part: Any) -> bool:
    """Finite in float32, the type of features."""
    return bool((np.abs(np.array(part, float)) < np.finfo(np.float32).max).all())
