"""`jaxnas narrow`: trains a network and prunes channels until it meets a budget."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import rich.console

from jaxnas import data, run
from jaxnas.core.types import Batch
from jaxnas.hardware import timing, width_table
from jaxnas.pipelines import genotypes, narrow_state, retrain, setup
from jaxnas.pipelines.export import record as network_record
from jaxnas.pipelines.narrow_state import NarrowingState, Trained
from jaxnas.pipelines.settings import command, flat
from jaxnas.pipelines.settings import narrow as narrows
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.pipelines.settings.limits import fail
from jaxnas.pipelines.settings.narrow import NarrowSettings
from jaxnas.report import figures, formatting, table
from jaxnas.run import compilation_cache, progress
from jaxnas.spaces import genotype as genotype_text
from jaxnas.spaces import registry
from jaxnas.spaces.search_space import Prunable
from jaxnas.strategies import net_adapt
from jaxnas.strategies.selection_record import TOLERANCE

WHOLE, TUNED = "whole", "tuned"
SUMMARY, REPORT = network_record.SUMMARY, "narrow.md"
MAX_STEP = 0.97  # of the last milliseconds: smaller savings are within the noise
FINGERPRINTED = (
    "macs", "target_ms", "held_out", "short_steps", "short_rate", "first", "decay", "multiple",
    "tune_epochs", "seed",
)  # fmt: skip


class NarrowTask(NamedTuple):
    """The network to narrow, its data and the settings."""

    settings: NarrowSettings
    training: retrain.TrainingTask  # without the held-out images
    prunable: Prunable
    dataset: data.DataSet  # the held-out images are its validation half

    @property
    def image(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return self.dataset.train.inputs.shape[1:]


def main(settings: NarrowSettings, console: rich.console.Console | None = None) -> Path:
    """Runs the command, or resumes it from its folder; returns the folder.

    Raises ValueError for invalid settings, GenotypeError for an invalid genotype, and as
    `data.load`, `run.claim`, `run.loop` and `net_adapt.network`.
    """
    console = console or rich.console.Console()
    log = lambda text="": progress.print_line(console, text)
    narrows.check(settings)
    genotype, label = genotypes.named(settings.genotype)
    folder = setup.folder(settings.place, f"{setup.label(label)}-narrow-seed{settings.seed}")
    task = resolve(settings, genotype)
    check_multiple(settings.multiple, task.prunable)
    if settings.macs is not None:
        _check_macs(task)
    elif not folder.exists():  # a resumed run is not timed again: times vary
        _check_ms(task)
    log(f"jaxnas trains the network of {label} on {task.dataset.name}, then narrows it")
    log(f"{len(task.dataset.valid.labels):,} of its training images only judge what is to go")
    log(f"everything goes to {folder}")
    fingerprinted = {name: getattr(settings, name) for name in FINGERPRINTED}
    fingerprinted |= flat(task.training.recipe)
    fingerprinted |= {"genotype": json.loads(genotype_text.to_json(genotype))}
    record = run.record(fingerprinted, run.execution(1), task.dataset.digest)
    with run.claim(folder, record, log):
        summary = _run(task, folder, console)
        command_text = command("jaxnas narrow", settings, NarrowSettings(""))
        summary |= {"command": command_text, "resume": f"{command_text} --resume"}
        network_record.write_summary(folder, summary)
        for line in _report(folder, summary):
            log(line)
    return folder


def resolve(settings: NarrowSettings, genotype: genotype_text.Genotype) -> NarrowTask:
    """The task of the settings. Raises ValueError and GenotypeError for invalid ones."""
    space = registry.find(genotype)
    if space is None or space.prunable is None:
        raise genotype_text.GenotypeError(
            f"The genotype is of the space {genotype.space!r}: networks of spaces of your own are "
            "narrowed from Python alone, by net_adapt.network (docs/mobile.md)."
        )
    space = registry.of_genotype(genotype)
    compilation_cache.enable()
    try:
        dataset = setup.load(settings.source, 1 - settings.held_out)
    except data.AbsentClassError:  # by index, few images may lack one
        dataset = setup.load(settings.source, 1 - settings.held_out, settings.seed)
    shape = dataset.train.inputs.shape[1:]
    recipe = recipes.resolved(settings.recipe, space, shape)
    training = retrain.TrainingTask(
        space, genotype, recipe, settings.seed, dataset, source=settings.source
    )
    retrain.check(training)
    genotypes.check_connected(genotype)
    prunable = space.prunable(genotype, recipe, shape, len(dataset.class_names))
    training = training._replace(dataset=without_valid(dataset))
    return NarrowTask(settings, training, prunable, dataset)


def _run(task: NarrowTask, folder: Path, console: rich.console.Console) -> dict[str, Any]:
    """Trains, narrows and tunes; returns the summary."""
    settings, prunable = task.settings, task.prunable
    train = lambda training, name: retrain.train(
        training, folder / name, title=name, place=settings.place, console=console
    )
    full_result = train(task.training, WHOLE)
    # Measured milliseconds vary: a narrowing is resumed from its file, not repeated.
    state = narrow_state.load(folder, prunable, task.dataset)
    if state is None:
        weights, stats = retrain.load_trained(task.training, folder / WHOLE, settings.place.mode)
        state = NarrowingState(Trained(prunable.unpruned, weights, stats), [], False)
    for new_state in _narrowed(task, state, lambda text: progress.print_line(console, text)):
        state = new_state
        narrow_state.save(folder, prunable, state)
    remaining, weights, stats = state.trained
    recipe = task.training.recipe
    pruned_network = prunable.network(remaining)
    tuning = task.training._replace(
        space=task.training.space._replace(network=lambda *_, **__: pruned_network),
        recipe=dataclasses.replace(recipe, epochs=settings.tune_epochs or recipe.epochs),
        start=(weights, stats),
        pruned=prunable.to_text(remaining),
    )
    tuned_result = train(tuning, TUNED)
    steps = [step._asdict() for step in state.steps]
    summary = {"whole": full_result, "tuned": tuned_result, "steps": steps, "file": prunable.file}
    return summary | verdict(settings, tuned_result)


def verdict(settings: NarrowSettings, tuned: dict[str, Any]) -> dict[str, Any]:
    """The budget, and whether the tuned network meets it."""
    if settings.target_ms is None:
        return {"target": {"macs": settings.macs, "holds": tuned["macs"] <= settings.macs}}
    is_satisfied = tuned["latency_ms"] <= (1 + TOLERANCE) * settings.target_ms
    return {"target": {"ms": settings.target_ms, "holds": is_satisfied}}


def without_valid(dataset: data.DataSet) -> data.DataSet:
    """The data set without its held-out images, which are not trained on."""
    valid = dataset.valid
    return dataset._replace(valid=valid._replace(inputs=valid.inputs[:0], labels=valid.labels[:0]))


def check_multiple(multiple: int, prunable: Prunable) -> None:
    """Raises ValueError for an odd multiple of channels that come in halves."""
    groups = prunable.groups(prunable.unpruned).groups.values()
    if multiple % 2 and any(group.halved for group in groups):
        fail(
            f"--multiple is {multiple}: this network makes channels in two halves, so give an even "
            "number."
        )


def _check_macs(task: NarrowTask) -> None:
    """Raises ValueError for a budget of MACs that is met already, or cannot be met."""
    settings, prunable = task.settings, task.prunable
    full_macs, narrowest = prunable.macs(prunable.unpruned), prunable.narrowest(settings.multiple)
    if settings.macs >= full_macs:
        fail(f"--macs is {settings.macs:,}, but the network has {full_macs:,}: give fewer.")
    if narrowest is not None and settings.macs < (min_macs := prunable.macs(narrowest)):
        fail(
            f"--macs is {settings.macs:,}, but channels in multiples of {settings.multiple} leave "
            f"{min_macs:,} at least: give more, or a smaller --multiple."
        )


def _check_ms(task: NarrowTask) -> None:
    """As `_check_macs` for milliseconds, which do not depend on the weights."""
    settings, prunable, image = task.settings, task.prunable, task.image

    def latency_ms(remaining: Any) -> float:
        net = prunable.network(remaining)
        weights, stats = run.first_state(net.init, jax.random.key(0), jnp.zeros((1, *image)))
        return timing.inference(net, weights, stats, image).median

    if (ms := latency_ms(prunable.unpruned)) <= settings.target_ms:
        fail(f"The network takes {ms:.3g} ms already: give a lower --target-ms.")
    narrowest = prunable.narrowest(settings.multiple)
    if narrowest is not None and (ms := latency_ms(narrowest)) > settings.target_ms:
        fail(
            f"--target-ms is {settings.target_ms:.3g}, but channels in multiples of "
            f"{settings.multiple} take {ms:.3g} ms at least: give more, or a smaller --multiple."
        )


def _narrowed(
    task: NarrowTask, state: NarrowingState, log: Callable[[str], None]
) -> Iterator[NarrowingState]:
    """The state after each intermediate budget; the last one meets the user's."""
    settings, prunable = task.settings, task.prunable
    trained, steps, done = state
    if done:
        return

    def latency_ms(trained: Trained) -> float:
        net = prunable.network(trained.remaining)
        return timing.inference(net, trained.weights, trained.stats, task.image).median

    ms = None if settings.target_ms is None else latency_ms(trained)
    if ms is not None and ms <= settings.target_ms:
        if not steps:
            raise ValueError(f"The network takes {ms:.3g} ms already: give a lower --target-ms.")
        yield state._replace(done=True)
        return
    train, valid = _train_batches(settings, task.training), _valid_batch(task.dataset)
    schedule = net_adapt.Schedule(
        settings.short_steps, settings.short_rate, settings.first, settings.decay, settings.multiple
    )
    while True:
        groups = prunable.groups(trained.remaining)
        cost, budget, form = prunable.macs, settings.macs, "{:,.0f} MACs"
        try:
            if ms is not None:
                log("narrow: the parts are timed at a few widths")
                cost, budget = _milliseconds(task, groups, ms)
                form = "{:.4g} ms predicted"
            fitted = net_adapt.network(
                net_adapt.Pretrained(groups, trained.weights, trained.stats),
                cost=cost, budget=budget, train=train, valid=valid, schedule=schedule,
                on_step=lambda step, form=form: log(
                    f"narrow: {step.part} to {step.width} channels, {form.format(step.cost)}, "
                    f"{step.score:.1%} of the held-out images"
                ),
            )  # fmt: skip
        except net_adapt.BudgetError:
            if ms is None:
                raise
            fail(
                f"--target-ms {settings.target_ms:.3g} cannot be met: as narrow as it gets, the "
                f"network takes {ms:.3g} ms. Give a higher one, or a smaller --multiple."
            )
        steps = [*steps, *fitted.steps]
        trained = Trained(fitted.remaining, fitted.weights, fitted.stats)
        if ms is not None:
            ms = latency_ms(trained)
            log(f"narrow: {ms:.3g} ms on this device, wanted {settings.target_ms:.3g}")
        done = ms is None or ms <= settings.target_ms
        yield NarrowingState(trained, steps, done)
        if done:
            return


