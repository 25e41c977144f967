"""The search of a run: data, network and method in, a genotype out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import rich.console

from jaxnas import catalogue, data, hypergrad, run, validate
from jaxnas.genotype import Genotype
from jaxnas.methods import darts, single_level
from jaxnas.settings import SearchSettings
from jaxnas.types import Gates, Hypergradient, Search, SearchState, Space, Supernet

SKIP = "skip_connect"
FIGURES = (
    ("loss", "loss/train", ".3f"),
    ("valid loss", "loss/valid", ".3f"),
    ("valid acc", "accuracy/supernet", ".1%"),
    ("entropy", "gates/entropy", ".3f"),
    ("skips", "gates/skips", "g"),
)


def method(settings: SearchSettings, net: Supernet, steps_per_epoch: int) -> Search:
    """The method that resolved settings ask for."""
    options = {
        "epochs": settings.epochs,
        "steps_per_epoch": steps_per_epoch,
        "learning_rate": settings.learning_rate,
        "min_learning_rate": settings.learning_rate / 25,  # as 0.001 is to DARTS's 0.025
        "arch_learning_rate": settings.arch_learning_rate,
    }
    if settings.method == "single-level":
        return single_level.single_level(net, **options)
    return darts.darts(net, hypergrad=_order(settings.order), **options)


def _order(name: str | None) -> Hypergradient:
    rules = {
        "first": hypergrad.first_order,
        "exact": hypergrad.unrolled,
        "finite-difference": hypergrad.finite_difference,
    }
    return rules[name]()


def random_cells(entry: catalogue.Entry, seed: int) -> Genotype:
    """A random genotype of the space, with as many edges as a found one.

    It is what random gates select: every pair of edges is as likely as any other, and so is
    every candidate that may be selected.
    """
    random = np.random.default_rng(seed)
    gates = {name: random.random(choice.shape) for name, choice in entry.space.items()}
    return entry.select(entry.space, gates)


def supernet(settings: SearchSettings, entry: catalogue.Entry, classes: int) -> Supernet:
    """The search network that resolved settings ask for."""
    return entry.supernet(
        features=settings.features,
        cells=settings.cells,
        classes=classes,
        reductions=settings.reductions,
        remat=settings.remat,
    )


def search(
    settings: SearchSettings,
    entry: catalogue.Entry,
    net: Supernet,
    found: data.DataSet,
    augment: data.augment.Augment,
    *,
    folder: Path,
    record: Mapping[str, Any],
    execution: run.Execution,
    saving: run.Saving,
    console: rich.console.Console,
) -> tuple[Genotype, run.Outcome]:
    """Searches to the end, from wherever `folder`, which is claimed, was left.

    Raises what `run.loop` raises.
    """
    size = settings.batch_size
    steps_per_epoch = data.steps_per_epoch(len(found.train.labels), size)
    searched = method(settings, net, steps_per_epoch)
    k_init, k_train, k_valid = jax.random.split(jax.random.key(settings.seed), 3)
    shaken = data.make_batch(found.mean, found.std, augment, size)
    still = data.make_batch(found.mean, found.std, data.augment.none(), size)
    train, valid = data.resident(found.train), data.resident(found.valid)

    def update(state: SearchState, train, valid, k_train, k_valid):
        batch = shaken(train, k_train, state.step)
        # Single-level search looks at no validation batch: none is made for it.
        other = batch if settings.method == "single-level" else shaken(valid, k_valid, state.step)
        return searched.update(state, batch, other)

    accuracy = validate.accuracy(
        net,
        searched,
        settings.statistics,
        valid=lambda images, step: still(images, jax.random.key(0), step),
        train=lambda images, step: shaken(images, jax.random.key(0), step),
        valid_steps=data.steps_per_epoch(len(found.valid.labels), size),
    )

    def on_epoch(state: SearchState) -> run.Epoch:
        gates = jax.device_get(searched.gates(state))
        metrics = {"accuracy/supernet": accuracy(state, train, valid)}
        metrics |= gate_metrics(entry.space, gates, entry.select(entry.space, gates))
        return run.Epoch(metrics, {"gates": {k: v.tolist() for k, v in gates.items()}})

    image = jnp.zeros((1, *found.train.inputs.shape[1:]), jnp.float32)
    outcome = run.loop(
        update,
        run.begin(searched.init, k_init, image),
        folder=folder,
        record=record,
        total_steps=settings.epochs * steps_per_epoch,
        steps_per_epoch=steps_per_epoch,
        execution=execution,
        operands=(train, valid, k_train, k_valid),
        on_epoch=on_epoch,
        saving=saving,
        skip_limits=skip_limits(entry),
        title="search",
        figures=FIGURES,
        console=console,
    )
    gates = jax.device_get(searched.gates(outcome.state))
    return entry.select(entry.space, gates), outcome


def gate_metrics(space: Space, gates: Gates, genotype: Genotype) -> dict[str, float]:
    """Mean entropy of an edge's gates in nats, and the skips that would be selected now."""
    rows = np.concatenate([np.asarray(gates[name]).reshape(-1) for name in space])
    edges = sum(len(choice.edges) for choice in space.values())
    # 0 log 0 is 0.
    entropy = -np.sum(rows * np.log(np.where(rows > 0, rows, 1))) / edges
    skips = {
        f"gates/skips/{name}": sum(op == SKIP for _, _, op in cell.edges)
        for name, cell in genotype.cells.items()
    }
    return {"gates/entropy": float(entropy), "gates/skips": sum(skips.values())} | skips


def skip_limits(entry: catalogue.Entry) -> dict[str, int]:
    """From how many skips on a cell counts as collapsed: more than half of its edges."""
    cells = random_cells(entry, 0).cells
    can_skip = lambda choice: any(SKIP in row for row in choice.candidates)
    return {
        name: len(cell.edges) // 2 + 1
        for name, cell in cells.items()
        if can_skip(entry.space[name])
    }
