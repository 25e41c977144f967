"""`jaxnas narrow`: trains a network and takes channels away until it fits a budget."""

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
from jaxnas.pipelines.narrow_state import NarrowingState, Trained
from jaxnas.pipelines.settings import command, flat
from jaxnas.pipelines.settings import narrow as narrows
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.pipelines.settings.limits import refuse
from jaxnas.pipelines.settings.narrow import NarrowSettings
from jaxnas.report import figures, formatting, table
from jaxnas.run import compilation_cache, progress
from jaxnas.spaces import genotype as genotype_text
from jaxnas.spaces import registry
from jaxnas.spaces.search_space import Prunable
from jaxnas.strategies import net_adapt
from jaxnas.strategies.selection_record import TOLERANCE

WHOLE, TUNED = "whole", "tuned"
SUMMARY, REPORT = "summary.json", "narrow.md"
MAX_STEP = 0.97  # of the last milliseconds: less than that saved is hardly seen
FINGERPRINTED = (
    "macs", "target_ms", "held_out", "short_steps", "short_rate", "first", "decay", "multiple",
    "tune_epochs", "seed",
)  # fmt: skip


class NarrowTask(NamedTuple):
    """What is narrowed, how, and on what."""

    settings: NarrowSettings
    training: retrain.TrainingTask  # on the images that do not evaluate
    prunable: Prunable
    dataset: data.DataSet  # with the images that evaluate as its validation half

    @property
    def image(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return self.dataset.train.inputs.shape[1:]


def main(settings: NarrowSettings, console: rich.console.Console | None = None) -> Path:
    """The whole run, from wherever its folder was left; gives the folder.

    Raises ValueError for settings that are impossible, GenotypeError for what is no genotype, and
    what `data.load`, `run.claim`, `run.loop` and `net_adapt.network` raise.
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
    elif not folder.exists():  # a run that goes on is not asked again: times differ
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
        again = command("jaxnas narrow", settings, NarrowSettings(""))
        summary |= {"command": again, "resume": f"{again} --resume"}
        run.write_text(folder / SUMMARY, json.dumps(summary, indent=2) + "\n")
        for line in _report(folder, summary):
            log(line)
    return folder


def resolve(settings: NarrowSettings, genotype: genotype_text.Genotype) -> NarrowTask:
    """All that the settings come to. Raises ValueError and GenotypeError for what cannot be."""
    space = registry.find(genotype)
    if space is None or space.prunable is None:
        raise genotype_text.GenotypeError(
            f"The genotype is of the space {genotype.space!r}: networks of spaces of your own are "
            "narrowed from Python alone, by net_adapt.network (docs/mobile.md)."
        )
    space = registry.of_genotype(genotype)
    compilation_cache.enable()
    dataset = setup.load(settings.source, 1 - settings.held_out)
    shape = dataset.train.inputs.shape[1:]
    recipe = recipes.resolved(settings.recipe, space, shape)
    training = retrain.TrainingTask(space, genotype, recipe, settings.seed, dataset)
    retrain.check(training)
    prunable = space.prunable(genotype, recipe, shape, len(dataset.class_names))
    training = training._replace(dataset=without_valid(dataset))
    return NarrowTask(settings, training, prunable, dataset)


def _run(task: NarrowTask, folder: Path, console: rich.console.Console) -> dict[str, Any]:
    """Training, narrowing, tuning; what each came to."""
    settings, prunable = task.settings, task.prunable
    train = lambda training, name: retrain.train(
        training, folder / name, title=name, place=settings.place, console=console
    )
    before = train(task.training, WHOLE)
    # Milliseconds differ from time to time: what was narrowed once is read, not made again.
    narrowing = narrow_state.load(folder, prunable, task.dataset)
    if narrowing is None:
        weights, stats = retrain.trained(task.training, folder / WHOLE, settings.place.mode)
        narrowing = NarrowingState(Trained(prunable.whole, weights, stats), [], False)
    for further in _narrowed(task, narrowing, lambda text: progress.print_line(console, text)):
        narrowing = further
        narrow_state.save(folder, prunable, narrowing)
    remaining, weights, stats = narrowing.trained
    recipe = task.training.recipe
    slim = prunable.network(remaining)
    tuning = task.training._replace(
        space=task.training.space._replace(network=lambda *_, **__: slim),
        recipe=dataclasses.replace(recipe, epochs=settings.tune_epochs or recipe.epochs),
        start=(weights, stats),
    )
    after = train(tuning, TUNED)
    steps = [step._asdict() for step in narrowing.steps]
    summary = {"whole": before, "tuned": after, "steps": steps, "file": prunable.file}
    return summary | verdict(settings, after)


def verdict(settings: NarrowSettings, after: dict[str, Any]) -> dict[str, Any]:
    """The budget, and whether it is met, timed again after the tuning where it is a time."""
    if settings.target_ms is None:
        return {"target": {"macs": settings.macs, "holds": after["macs"] <= settings.macs}}
    within = after["latency_ms"] <= (1 + TOLERANCE) * settings.target_ms
    return {"target": {"ms": settings.target_ms, "holds": within}}


def without_valid(dataset: data.DataSet) -> data.DataSet:
    """The images without those that evaluate, which are never learnt from."""
    valid = dataset.valid
    return dataset._replace(valid=valid._replace(inputs=valid.inputs[:0], labels=valid.labels[:0]))


def check_multiple(multiple: int, prunable: Prunable) -> None:
    """Raises ValueError for an odd multiple of channels that come in halves."""
    groups = prunable.groups(prunable.whole).groups.values()
    if multiple % 2 and any(group.halved for group in groups):
        refuse(
            f"--multiple is {multiple}: this network makes channels in two halves, so give an even "
            "number."
        )


def _check_macs(task: NarrowTask) -> None:
    """Before anything is trained for a budget that is met already, or cannot be met."""
    settings, prunable = task.settings, task.prunable
    whole, narrowest = prunable.macs(prunable.whole), prunable.narrowest(settings.multiple)
    if settings.macs >= whole:
        refuse(f"--macs is {settings.macs:,}, but the network has {whole:,}: give fewer.")
    if narrowest is not None and settings.macs < (fewest := prunable.macs(narrowest)):
        refuse(
            f"--macs is {settings.macs:,}, but channels in multiples of {settings.multiple} leave "
            f"{fewest:,} at least: give more, or a smaller --multiple."
        )


def _check_ms(task: NarrowTask) -> None:
    """The same of milliseconds, which do not depend on what the weights are."""
    settings, prunable, image = task.settings, task.prunable, task.image

    def timed(remaining: Any) -> float:
        net = prunable.network(remaining)
        weights, stats = jax.jit(net.init)(jax.random.key(0), jnp.zeros((1, *image)))
        return timing.inference(net, weights, stats, image).median

    if (ms := timed(prunable.whole)) <= settings.target_ms:
        refuse(f"The network takes {ms:.3g} ms already: give a lower --target-ms.")
    narrowest = prunable.narrowest(settings.multiple)
    if narrowest is not None and (ms := timed(narrowest)) > settings.target_ms:
        refuse(
            f"--target-ms is {settings.target_ms:.3g}, but channels in multiples of "
            f"{settings.multiple} take {ms:.3g} ms at least: give more, or a smaller --multiple."
        )


def _narrowed(
    task: NarrowTask, narrowing: NarrowingState, log: Callable[[str], None]
) -> Iterator[NarrowingState]:
    """The network after each budget, the last one within the user's."""
    settings, prunable = task.settings, task.prunable
    trained, steps, done = narrowing
    if done:
        return

    def timed(trained: Trained) -> float:
        net = prunable.network(trained.remaining)
        return timing.inference(net, trained.weights, trained.stats, task.image).median

    ms = None if settings.target_ms is None else timed(trained)
    if ms is not None and ms <= settings.target_ms:
        if not steps:
            raise ValueError(f"The network takes {ms:.3g} ms already: give a lower --target-ms.")
        yield narrowing._replace(done=True)
        return
    train, valid = _train_batches(settings, task.training), _valid_batch(task.dataset)
    schedule = net_adapt.Schedule(
        settings.short_steps, settings.short_rate, settings.first, settings.decay, settings.multiple
    )
    while True:
        groups = prunable.groups(trained.remaining)
        cost, budget, shown = prunable.macs, settings.macs, "{:,.0f} MACs"
        try:
            if ms is not None:
                log("narrow: the parts are timed at a few widths")
                cost, budget = _milliseconds(task, groups, ms)
                shown = "{:.4g} ms predicted"
            fitted = net_adapt.network(
                net_adapt.Pretrained(groups, trained.weights, trained.stats),
                cost=cost, budget=budget, train=train, valid=valid, schedule=schedule,
                on_step=lambda step, shown=shown: log(
                    f"narrow: {step.part} to {step.width} channels, {shown.format(step.cost)}, "
                    f"{step.score:.1%} of the held-out images"
                ),
            )  # fmt: skip
        except net_adapt.BudgetError:
            if ms is None:
                raise
            refuse(
                f"--target-ms {settings.target_ms:.3g} cannot be met: as narrow as it gets, the "
                f"network takes {ms:.3g} ms. Give a higher one, or a smaller --multiple."
            )
        steps = [*steps, *fitted.steps]
        trained = Trained(fitted.remaining, fitted.weights, fitted.stats)
        if ms is not None:
            ms = timed(trained)
            log(f"narrow: {ms:.3g} ms on this device, wanted {settings.target_ms:.3g}")
        done = ms is None or ms <= settings.target_ms
        yield NarrowingState(trained, steps, done)
        if done:
            return


def _milliseconds(task: NarrowTask, groups: Any, ms: float) -> tuple[Callable[[Any], float], float]:
    """(what remains -> milliseconds, how many of them to go to first). Raises BudgetError."""
    timed = width_table.measure(groups, task.image, task.settings.multiple)
    budget = width_table.budget(timed, min(MAX_STEP, task.settings.target_ms / ms))
    if budget >= timed.full_ms:
        raise net_adapt.BudgetError("No part is faster at any width.")
    widths = task.prunable.widths
    return lambda remaining: width_table.latency_ms(timed, widths(remaining)), budget


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
    """Writes narrow.md and its picture; gives the table's lines."""
    rows = [
        (name, f"{row['top1']:.1%}", f"{row['parameters']:,}", f"{row['macs']:,}",
         formatting.milliseconds(row["latency_ms"]))
        for name, row in (("whole", summary["whole"]), ("narrowed, tuned", summary["tuned"]))
    ]  # fmt: skip
    shown = table.TextTable(("network", "test accuracy", "parameters", "MACs", "latency"), rows)
    line = verdict_line(summary)
    _picture(folder, summary)
    run.write_text(
        folder / REPORT,
        f"# A narrower network\n\n{table.markdown(shown)}\n{line}\n\n![](steps.svg)\n\n"
        f"The network is in {summary['file']}, its weights are the last checkpoint of {TUNED}.\n\n"
        f"```\n{summary['command']}\n```\n",
    )
    return [*table.text(shown).splitlines(), line, f"report: {folder / REPORT}"]


def verdict_line(summary: dict[str, Any]) -> str:
    """The budget, and whether it is met, in a line."""
    target, tuned = summary["target"], summary["tuned"]
    word = "it holds" if target["holds"] else "it DOES NOT HOLD"
    if "macs" in target:
        return f"target: {target['macs']:,.0f} MACs; {tuned['macs']:,} are left: {word}"
    off = tuned["latency_ms"] / target["ms"] - 1
    word += "" if target["holds"] else "; is the device busy?"
    return (
        f"target: {target['ms']:.4g} ms; measured after tuning {tuned['latency_ms']:.4g} ms "
        f"({off:+.1%}, {TOLERANCE:.0%} above are allowed): {word}"
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
