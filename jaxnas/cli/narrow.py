"""`jaxnas narrow`: trains a mobile network and takes channels away until it fits a budget."""

import dataclasses
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
    mobile,
    mobile_file,
    mobile_sized,
    net_adapt,
    retrain,
    run,
    timing,
)
from jaxnas import genotype as genotypes
from jaxnas.catalogue import Entry
from jaxnas.cli import arguments, opening
from jaxnas.cli import genotypes as given
from jaxnas.genotype import Genotype
from jaxnas.mobile import Chain
from jaxnas.nets import mobile as networks
from jaxnas.nets import mobile_narrow
from jaxnas.report import canvas, say, table
from jaxnas.run import progress
from jaxnas.settings import Recipe, command, flat
from jaxnas.settings import narrow as settings_of
from jaxnas.settings import recipe as recipes
from jaxnas.settings.narrow import NarrowSettings
from jaxnas.target import settle
from jaxnas.types import Batch, Stats, Weights

TEXT = """Trains a mobile network, narrows it into a budget by NetAdapt, and tunes what is left.

examples:
  jaxnas narrow runs/digits-mobile-proxyless-proxyless-seed0 --macs 100000
  jaxnas narrow genotype.json --target-ms 0.4 --data cifar10 --data-dir ~/tfds --epochs 30
"""
WHOLE, WEIGHTS, TUNED = "whole", "narrowed", "tuned"
CHAIN, STEPS, SUMMARY, REPORT = "chain.json", "steps.json", "summary.json", "narrow.md"
# Milliseconds are not a function of channels that one could divide by: the next budget in MACs is
# the one that would do if they were, within these shares of the last.
SHARES = 0.7, 0.97


