"""A narrowing on disk: what remains of a network, with its weights, step by step."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnas import data, run
from jaxnas.core.types import Stats, Weights
from jaxnas.run import checkpoint
from jaxnas.spaces.search_space import Prunable
from jaxnas.strategies import net_adapt

STEPS, WEIGHTS = "steps.json", "narrowed"


class Trained(NamedTuple):
    """What remains of a network, with its weights."""

    remaining: Any  # as `Prunable` names it
    weights: Weights
    stats: Stats


class NarrowingState(NamedTuple):
    """A narrowing as far as it came."""

    trained: Trained
    steps: list[net_adapt.Step]
    done: bool


def save(folder: Path, prunable: Prunable, narrowing: NarrowingState) -> None:
    """Writes what remains and its weights, then the file that says that all is there."""
    text = prunable.to_text(narrowing.trained.remaining)
    name = hashlib.sha256(text.encode()).hexdigest()
    where = folder / WEIGHTS / name[:16]
    # A narrowing that was stopped while it was written is written anew.
    shutil.rmtree(where, ignore_errors=True)
    with checkpoint.open_store(where, name) as store:
        store.save(0, (narrowing.trained.weights, narrowing.trained.stats))
    steps = [step._asdict() for step in narrowing.steps]
    record = {"left": text, "steps": steps, "done": narrowing.done}
    run.write_text(folder / STEPS, json.dumps(record, indent=1) + "\n")
    for other in (folder / WEIGHTS).iterdir():
        if other != where:
            shutil.rmtree(other)
    if narrowing.done:
        run.write_text(folder / prunable.file, text)


def load(folder: Path, prunable: Prunable, dataset: data.DataSet) -> NarrowingState | None:
    """What `save` wrote last; None where it wrote nothing."""
    if not (folder / STEPS).exists():
        return None
    try:
        record = json.loads((folder / STEPS).read_text(encoding="utf-8"))
        remaining = prunable.from_text(record["left"])
        steps = [net_adapt.Step(**step) for step in record["steps"]]
        name, done = hashlib.sha256(record["left"].encode()).hexdigest(), bool(record["done"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise run.RunError(
            f"{folder} holds a damaged narrowing ({error}): delete {STEPS} and `tuned`, and it is "
            "made again."
        ) from error
    image = jnp.zeros((1, *dataset.train.inputs.shape[1:]), jnp.float32)
    template = run.init_compiled(prunable.network(remaining).init, jax.random.key(0), image)
    (weights, stats), _ = checkpoint.read(folder / WEIGHTS / name[:16], template, name)
    return NarrowingState(Trained(remaining, weights, stats), steps, done)