def _milliseconds(task: NarrowTask, groups: Any, ms: float) -> tuple[Callable[[Any], float], float]:
    """(remaining -> predicted milliseconds, the next budget of them). Raises BudgetError."""
    width_times = width_table.measure(groups, task.image, task.settings.multiple)
    budget = width_table.budget(width_times, min(MAX_STEP, task.settings.target_ms / ms))
    if budget >= width_times.full_ms:
        raise net_adapt.BudgetError("No part is faster at any width.")
    widths = task.prunable.widths
    return lambda remaining: width_table.latency_ms(width_times, widths(remaining)), budget


def _train_batches(
    settings: NarrowSettings, training: retrain.TrainingTask
) -> Callable[[int], Batch]:
    dataset, recipe = training.dataset, training.recipe
    augment = retrain.augmentation(recipe, dataset)
    draw = jax.jit(data.make_batch(dataset.mean, dataset.std, augment, recipe.batch_size))
    images, key = data.to_device(dataset.train), jax.random.key(settings.seed)
    return lambda i: draw(images, key, i)


def _valid_batch(dataset: data.DataSet) -> Batch:
    inputs = data.normalise(jnp.asarray(dataset.valid.inputs), dataset.mean, dataset.std)
    return Batch(inputs, jnp.asarray(dataset.valid.labels))


