"""`jaxnas narrow`: trains a network and takes channels away until it fits a budget."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import rich.console

from jaxnas import data, run
from jaxnas.cli import parse
from jaxnas.core.types import Batch
from jaxnas.hardware import timing, width_table
from jaxnas.nets.channel_groups import PrunableNetwork
from jaxnas.pipelines import genotypes as given
from jaxnas.pipelines import narrow_state, setup, training
from jaxnas.pipelines.narrow_state import Kept, Kind, Trained
from jaxnas.pipelines.settings import Recipe, command, flat
from jaxnas.pipelines.settings import narrow as settings_of
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.pipelines.settings.limits import refuse
from jaxnas.pipelines.settings.narrow import NarrowSettings
from jaxnas.report import figures, formatting, table
from jaxnas.run import compilation_cache, progress
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces import registry
from jaxnas.spaces.genotype import Genotype
from jaxnas.strategies import constrained_selection, net_adapt

TEXT = """Trains a found network, narrows it into a budget by NetAdapt, and tunes what is left.

examples:
  jaxnas narrow runs/digits-mobile-proxyless-proxyless-seed0 --macs 100000
  jaxnas narrow runs/digits-darts-seed0 --macs 60000 --multiple 2
  jaxnas narrow genotype.json --target-ms 0.4 --data cifar10 --data-dir ~/tfds --epochs 30
