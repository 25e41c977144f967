"""`evaluations.jsonl`: all that was asked and told, which is the checkpoint of a search.

A line is written before a batch of designs is evaluated, and one for each evaluation:

    {"ask": 3, "designs": [[3, 3, 1, 3, 0, 2], ...]}
    {"of": [3, 3, 1, 3, 0, 2], "figures": {"valid": 91.2}, "seconds": 41.3}
    {"of": [4, 0, 1, 0, 0, 2], "failed": "NonFiniteError: the loss is nan", "seconds": 3.3}

The first ask may have `"from": RUN`: designs of another run, which are not charged.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from jaxnas.run import files
from jaxnas.run.files import RunError
from jaxnas.strategies.designs import design_space
from jaxnas.strategies.designs.design_space import Designs, DesignSpace

FILE = "evaluations.jsonl"


class Result(NamedTuple):
    """An evaluation."""

    figures: Mapping[str, float] | None  # None: it failed
    failure: str | None
    seconds: float


class Ask(NamedTuple):
    """Designs that were asked for at once."""

    designs: Designs
    source: str | None = None  # the run that they come from; None: asked of the strategy


class EvaluationLog(NamedTuple):
    """The file in memory."""

    asks: tuple[Ask, ...]
    results: Mapping[bytes, Result]  # by `design_space.keys`; the last line of a design counts


def read(path: Path, space: DesignSpace) -> EvaluationLog:
    """The log of a file; empty if there is none. A torn last line is cut off the file.

    Raises RunError, with the number of the line, for anything else that is not a log of the space.
    """
    if not path.exists():
        return EvaluationLog((), {})
    with files.as_run_error(path):
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(path, len(whole))
    asks: list[Ask] = []
    results: dict[bytes, Result] = {}
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            entry = json.loads(line)
            if "of" in entry:
                key, result = _result(entry, space)
                results[key] = result
            else:
                asks.append(_ask(entry, len(asks), space))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            cause = " ".join(str(error).split()) or type(error).__name__
            raise RunError(
                f"{path}, line {number} is no record of an evaluation ({cause}): restore the file, "
                "or delete this line and all that follow to go on from there."
            ) from None
    return EvaluationLog(tuple(asks), results)


def write_ask(file: IO[bytes], number: int, ask: Ask) -> None:
    """Appends an ask, synced to disk. Raises RunError."""
    source = {} if ask.source is None else {"from": ask.source}
    _append(file, {"ask": number, **source, "designs": ask.designs.tolist()})


def write_result(file: IO[bytes], design: np.ndarray, result: Result) -> None:
    """Appends an evaluation, synced to disk. Raises RunError."""
    entry: dict[str, Any] = {"of": design.tolist()}
    if result.figures is None:
        entry["failed"] = result.failure
    else:
        entry["figures"] = {name: float(value) for name, value in result.figures.items()}
    _append(file, entry | {"seconds": round(result.seconds, 3)})


def _append(file: IO[bytes], entry: Mapping[str, Any]) -> None:
    with files.as_run_error(file.name):
        file.write(json.dumps(entry, allow_nan=False).encode() + b"\n")
        os.fsync(file.fileno())


def _ask(entry: Mapping[str, Any], number: int, space: DesignSpace) -> Ask:
    if entry["ask"] != number:
        raise ValueError(f"ask {entry['ask']} where {number} is due")
    source = entry.get("from")
    return Ask(design_space.check(space, np.array(entry["designs"])), source)


def _result(entry: Mapping[str, Any], space: DesignSpace) -> tuple[bytes, Result]:
    designs = design_space.check(space, np.array([entry["of"]]))
    seconds = float(entry["seconds"])
    if "failed" in entry:
        result = Result(None, str(entry["failed"]), seconds)
    else:
        figures = {name: float(value) for name, value in entry["figures"].items()}
        if not all(math.isfinite(value) for value in figures.values()):
            raise ValueError("a figure is not finite")
        result = Result(figures, None, seconds)
    return design_space.keys(designs)[0], result
