"""Compares NetAdapt's narrowing with a uniform cut of the width at equal measured latency.

python -m experiments.net_adapt genotype.json --data cifar10 --data-dir ~/tfds --limit 2000

Three rows a seed, which learn from the same images. The network of `--features` is trained; its
parts are cut to the widths of `--cut-features`, the strongest channels left, and it is tuned; the
same trained network is narrowed until it is as fast, and tuned as long. The third has
`--cut-features` from the beginning, and is trained for as many epochs as the others in all. In the
end all are timed in turns.
"""

import dataclasses
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import rich.console
import tyro.conf

from jaxnas import run
from jaxnas.cli import experiment
from jaxnas.core.types import Stats, Weights
from jaxnas.hardware import timing
from jaxnas.nets import channel_groups as narrower
from jaxnas.pipelines import genotypes, narrow, narrow_state, setup, study, training
from jaxnas.pipelines.narrow_state import Kind
from jaxnas.pipelines.settings import DataSettings, Recipe, RunSettings
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.pipelines.settings.narrow import NarrowSettings
from jaxnas.report import table
from jaxnas.run import compilation_cache, progress
from jaxnas.spaces import registry

PROGRAM = "experiments.net_adapt"
ROUNDS = 9  # of timing both in turns
ADAPTED, CUT, FRESH = "NetAdapt", "uniform cut", "uniform from scratch"


@dataclasses.dataclass(frozen=True)
class Settings:
    genotype: tyro.conf.Positional[str] = ""
    """A genotype.json, or a run folder."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of all that is random in a pair."""
    data: str = "digits"
    """The images."""
    data_dir: str | None = None
    """Where prepared TFDS sets lie."""
    limit: int | None = None
    """The first N training images."""
    features: int = 16
    """Of the network that is narrowed: of a mobile stem, of the first cells."""
    cut_features: int = 12
    """Of the network that is cut uniformly."""
    epochs: int = 8
    """Before the narrowing."""
    tune_epochs: int = 8
    """After it."""
    short_steps: int = 20
    """Training steps of each proposal before it is judged."""
    first: float = 0.03
    """Share of the cost that the first step saves."""
    multiple: int = 4
    """What is left of any channels is a multiple of this."""
    out: str = "runs/net_adapt"
    """The study's folder."""


def main(settings: Settings, console: rich.console.Console | None = None) -> Path:
    """All pairs, from wherever they were left; gives the folder. Raises ValueError."""
    console = console or rich.console.Console()
    if not 0 < settings.cut_features < settings.features:
        raise ValueError("--cut-features is below --features, and both above 0.")
    folder = Path(settings.out).expanduser()
    _, label = genotypes.named(settings.genotype)
    shared = {
        name: getattr(settings, name)
        for name in (
            *("data", "limit", "features", "cut_features", "epochs", "tune_epochs"),
            *("short_steps", "first", "multiple"),
        )
    }
    record = run.record(shared | {"genotype": label}, run.execution(1))
    with run.claim(folder, record, lambda line: progress.print_line(console, line)):
        done = {(row["method"], row["seed"]) for row in study.rows(folder)}
        is_done = lambda _, seed: all((name, seed) in done for name in (CUT, ADAPTED, FRESH))
        for _, seed in study.pairs([ADAPTED], settings.seeds, is_done, console):
            for row in _pair(settings, folder, seed, console):
                if (row["method"], seed) not in done:
                    study.add(folder, row)
        report(folder, study.rows(folder), console)
    return folder


