"""The files of a narrowing: the pruned network after the last step, and its weights."""

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
    """A pruned network with its weights."""

    remaining: Any  # of `Prunable`
    weights: Weights
    stats: Stats


class NarrowingState(NamedTuple):
    """The state of a narrowing after its last step."""

    trained: Trained
    steps: list[net_adapt.Step]
    done: bool


def save(folder: Path, prunable: Prunable, narrowing: NarrowingState) -> None:
    """Writes the weights, then `steps.json`, which marks them as complete."""
    text = prunable.to_text(narrowing.trained.remaining)
    name = hashlib.sha256(text.encode()).hexdigest()
    location = folder / WEIGHTS / name[:16]
    # Removes the remains of an interrupted `save`.
    shutil.rmtree(location, ignore_errors=True)
    with checkpoint.open_store(location, name) as store:
        store.save(0, (narrowing.trained.weights, narrowing.trained.stats))
    steps = [step._asdict() for step in narrowing.steps]
    record = {"left": text, "steps": steps, "done": narrowing.done}
    run.write_text(folder / STEPS, json.dumps(record, indent=1) + "\n")
    for stale in (folder / WEIGHTS).iterdir():
        if stale != location:
            shutil.rmtree(stale)
    if narrowing.done:
        run.write_text(folder / prunable.file, text)


def load(folder: Path, prunable: Prunable, dataset: data.DataSet) -> NarrowingState | None:
    """The state of the last `save`; None if there is none. Raises RunError for damaged files."""
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
    template = run.first_state(prunable.network(remaining).init, jax.random.key(0), image)
    (weights, stats), _ = checkpoint.read(folder / WEIGHTS / name[:16], template, name)
    return NarrowingState(Trained(remaining, weights, stats), steps, done)