class Trained(NamedTuple):
    """A network of fixed width with its weights."""

    chain: Chain
    genotype: Genotype
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

    Raises ValueError for settings that are impossible, GenotypeError for what is no mobile
    genotype, and what `data.load`, `run.claim`, `run.loop` and `net_adapt.mobile_network` raise.
    """
    console = console or rich.console.Console()
    note = lambda text="": progress.say(console, text)
    settings_of.check(settings)
    genotype, label = given.named(settings.genotype)
    if catalogue.family_of(genotype) != "mobile":
        raise genotypes.GenotypeError(
            f"The genotype is of the space {genotype.space!r}: only mobile networks are narrowed, "
            f"those of {', '.join(mobile_sized.CHAINS)}."
        )
    entry = catalogue.of_genotype(genotype)
    folder = opening.folder(settings.place, f"{opening.label(label)}-narrow-seed{settings.seed}")
    run.cache.enable()
    found = opening.load(settings.source, 1 - settings.held_out)
    shape = found.train.inputs.shape[1:]
    recipe = recipes.resolved(settings.recipe, "mobile", shape)
    retrain.refuse(entry, genotype, recipe, found)
    whole = _chain(genotype, recipe, shape)
    mobile_narrow.parts(mobile_narrow.fixed(whole, genotype))
    note(f"jaxnas trains the network of {label} on {found.name}, then narrows it")
    note(f"{len(found.valid.labels):,} of its training images only judge what is to go")
    note(f"everything goes to {folder}")
    own = ("macs", "target_ms", "held_out", "short_steps", "short_rate", "first", "decay")
    own += ("multiple", "tune_epochs", "seed")
    asked = {name: getattr(settings, name) for name in own}
    asked |= flat(recipe) | {"genotype": json.loads(genotypes.to_json(genotype))}
    record = run.describe(asked, run.execution(1), found.digest)
    with run.claim(folder, record, note):
        summary = _run(folder, genotype, recipe, settings, found, console)
        again = command("jaxnas narrow", settings, NarrowSettings(""))
        summary |= {"command": again, "resume": f"{again} --resume"}
        run.write_text(folder / SUMMARY, json.dumps(summary, indent=2) + "\n")
        for line in _report(folder, summary):
            note(line)
    return folder


def _run(
    folder: Path,
    genotype: Genotype,
    recipe: Recipe,
    settings: NarrowSettings,
    found: data.DataSet,
    console: rich.console.Console,
) -> dict[str, Any]:
    """Training, narrowing, tuning; what each came to."""
    entry, learn = catalogue.of_genotype(genotype), learnt(found)
    whole = _chain(genotype, recipe, found.train.inputs.shape[1:])
    seed, mode = settings.seed, settings.place.mode

    def train(entry, genotype, recipe, name, **more):
        return retrain.train(
            entry, genotype, recipe, seed, learn, folder=folder / name, title=name,
            saving=opening.saving(settings.place), mode=mode, console=console, **more,
        )  # fmt: skip

    before = train(entry, genotype, recipe, WHOLE)
    # Milliseconds differ from time to time: what was narrowed once is read, not made again.
    narrowed, steps = _kept(folder, found) or (None, [])
    if narrowed is None:
        planned = retrain.plan(entry, genotype, recipe, seed, learn, mode=mode)
        trained = Trained(whole, genotype, *retrain.trained(planned, learn, folder / WHOLE))
        note = lambda text: progress.say(console, text)
        narrowed, steps = _narrowed(trained, settings, recipe, learn, found, note)
        _keep(folder, narrowed, steps)
    tune = dataclasses.replace(recipe, epochs=settings.tune_epochs or recipe.epochs)
    after = train(
        _entry(entry, narrowed.chain), narrowed.genotype, tune, TUNED,
        start=(narrowed.weights, narrowed.stats),
    )  # fmt: skip
    summary = {"whole": before, "tuned": after, "steps": [step._asdict() for step in steps]}
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


def _entry(entry: Entry, chain: Chain) -> Entry:
    """The entry whose network is that of a fixed chain, whatever it is told besides."""
    make = lambda genotype, *, classes, **_: networks.network(chain, genotype, classes=classes)
    return entry._replace(network=make)


def _keep(folder: Path, narrowed: Trained, steps: Sequence[net_adapt.Step]) -> None:
    """Writes weights and chain, then the steps, whose file says that all is there."""
    chain = mobile_file.to_json(narrowed.chain)
    run.write_text(folder / CHAIN, chain)
    name = hashlib.sha256(chain.encode()).hexdigest()
    with checkpoint.opened(folder / WEIGHTS, name) as store:
        store.save(len(store.steps()), (narrowed.weights, narrowed.stats))
    said = {"weights_of": name, "steps": [step._asdict() for step in steps]}
    run.write_text(folder / STEPS, json.dumps(said, indent=1) + "\n")


def _kept(folder: Path, found: data.DataSet) -> tuple[Trained, list[net_adapt.Step]] | None:
    """What `_keep` wrote; None where it did not come to its end."""
    if not (folder / STEPS).exists():
        return None
    try:
        said = json.loads((folder / STEPS).read_text(encoding="utf-8"))
        chain = mobile_file.from_json((folder / CHAIN).read_text(encoding="utf-8"))
        steps = [net_adapt.Step(**step) for step in said["steps"]]
        name = said["weights_of"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise run.RunError(
            f"{folder} holds a damaged narrowing ({error}): delete {STEPS} and {TUNED}, and it is "
            "made again."
        ) from error
    genotype = mobile.genotype(chain)
    net = networks.network(chain, genotype, classes=len(found.class_names))
    image = jnp.zeros((1, *found.train.inputs.shape[1:]), jnp.float32)
    (weights, stats), _ = checkpoint.read(
        folder / WEIGHTS, run.begin(net.init, jax.random.key(0), image), name
    )
    return Trained(chain, genotype, weights, stats), steps


def _narrowed(
    whole: Trained,
    settings: NarrowSettings,
    recipe: Recipe,
    learn: data.DataSet,
    found: data.DataSet,
    note: Callable[[str], None],
) -> tuple[Trained, list[net_adapt.Step]]:
    """The network within the budget, and the steps to it."""
    shape, classes = found.train.inputs.shape[1:], len(found.class_names)
    macs = lambda chain: mobile_narrow.macs(chain, shape, classes)
    fixed = mobile_narrow.fixed(whole.chain, whole.genotype)
    now, steps = whole._replace(chain=fixed, genotype=mobile.genotype(fixed)), []
    start = macs(now.chain)

    def timed(at: Trained) -> float:
        net = networks.network(at.chain, at.genotype, classes=classes)
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
            budget = macs(now.chain) * min(most, max(least, settings.target_ms / ms))
        fitted = net_adapt.mobile_network(
            now.chain, now.genotype, now.weights, now.stats, classes=classes, cost=macs,
            budget=budget, train=batches, valid=judges,
            steps=settings.short_steps, learning_rate=settings.short_rate,
            first=settings.first, decay=settings.decay, multiple=settings.multiple, told=told,
        )  # fmt: skip
        steps += fitted.steps
        now = Trained(fitted.chain, fitted.genotype, fitted.weights, fitted.stats)
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
        f"The chain is in {CHAIN}, its weights are the last checkpoint of {TUNED}.\n\n"
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
