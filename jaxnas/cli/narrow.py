"""`jaxnas narrow`: trains a network and takes channels away until it fits a budget."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import rich.console

from jaxnas import (
    catalogue,
    checkpoint,
    data,
    mobile_file,
    mobile_sized,
    narrow_file,
    net_adapt,
    retrain,
    run,
    timing,
)
from jaxnas import genotype as genotypes
from jaxnas.cli import arguments, opening
from jaxnas.cli import genotypes as given
from jaxnas.genotype import Genotype
from jaxnas.mobile import Chain
from jaxnas.nets import cell_narrow, count, mobile_narrow
from jaxnas.nets.narrow import Subject
from jaxnas.report import canvas, say, table
from jaxnas.run import progress
from jaxnas.settings import Recipe, command, flat
from jaxnas.settings import narrow as settings_of
from jaxnas.settings import recipe as recipes
from jaxnas.settings.limits import refuse
from jaxnas.settings.narrow import NarrowSettings
from jaxnas.target import settle
from jaxnas.types import Batch, Network, Stats, Weights

TEXT = """Trains a found network, narrows it into a budget by NetAdapt, and tunes what is left.

examples:
  jaxnas narrow runs/digits-mobile-proxyless-proxyless-seed0 --macs 100000
  jaxnas narrow runs/digits-darts-seed0 --macs 60000 --multiple 2
  jaxnas narrow genotype.json --target-ms 0.4 --data cifar10 --data-dir ~/tfds --epochs 30