def _pair(settings: Settings, folder: Path, seed: int, console) -> list[study.Row]:
    genotype, _ = genotypes.named(settings.genotype)
    entry = registry.of_genotype(genotype)
    source = DataSettings(settings.data, data_dir=settings.data_dir, limit=settings.limit)
    recipe = Recipe(epochs=settings.epochs, features=settings.features)
    asked = NarrowSettings(
        settings.genotype,
        source=source,
        recipe=recipe,
        seed=seed,
        target_ms=1.0,  # known below
        short_steps=settings.short_steps,
        first=settings.first,
        multiple=settings.multiple,
        tune_epochs=settings.tune_epochs,
        place=RunSettings(out=str(folder), name=f"adapted-{seed}"),
    )
    found = narrow.learnt(setup.load(source, 1 - asked.held_out))
    shape, classes = found.train.inputs.shape[1:], len(found.class_names)
    less = dataclasses.replace(
        recipe, features=settings.cut_features, epochs=settings.epochs + settings.tune_epochs
    )
    family = registry.family_of(genotype)
    less = recipes.resolved(less, family, shape)
    kind = narrow_state.kind_of(genotype, recipes.resolved(recipe, family, shape), found)
    narrow.refuse_multiple(settings.multiple, kind)
    of_small = narrow_state.kind_of(genotype, less, found)
    widths = of_small.widths(of_small.whole)
    for name, part in kind.subject(kind.whole).parts.items():
        if part.halved and widths[name] % 2:
            raise ValueError(
                f"--cut-features leaves {name} {widths[name]} channels, which come in two halves: "
                "give an even number."
            )
    compilation_cache.enable()
    small = training.network(entry, genotype, less, classes)
    weights = lambda net: jax.jit(net.init)(jax.random.key(0), jax.numpy.zeros((1, *shape)))
    time = lambda net, at: timing.inference(net, *at, shape).median
    at_small, noted = weights(small), folder / f"limit-{seed}.json"
    if not noted.exists():  # a time differs from time to time: a pair goes on with its first
        limit = statistics.median(time(small, at_small) for _ in range(ROUNDS))
        run.write_text(noted, json.dumps(limit))
    limit = json.loads(noted.read_text(encoding="utf-8"))
    place = narrow.main(dataclasses.replace(asked, target_ms=limit), console)
    slim = kind.network(kind.read((place / kind.file).read_text(encoding="utf-8")))
    at_slim, times = weights(slim), {CUT: [], ADAPTED: []}
    for _ in range(ROUNDS):
        times[CUT].append(time(small, at_small))
        times[ADAPTED].append(time(slim, at_slim))
    times[FRESH] = times[CUT]  # the same program
    learn = narrow.learnt(found)
    whole = recipes.resolved(recipe, family, shape)
    planned = training.plan(entry, genotype, whole, seed, learn)
    start = _cut(kind, of_small, training.trained(planned, learn, place / narrow.WHOLE))
    train = lambda recipe, name, **more: training.train(
        entry, genotype, recipe, seed, learn, folder=folder / f"{name.replace(' ', '-')}-{seed}",
        title=name, saving=run.SavePolicy(), mode=None, console=console, **more,
    )  # fmt: skip
    rows = {
        CUT: train(dataclasses.replace(less, epochs=settings.tune_epochs), CUT, start=start),
        ADAPTED: json.loads((place / narrow.SUMMARY).read_text(encoding="utf-8"))["tuned"],
        FRESH: train(less, FRESH),
    }
    return [
        {"method": name, "seed": seed, "measured_ms": statistics.median(times[name])}
        | {key: row[key] for key in ("top1", "loss", "parameters", "macs")}
        for name, row in rows.items()
    ]


def _cut(kind: Kind, small: Kind, at: tuple[Weights, Stats]) -> tuple[Weights, Stats]:
    """Weights and statistics of the trained network, at the widths of the small one."""
    known, widths = kind.subject(kind.whole).parts, small.widths(small.whole)
    kept = narrower.all_channels(known)
    for name, part in known.items():
        kept[name] = narrower.largest_filters(part, kept[name], at[0], widths[name])
    return narrower.cut(known, kept, *at)


def report(folder: Path, rows: Sequence[study.Row], console: rich.console.Console) -> None:
    """Writes net_adapt.md; prints the table."""
    of = lambda name: sorted((r for r in rows if r["method"] == name), key=lambda r: r["seed"])
    every = list(zip(*map(of, (CUT, ADAPTED, FRESH)), strict=True))
    lines = [
        (str(three[0]["seed"]),)
        + tuple(
            text
            for row in three
            for text in (
                f"{100 * row['top1']:.1f}",
                f"{row['measured_ms']:.4g}",
                f"{row['macs']:,}",
            )
        )
        for three in every
    ]
    head = ("seed",) + tuple(
        f"{name}, {what}" for name in (CUT, ADAPTED, FRESH) for what in ("%", "ms", "MACs")
    )
    shown = table.TextTable(head, lines)
    ahead = lambda other: sum(three[1]["top1"] > three[other]["top1"] for three in every)
    said = (
        f"NetAdapt is more accurate than a uniform cut of the same network in {ahead(0)} of "
        f"{len(lines)} seeds, than a uniform network from scratch in {ahead(2)}."
    )
    run.write_text(folder / "net_adapt.md", f"# NetAdapt\n\n{said}\n\n{table.markdown(shown)}")
    for line in (*table.text(shown).splitlines(), said, f"report: {folder / 'net_adapt.md'}"):
        progress.print_line(console, line)


def cli(argv: Sequence[str] | None = None) -> int:
    """The command line of this study; gives its exit code."""
    return experiment.run(main, Settings(), PROGRAM, (__doc__ or "").splitlines()[0], argv)


if __name__ == "__main__":
    sys.exit(cli())