def _report(folder: Path, summary: dict[str, Any]) -> list[str]:
    """Writes narrow.md and its picture; returns the table's lines."""
    rows = [
        (name, f"{row['top1']:.1%}", f"{row['parameters']:,}", f"{row['macs']:,}",
         formatting.milliseconds(row["latency_ms"]))
        for name, row in (("whole", summary["whole"]), ("narrowed, tuned", summary["tuned"]))
    ]  # fmt: skip
    results = table.TextTable(("network", "test accuracy", "parameters", "MACs", "latency"), rows)
    line = verdict_line(summary)
    _picture(folder, summary)
    run.write_text(
        folder / REPORT,
        f"# A narrower network\n\n{table.markdown(results)}\n{line}\n\n![](steps.svg)\n\n"
        f"The network is in {summary['file']}, its weights are the last checkpoint of {TUNED}.\n\n"
        f"```\n{summary['command']}\n```\n",
    )
    return [*table.text(results).splitlines(), line, f"report: {folder / REPORT}"]


def verdict_line(summary: dict[str, Any]) -> str:
    """The budget, and whether it is met, in a line."""
    target, tuned = summary["target"], summary["tuned"]
    status = "it holds" if target["holds"] else "it DOES NOT HOLD"
    if "macs" in target:
        return f"target: {target['macs']:,.0f} MACs; {tuned['macs']:,} are left: {status}"
    error = tuned["latency_ms"] / target["ms"] - 1
    status += "" if target["holds"] else "; is the device busy?"
    return (
        f"target: {target['ms']:.4g} ms; measured after tuning {tuned['latency_ms']:.4g} ms "
        f"({error:+.1%}, {TOLERANCE:.0%} above are allowed): {status}"
    )


def _picture(folder: Path, summary: dict[str, Any]) -> None:
    steps, in_macs = summary["steps"], "macs" in summary["target"]
    with figures.figure(520, 300) as fig:
        axes = fig.add_axes((0.13, 0.17, 0.84, 0.78))
        costs = np.array([step["cost"] for step in steps]) / (1e6 if in_macs else 1)
        axes.plot(costs, [100 * step["score"] for step in steps], "o-", color=figures.LIGHT["blue"])
        axes.invert_xaxis()
        axes.set_xlabel("million MACs" if in_macs else "milliseconds, predicted")
        axes.set_ylabel("held-out accuracy, %")
        axes.grid()
        picture = figures.svg(fig, "Accuracy on held-out images, step by step")
        figures.save_png(fig, folder / "steps.png")
    figures.save_text(picture, folder / "steps.svg")