"""
WHOLE, WEIGHTS, TUNED = "whole", "narrowed", "tuned"
STEPS, SUMMARY, REPORT = "steps.json", "summary.json", "narrow.md"
CHAIN, WIDTHS = "chain.json", "narrowed.json"  # of mobile networks, of others
# Milliseconds are not a function of channels that one could divide by: the next budget in MACs is
# the one that would do if they were, within these shares of the last.
SHARES = 0.7, 0.97


class Kind(NamedTuple):
    """How networks of a family are narrowed, counted and written.

    What is left of one is a fixed chain where it is mobile, else the widths of its parts.
    """

    whole: Any
    network: Callable[[Any], Network]
    subject: Callable[[Any], Subject]
    macs: Callable[[Any], int]
    file: str
    text: Callable[[Any], str]
    read: Callable[[str], Any]


class Trained(NamedTuple):
    """What is left of a network, with its weights."""

    left: Any
    weights: Weights
    stats: Stats


def run_words(words: Sequence[str]) -> int:
    """Reads the words and narrows; gives 0."""
    asked = arguments.parsed(NarrowSettings, words, "jaxnas narrow", TEXT)
    if asked is not None:
        main(asked)
    return 0


def main(settings: NarrowSettings, console: rich.console.Console | None = None) -> Path:
    """The whole run, from wherever its folder was left; gives the folder.

    Raises ValueError for settings that are impossible, GenotypeError for what is no genotype, and
    what `data.load`, `run.claim`, `run.loop` and `net_adapt.network` raise.
    """
    console = console or rich.console.Console()
    note = lambda text="": progress.say(console, text)
    settings_of.check(settings)
    genotype, label = given.named(settings.genotype)
    entry = catalogue.of_genotype(genotype)
    folder = opening.folder(settings.place, f"{opening.label(label)}-narrow-seed{settings.seed}")
    run.cache.enable()
    found = opening.load(settings.source, 1 - settings.held_out)
    shape = found.train.inputs.shape[1:]
    recipe = recipes.resolved(settings.recipe, catalogue.family_of(genotype), shape)
    retrain.refuse(entry, genotype, recipe, found)
    kind = kind_of(genotype, recipe, found)
    if settings.macs is not None and settings.macs >= (whole := kind.macs(kind.whole)):
        refuse(f"--macs is {settings.macs:,}, but the network has {whole:,}: give fewer.")
    halved = any(part.halved for part in kind.subject(kind.whole).parts.values())
    if halved and settings.multiple % 2:
        refuse(
            f"--multiple is {settings.multiple}: this network makes channels in two halves, so "
            "give an even number."
        )
    note(f"jaxnas trains the network of {label} on {found.name}, then narrows it")
    note(f"{len(found.valid.labels):,} of its training images only judge what is to go")
    note(f"everything goes to {folder}")
    own = ("macs", "target_ms", "held_out", "short_steps", "short_rate", "first", "decay")
    own += ("multiple", "tune_epochs", "seed")
    asked = {name: getattr(settings, name) for name in own}
    asked |= flat(recipe) | {"genotype": json.loads(genotypes.to_json(genotype))}
    record = run.describe(asked, run.execution(1), found.digest)
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
    entry, learn = catalogue.of_genotype(genotype), learnt(found)
    seed, mode = settings.seed, settings.place.mode

    def train(entry, recipe, name, **more):
        return retrain.train(
            entry, genotype, recipe, seed, learn, folder=folder / name, title=name,
            saving=opening.saving(settings.place), mode=mode, console=console, **more,
        )  # fmt: skip

    before = train(entry, recipe, WHOLE)
    # Milliseconds differ from time to time: what was narrowed once is read, not made again.
    narrowed, steps = _kept(folder, kind, found) or (None, [])
    if narrowed is None:
        planned = retrain.plan(entry, genotype, recipe, seed, learn, mode=mode)
        trained = Trained(kind.whole, *retrain.trained(planned, learn, folder / WHOLE))
        note = lambda text: progress.say(console, text)
        narrowed, steps = _narrowed(trained, kind, settings, recipe, learn, found, note)
        _keep(folder, kind, narrowed, steps)
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
    within = after["latency_ms"] <= (1 + settle.HOLDS) * settings.target_ms
    return {"target": {"ms": settings.target_ms, "holds": within}}


def learnt(found: data.DataSet) -> data.DataSet:
    """The images without those that judge, which are never learnt from."""
    none = found.valid._replace(inputs=found.valid.inputs[:0], labels=found.valid.labels[:0])
    return found._replace(valid=none)


def _chain(genotype: Genotype, recipe: Recipe, shape: tuple[int, int, int]) -> Chain:
    """The chain of the network that a resolved recipe trains."""
    name, repeats = mobile_sized.of_genotype(genotype)
    chain = mobile_sized.sized(name, features=recipe.features, repeats=repeats)
    return mobile_sized.for_image(chain, *shape[:2])


def kind_of(genotype: Genotype, recipe: Recipe, found: data.DataSet) -> Kind:
    """How the network that a resolved recipe trains is narrowed."""
    shape, classes = found.train.inputs.shape[1:], len(found.class_names)
    family = catalogue.family_of(genotype)
    if family == "mobile":
        return Kind(
            mobile_narrow.fixed(_chain(genotype, recipe, shape), genotype),
            lambda chain: mobile_narrow.network(chain, classes),
            lambda chain: mobile_narrow.subject(chain, classes),
            lambda chain: mobile_narrow.macs(chain, shape, classes),
            CHAIN,
            mobile_file.to_json,
            mobile_file.from_json,
        )
    named = cell_narrow.named(family, genotype, recipe.features, recipe.cells, recipe.reductions)
    entry = catalogue.of_genotype(genotype)

    def network(widths):
        return entry.network(
            genotype, features=recipe.features, cells=recipe.cells, classes=classes,
            reductions=recipe.reductions, auxiliary=recipe.auxiliary > 0, widths=widths,
        )  # fmt: skip

    image = jax.ShapeDtypeStruct((recipe.batch_size, *shape), jnp.float32)
    about = narrow_file.Narrowed(genotype, named.widths, recipe.cells, recipe.reductions)
    return Kind(
        named.widths,
        network,
        lambda widths: cell_narrow.subject(network, named._replace(widths=widths), image),
        functools.cache(lambda widths: count.macs(network(widths), shape)),
        WIDTHS,
        lambda widths: narrow_file.to_json(about._replace(widths=widths)),
        lambda text: narrow_file.from_json(text).widths,
    )


def _keep(folder: Path, kind: Kind, narrowed: Trained, steps: Sequence[net_adapt.Step]) -> None:
    """Writes weights and what is left, then the steps, whose file says that all is there."""
    text = kind.text(narrowed.left)
    run.write_text(folder / kind.file, text)
    name = hashlib.sha256(text.encode()).hexdigest()
    with checkpoint.opened(folder / WEIGHTS, name) as store:
        store.save(len(store.steps()), (narrowed.weights, narrowed.stats))
    said = {"weights_of": name, "steps": [step._asdict() for step in steps]}
    run.write_text(folder / STEPS, json.dumps(said, indent=1) + "\n")


def _kept(
    folder: Path, kind: Kind, found: data.DataSet
) -> tuple[Trained, list[net_adapt.Step]] | None:
    """What `_keep` wrote; None where it did not come to its end."""
    if not (folder / STEPS).exists():
        return None
    try:
        said = json.loads((folder / STEPS).read_text(encoding="utf-8"))
        left = kind.read((folder / kind.file).read_text(encoding="utf-8"))
        steps = [net_adapt.Step(**step) for step in said["steps"]]
        name = said["weights_of"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise run.RunError(
            f"{folder} holds a damaged narrowing ({error}): delete {STEPS} and {TUNED}, and it is "
            "made again."
        ) from error
    net = kind.network(left)
    image = jnp.zeros((1, *found.train.inputs.shape[1:]), jnp.float32)
    (weights, stats), _ = checkpoint.read(
        folder / WEIGHTS, run.begin(net.init, jax.random.key(0), image), name
    )
    return Trained(left, weights, stats), steps


def _narrowed(
    now: Trained,
    kind: Kind,
    settings: NarrowSettings,
    recipe: Recipe,
    learn: data.DataSet,
    found: data.DataSet,
    note: Callable[[str], None],
) -> tuple[Trained, list[net_adapt.Step]]:
    """The network within the budget, and the steps to it."""
    shape, steps = found.train.inputs.shape[1:], []
    start = kind.macs(now.left)

    def timed(at: Trained) -> float:
        net = kind.network(at.left)
        return timing.inference(net, at.weights, at.stats, shape).median

    ms = None if settings.target_ms is None else timed(now)
    if ms is not None and ms <= settings.target_ms:
        raise ValueError(f"The network takes {ms:.3g} ms already: give a --target-ms below that.")

    def told(step: net_adapt.Step) -> None:
        note(
            f"narrow: {step.part} to {step.width} channels, {step.cost:,.0f} MACs "
            f"({step.cost / start:.0%}), {step.score:.1%} of the held-out images"
        )

    batches, judges = _batches(settings, recipe, learn), _judges(found)
    while True:
        budget = settings.macs
        if ms is not None:
            least, most = SHARES
            budget = kind.macs(now.left) * min(most, max(least, settings.target_ms / ms))
        fitted = net_adapt.network(
            kind.subject(now.left), now.weights, now.stats, cost=kind.macs, budget=budget,
            train=batches, valid=judges, steps=settings.short_steps,
            learning_rate=settings.short_rate, first=settings.first,
            decay=settings.decay, multiple=settings.multiple, told=told,
        )  # fmt: skip
        steps += fitted.steps
        now = Trained(fitted.left, fitted.weights, fitted.stats)
        if ms is None:
            return now, steps
        ms = timed(now)
        note(f"narrow: {ms:.3g} ms on this device, wanted {settings.target_ms:.3g}")
        if ms <= settings.target_ms:
            return now, steps


def _batches(
    settings: NarrowSettings, recipe: Recipe, learn: data.DataSet
) -> Callable[[int], Batch]:
    augment = retrain.augmentation(recipe, learn)
    draw = jax.jit(data.make_batch(learn.mean, learn.std, augment, recipe.batch_size))
    images, key = data.resident(learn.train), jax.random.key(settings.seed)
    return lambda i: draw(images, key, i)


def _judges(found: data.DataSet) -> Batch:
    inputs = data.normalise(jnp.asarray(found.valid.inputs), found.mean, found.std)
    return Batch(inputs, jnp.asarray(found.valid.labels))


def _report(folder: Path, summary: dict[str, Any]) -> list[str]:
    """Writes narrow.md and its picture; gives the table's lines."""
    rows = [
        (name, f"{row['top1']:.1%}", f"{row['parameters']:,}", f"{row['macs']:,}",
         say.milliseconds(row["latency_ms"]))
        for name, row in (("whole", summary["whole"]), ("narrowed, tuned", summary["tuned"]))
    ]  # fmt: skip
    shown = table.Table(("network", "test accuracy", "parameters", "MACs", "latency"), rows)
    line = said(summary)
    _picture(folder, summary["steps"])
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
    if "macs" in target:
        return f"target: {target['macs']:,.0f} MACs; {tuned['macs']:,} are left: it holds"
    off = tuned["latency_ms"] / target["ms"] - 1
    word = "it holds" if target["holds"] else "it DOES NOT HOLD; is the device busy?"
    return (
        f"target: {target['ms']:.4g} ms; measured after tuning {tuned['latency_ms']:.4g} ms "
        f"({off:+.1%}, {settle.HOLDS:.0%} above are allowed): {word}"
    )


def _picture(folder: Path, steps: Sequence[dict[str, Any]]) -> None:
    with canvas.figure(520, 300) as fig:
        axes = fig.add_axes((0.13, 0.17, 0.84, 0.78))
        costs = np.array([step["cost"] for step in steps]) / 1e6
        axes.plot(costs, [100 * step["score"] for step in steps], "o-", color=canvas.LIGHT["blue"])
        axes.invert_xaxis()
        axes.set_xlabel("million MACs")
        axes.set_ylabel("held-out accuracy, %")
        axes.grid()
        picture = canvas.svg(fig, "Accuracy on held-out images, step by step")
        canvas.save_png(fig, folder / "steps.png")
    canvas.save_text(picture, folder / "steps.svg")