"""
WHOLE, TUNED = "whole", "tuned"
SUMMARY, REPORT = "summary.json", "narrow.md"
MOST = 0.97  # of the last milliseconds: less than that saved is hardly seen


def run_words(words: Sequence[str]) -> int:
    """Reads the words and narrows; gives 0."""
    asked = parse.parsed(NarrowSettings, words, "jaxnas narrow", TEXT)
    if asked is not None:
        main(asked)
    return 0


def main(settings: NarrowSettings, console: rich.console.Console | None = None) -> Path:
    """The whole run, from wherever its folder was left; gives the folder.

    Raises ValueError for settings that are impossible, GenotypeError for what is no genotype, and
    what `data.load`, `run.claim`, `run.loop` and `net_adapt.network` raise.
    """
    console = console or rich.console.Console()
    note = lambda text="": progress.print_line(console, text)
    settings_of.check(settings)
    genotype, label = given.named(settings.genotype)
    if registry.family_of(genotype) == "darts" and genotype.space not in registry.CELLS:
        raise genotypes.GenotypeError(
            f"The genotype is of the space {genotype.space!r}: networks of spaces of your own are "
            "narrowed from Python alone, by net_adapt.network (docs/mobile.md)."
        )
    entry = registry.of_genotype(genotype)
    folder = setup.folder(settings.place, f"{setup.label(label)}-narrow-seed{settings.seed}")
    compilation_cache.enable()
    found = setup.load(settings.source, 1 - settings.held_out)
    shape = found.train.inputs.shape[1:]
    recipe = recipes.resolved(settings.recipe, registry.family_of(genotype), shape)
    training.check(entry, genotype, recipe, found)
    kind = narrow_state.kind_of(genotype, recipe, found)
    refuse_multiple(settings.multiple, kind)
    if settings.macs is not None:
        _refuse_macs(settings, kind)
    elif not folder.exists():  # a run that goes on is not asked again: times differ
        _refuse_ms(settings, kind, shape)
    note(f"jaxnas trains the network of {label} on {found.name}, then narrows it")
    note(f"{len(found.valid.labels):,} of its training images only judge what is to go")
    note(f"everything goes to {folder}")
    own = ("macs", "target_ms", "held_out", "short_steps", "short_rate", "first", "decay")
    own += ("multiple", "tune_epochs", "seed")
    asked = {name: getattr(settings, name) for name in own}
    asked |= flat(recipe) | {"genotype": json.loads(genotypes.to_json(genotype))}
    record = run.record(asked, run.execution(1), found.digest)
    with run.claim(folder, record, note):
        summary = _run(folder, kind, genotype, recipe, settings, found, console)
        again = command("jaxnas narrow", settings, NarrowSettings(""))
        summary |= {"command": again, "resume": f"{again} --resume"}
        run.write_text(folder / SUMMARY, json.dumps(summary, indent=2) + "\n")
        for line in _report(folder, summary):
            note(line)
    return folder


def _run(
    folder: Path,
    kind: Kind,
    genotype: Genotype,
    recipe: Recipe,
    settings: NarrowSettings,
    found: data.DataSet,
    console: rich.console.Console,
) -> dict[str, Any]:
    """Training, narrowing, tuning; what each came to."""
    entry, learn = registry.of_genotype(genotype), learnt(found)
    seed, mode = settings.seed, settings.place.mode

    def train(entry, recipe, name, **more):
        return training.train(
            entry, genotype, recipe, seed, learn, folder=folder / name, title=name,
            saving=setup.saving(settings.place), mode=mode, console=console, **more,
        )  # fmt: skip

    before = train(entry, recipe, WHOLE)
    # Milliseconds differ from time to time: what was narrowed once is read, not made again.
    at = narrow_state.kept(folder, kind, found)
    if at is None:
        planned = training.plan(entry, genotype, recipe, seed, learn, mode=mode)
        trained = Trained(kind.whole, *training.trained(planned, learn, folder / WHOLE))
        at = Kept(trained, [], False)
    note = lambda text: progress.print_line(console, text)
    for each in _narrowed(at, kind, settings, recipe, learn, found, note):
        narrow_state.keep(folder, kind, at := each)
    narrowed, steps, _ = at
    tune = dataclasses.replace(recipe, epochs=settings.tune_epochs or recipe.epochs)
    slim = kind.network(narrowed.left)
    after = train(
        entry._replace(network=lambda *_, **__: slim), tune, TUNED,
        start=(narrowed.weights, narrowed.stats),
    )  # fmt: skip
    summary = {"whole": before, "tuned": after, "steps": [step._asdict() for step in steps]}
    summary["file"] = kind.file
    return summary | verdict(settings, after)


def verdict(settings: NarrowSettings, after: dict[str, Any]) -> dict[str, Any]:
    """What was asked for and what it came to, timed again after the tuning where it is a time."""
    if settings.target_ms is None:
        return {"target": {"macs": settings.macs, "holds": after["macs"] <= settings.macs}}
    within = after["latency_ms"] <= (1 + constrained_selection.HOLDS) * settings.target_ms
    return {"target": {"ms": settings.target_ms, "holds": within}}


def learnt(found: data.DataSet) -> data.DataSet:
    """The images without those that judge, which are never learnt from."""
    none = found.valid._replace(inputs=found.valid.inputs[:0], labels=found.valid.labels[:0])
    return found._replace(valid=none)


def refuse_multiple(multiple: int, kind: Kind) -> None:
    """Raises ValueError for an odd multiple of channels that come in halves."""
    if multiple % 2 and any(part.halved for part in kind.subject(kind.whole).parts.values()):
        refuse(
            f"--multiple is {multiple}: this network makes channels in two halves, so give an even "
            "number."
        )


def _refuse_macs(settings: NarrowSettings, kind: Kind) -> None:
    """Before anything is trained for a budget that is met already, or cannot be met."""
    whole, least = (
        None if left is None else kind.macs(left)
        for left in (kind.whole, kind.least(settings.multiple))
    )
    if settings.macs >= whole:
        refuse(f"--macs is {settings.macs:,}, but the network has {whole:,}: give fewer.")
    if least is not None and settings.macs < least:
        refuse(
            f"--macs is {settings.macs:,}, but channels in multiples of {settings.multiple} leave "
            f"{least:,} at least: give more, or a smaller --multiple."
        )


def _refuse_ms(settings: NarrowSettings, kind: Kind, shape: tuple[int, int, int]) -> None:
    """The same of milliseconds: time does not ask what the weights are."""

    def timed(left: Any) -> float:
        net = kind.network(left)
        weights, stats = jax.jit(net.init)(jax.random.key(0), jnp.zeros((1, *shape)))
        return timing.inference(net, weights, stats, shape).median

    if (ms := timed(kind.whole)) <= settings.target_ms:
        refuse(f"The network takes {ms:.3g} ms already: give a lower --target-ms.")
    least = kind.least(settings.multiple)
    if least is not None and (ms := timed(least)) > settings.target_ms:
        refuse(
            f"--target-ms is {settings.target_ms:.3g}, but channels in multiples of "
            f"{settings.multiple} take {ms:.3g} ms at least: give more, or a smaller --multiple."
        )


def _narrowed(
    at: Kept,
    kind: Kind,
    settings: NarrowSettings,
    recipe: Recipe,
    learn: data.DataSet,
    found: data.DataSet,
    note: Callable[[str], None],
) -> Iterator[Kept]:
    """The network after each budget, the last one within what was asked for."""
    (now, steps, done), shape = at, found.train.inputs.shape[1:]
    if done:
        return

    def timed(at: Trained) -> float:
        net = kind.network(at.left)
        return timing.inference(net, at.weights, at.stats, shape).median

    ms = None if settings.target_ms is None else timed(now)
    if ms is not None and ms <= settings.target_ms:
        if not steps:
            raise ValueError(f"The network takes {ms:.3g} ms already: give a lower --target-ms.")
        yield at._replace(done=True)
        return
    batches, judges = _batches(settings, recipe, learn), _judges(found)
    while True:
        subject = kind.subject(now.left)
        cost, budget, shown = kind.macs, settings.macs, "{:,.0f} MACs"
        try:
            if ms is not None:
                note("narrow: the parts are timed at a few widths")
                cost, budget = _milliseconds(kind, subject, shape, settings, ms)
                shown = "{:.4g} ms predicted"
            fitted = net_adapt.network(
                subject, now.weights, now.stats, cost=cost, budget=budget,
                train=batches, valid=judges, steps=settings.short_steps,
                learning_rate=settings.short_rate, first=settings.first,
                decay=settings.decay, multiple=settings.multiple,
                told=lambda step, shown=shown: note(
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
        now = Trained(fitted.left, fitted.weights, fitted.stats)
        if ms is not None:
            ms = timed(now)
            note(f"narrow: {ms:.3g} ms on this device, wanted {settings.target_ms:.3g}")
        done = ms is None or ms <= settings.target_ms
        yield Kept(now, steps, done)
        if done:
            return


def _milliseconds(
    kind: Kind,
    subject: PrunableNetwork,
    shape: tuple[int, int, int],
    settings: NarrowSettings,
    ms: float,
) -> tuple[Callable[[Any], float], float]:
    """(what is left -> milliseconds, how many of them to go to first). Raises BudgetError."""
    table = width_table.measured(subject, shape, settings.multiple)
    budget = width_table.budget(table, min(MOST, settings.target_ms / ms))
    if budget >= table.whole_ms:
        raise net_adapt.BudgetError("No part is faster at any width.")
    return lambda left: width_table.milliseconds(table, kind.widths(left)), budget


def _batches(
    settings: NarrowSettings, recipe: Recipe, learn: data.DataSet
) -> Callable[[int], Batch]:
    augment = training.augmentation(recipe, learn)
    draw = jax.jit(data.make_batch(learn.mean, learn.std, augment, recipe.batch_size))
    images, key = data.to_device(learn.train), jax.random.key(settings.seed)
    return lambda i: draw(images, key, i)


def _judges(found: data.DataSet) -> Batch:
    inputs = data.normalise(jnp.asarray(found.valid.inputs), found.mean, found.std)
    return Batch(inputs, jnp.asarray(found.valid.labels))


def _report(folder: Path, summary: dict[str, Any]) -> list[str]:
    """Writes narrow.md and its picture; gives the table's lines."""
    rows = [
        (name, f"{row['top1']:.1%}", f"{row['parameters']:,}", f"{row['macs']:,}",
         formatting.milliseconds(row["latency_ms"]))
        for name, row in (("whole", summary["whole"]), ("narrowed, tuned", summary["tuned"]))
    ]  # fmt: skip
    shown = table.TextTable(("network", "test accuracy", "parameters", "MACs", "latency"), rows)
    line = said(summary)
    _picture(folder, summary)
    run.write_text(
        folder / REPORT,
        f"# A narrower network\n\n{table.markdown(shown)}\n{line}\n\n![](steps.svg)\n\n"
        f"The network is in {summary['file']}, its weights are the last checkpoint of {TUNED}.\n\n"
        f"```\n{summary['command']}\n```\n",
    )
    return [*table.text(shown).splitlines(), line, f"report: {folder / REPORT}"]


def said(summary: dict[str, Any]) -> str:
    """Target and verdict in a line."""
    target, tuned = summary["target"], summary["tuned"]
    word = "it holds" if target["holds"] else "it DOES NOT HOLD"
    if "macs" in target:
        return f"target: {target['macs']:,.0f} MACs; {tuned['macs']:,} are left: {word}"
    off = tuned["latency_ms"] / target["ms"] - 1
    word += "" if target["holds"] else "; is the device busy?"
    return (
        f"target: {target['ms']:.4g} ms; measured after tuning {tuned['latency_ms']:.4g} ms "
        f"({off:+.1%}, {constrained_selection.HOLDS:.0%} above are allowed): {word}"
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
