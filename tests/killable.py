"""A toy search as a process to be killed: `python killable.py FOLDER [KILL]`, resumed by itself.

It prints `digest HEX` of the final state. KILL is `WHERE:NUMBER`, where the process ends itself
with SIGKILL: `chunk:N` in the N-th chunk, `epoch:N` in the N-th callback, `save:N` inside the
N-th save, while half a checkpoint is on disk. `KILLABLE_SLEEP_S`
makes every chunk last so long.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import orbax.checkpoint as ocp

from jaxnas import run
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.search import Transforms, bilevel
from jaxnas.core.types import Batch, Choice, Search, Supernet
from jaxnas.run import checkpoint, step_runner

STEPS_PER_EPOCH, TOTAL_STEPS = 10, 40
SAVING = run.SavePolicy(every_steps=4, every_s=None)


def toy_search() -> Search:
    """DARTS on a network without convolutions: two edges, three candidates, eight features."""
    edges = ((0, 1), (0, 2))
    space = {"normal": Choice(edges, (("none", "skip_connect", "dense"),) * 2)}

    def init(key, inputs):
        keys = jax.random.split(key, 2)
        weights = {
            "dense": 0.3 * jax.random.normal(keys[0], (2, 8, 8)),
            "head": 0.3 * jax.random.normal(keys[1], (8, 3)),
        }
        return weights, {"mean": jnp.zeros(8)}

    def infer(weights, stats, gates, inputs):
        x = inputs.reshape(len(inputs), -1) - stats["mean"]
        gate = gates["normal"]
        nodes = [gate[e, 1] * x + gate[e, 2] * jnp.tanh(x @ weights["dense"][e]) for e in range(2)]
        return sum(nodes) @ weights["head"]

    def apply(weights, stats, gates, inputs):
        moved = 0.9 * stats["mean"] + 0.1 * inputs.reshape(len(inputs), -1).mean(0)
        return infer(weights, stats, gates, inputs), {"mean": moved}

    return bilevel(
        Supernet(space, init, apply, infer),
        relax.softmax(),
        terms.cross_entropy(),
        Transforms(
            arch_tx=optax.adam(3e-3, b1=0.5),
            weight_tx=optax.sgd(optax.cosine_decay_schedule(0.1, TOTAL_STEPS), momentum=0.9),
        ),
    )


def toy_data():
    """f32[64, 2, 2, 2] in three classes, i32[64]."""
    k_images, k_labels = jax.random.split(jax.random.key(7))
    labels = jax.random.randint(k_labels, (64,), 0, 3)
    images = jax.random.normal(k_images, (64, 2, 2, 2)) + labels[:, None, None, None]
    return images, labels


def toy_update(search: Search):
    """(state, images, labels) -> (state, metrics); the batches are pure in (key, step)."""

    def update(state, images, labels):
        key = jax.random.fold_in(jax.random.fold_in(state.key, 99), state.step)
        rows = jax.random.permutation(key, len(labels))[:32].reshape(2, 16)
        train, valid = (Batch(images[r], labels[r]) for r in rows)
        return search.update(state, train, valid)

    return update


def on_epoch_of(search: Search):
    """The callback of a search: mean entropy, skips, and the gates themselves."""

    def on_epoch(state):
        gates = search.gates(state)["normal"]
        skips = int((gates.argmax(-1) == 1).sum())
        entropy = float(-(gates * jnp.log(gates)).sum(-1).mean())
        measured = {"gates/entropy": entropy, "gates/skips/normal": skips, "gates/skips": skips}
        return run.EpochResult(measured, {"normal": gates.tolist()})

    return on_epoch


def start(folder: Path, seed: int = 0, mode: str = "step", **changes) -> run.RunResult:
    """The whole run, as a command would do it; `changes` are fields of `Run` and `Monitor`,
    `update` and `on_epoch`."""
    search, (images, labels) = toy_search(), toy_data()
    execution = run.execution(STEPS_PER_EPOCH, mode, 3)
    record = run.record({"seed": seed, "rate": 0.1}, execution, "toy")
    update = changes.pop("update", None) or toy_update(search)
    on_epoch = changes.pop("on_epoch", on_epoch_of(search))
    parts = run.Run(folder, record, execution, SAVING), run.Monitor("toy")
    toy, monitor = (
        part._replace(**{name: changes.pop(name) for name in part._fields if name in changes})
        for part in parts
    )
    assert not changes, changes
    with run.claim(folder, record):
        return run.loop(
            toy,
            run.make_runner(update, (images, labels), execution.mode),
            search.init(jax.random.key(seed), images[:4]),
            total_steps=TOTAL_STEPS,
            steps_per_epoch=STEPS_PER_EPOCH,
            on_epoch=on_epoch,
            monitor=monitor,
        )


def die_at(number: int, function, after: bool = False):
    """`function`, killing this process at its call of that number."""
    calls = 0

    def dying(*arguments, **named):
        nonlocal calls
        calls += 1
        if calls == number and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **named)
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return dying


def plant(kill: str) -> dict:
    """Arms the process; gives the changed options of `start`."""
    where, _, number = kill.partition(":")
    number = int(number)
    if where == "epoch":
        return {"on_epoch": die_at(number, on_epoch_of(toy_search()))}
    if where == "chunk":
        step_runner.chunk_length = die_at(number, step_runner.chunk_length)
    elif where == "save":
        # Orbax renames an item's folder when the item is whole: here the state is, the rest is not.
        handler = ocp.StandardCheckpointHandler
        handler.finalize = die_at(number, handler.finalize, after=True)
    else:
        raise SystemExit(f"Kill at chunk, epoch or save, not {where!r}.")
    return {}


def main(folder: str, kill: str = "") -> None:
    changes = plant(kill) if kill else {}
    if nap_s := float(os.environ.get("KILLABLE_SLEEP_S", "0")):
        length_from = step_runner.chunk_length
        step_runner.chunk_length = lambda *a: (time.sleep(nap_s), length_from(*a))[1]
    try:
        outcome = start(Path(folder), tensorboard=False, **changes)
    except run.Interrupted as stopped:
        print(stopped, flush=True)
        raise SystemExit(128 + stopped.signal) from None
    except run.RunError as error:
        print(error, flush=True)
        raise SystemExit(2) from None
    print("digest", checkpoint.digest(outcome.state))


if __name__ == "__main__":
    main(*sys.argv[1:])


def lines(path):
    """Metric lines without the wall clock."""
    return [
        {name: value for name, value in json.loads(line).items() if not name.startswith("time/")}
        for line in path.read_text().splitlines()
    ]
