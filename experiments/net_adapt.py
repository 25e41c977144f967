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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import rich.console
import tyro.conf

from jaxnas import data, run
from jaxnas.core.types import Network, Stats, Weights
from jaxnas.hardware import timing
from jaxnas.nets import channel_groups
from jaxnas.pipelines import command_line, genotypes, narrow, retrain, setup, study
from jaxnas.pipelines.settings import DataSettings, Recipe, RunSettings
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.pipelines.settings.narrow import NarrowSettings
from jaxnas.report import table
from jaxnas.run import compilation_cache, progress
from jaxnas.spaces import registry
from jaxnas.spaces.search_space import Prunable

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


class Pair(NamedTuple):
    """A seed's settings of the narrowing, and the trainings of the whole and the small network."""

    narrowing: NarrowSettings
    whole: retrain.TrainingTask
    small: retrain.TrainingTask


def _resolve(settings: Settings, folder: Path, seed: int) -> Pair:
    """Raises ValueError for widths that cannot be."""
    genotype, _ = genotypes.named(settings.genotype)
    space = registry.of_genotype(genotype)
    source = DataSettings(settings.data, data_dir=settings.data_dir, limit=settings.limit)
    recipe = Recipe(epochs=settings.epochs, features=settings.features)
    narrowing = NarrowSettings(
        settings.genotype,
        source=source,
        recipe=recipe,
        seed=seed,
        target_ms=1.0,  # until the small network is timed
        short_steps=settings.short_steps,
        first=settings.first,
        multiple=settings.multiple,
        tune_epochs=settings.tune_epochs,
        place=RunSettings(out=str(folder), name=f"adapted-{seed}"),
    )
    dataset = narrow.without_valid(setup.load(source, 1 - narrowing.held_out))
    of_small = dataclasses.replace(
        recipe, features=settings.cut_features, epochs=settings.epochs + settings.tune_epochs
    )
    whole, small = (
        retrain.TrainingTask(
            space, genotype, recipes.resolved(each, space, _shape(dataset)), seed, dataset
        )
        for each in (recipe, of_small)
    )
    prunable, prunable_small = _prunable(whole), _prunable(small)
    narrow.check_multiple(settings.multiple, prunable)
    widths = prunable_small.widths(prunable_small.unpruned)
    for name, group in prunable.groups(prunable.unpruned).groups.items():
        if group.halved and widths[name] % 2:
            raise ValueError(
                f"--cut-features leaves {name} {widths[name]} channels, which come in two halves: "
                "give an even number."
            )
    return Pair(narrowing, whole, small)


def _pair(settings: Settings, folder: Path, seed: int, console) -> list[study.Row]:
    pair = _resolve(settings, folder, seed)
    compilation_cache.enable()
    time_small = _timer(retrain.network(pair.small), _shape(pair.small.dataset))
    path = folder / f"limit-{seed}.json"
    if not path.exists():  # a time differs from time to time: a pair goes on with its first
        run.write_text(path, json.dumps(statistics.median(time_small() for _ in range(ROUNDS))))
    limit = json.loads(path.read_text(encoding="utf-8"))
    place = narrow.main(dataclasses.replace(pair.narrowing, target_ms=limit), console)
    prunable = _prunable(pair.whole)
    remaining = prunable.from_text((place / prunable.file).read_text(encoding="utf-8"))
    time_narrowed = _timer(prunable.network(remaining), _shape(pair.whole.dataset))
    times = {CUT: [], ADAPTED: []}
    for _ in range(ROUNDS):
        times[CUT].append(time_small())
        times[ADAPTED].append(time_narrowed())
    times[FRESH] = times[CUT]  # the same program
    start = _cut(pair, retrain.load_trained(pair.whole, place / narrow.WHOLE))
    train = lambda task, name: retrain.train(
        task, folder / f"{name.replace(' ', '-')}-{seed}", title=name, place=pair.narrowing.place,
        console=console,
    )  # fmt: skip
    tuned = dataclasses.replace(pair.small.recipe, epochs=settings.tune_epochs)
    rows = {
        CUT: train(pair.small._replace(recipe=tuned, start=start), CUT),
        ADAPTED: json.loads((place / narrow.SUMMARY).read_text(encoding="utf-8"))["tuned"],
        FRESH: train(pair.small, FRESH),
    }
    return [
        {"method": name, "seed": seed, "measured_ms": statistics.median(times[name])}
        | {key: row[key] for key in ("top1", "loss", "parameters", "macs")}
        for name, row in rows.items()
    ]


def _shape(dataset: data.DataSet) -> tuple[int, int, int]:
    return dataset.train.inputs.shape[1:]


def _prunable(task: retrain.TrainingTask) -> Prunable:
    classes = len(task.dataset.class_names)
    return task.space.prunable(task.genotype, task.recipe, _shape(task.dataset), classes)


def _timer(net: Network, shape: tuple[int, int, int]) -> Callable[[], float]:
    """() -> milliseconds of an image, with weights as they are drawn."""
    weights, stats = run.first_state(net.init, jax.random.key(0), jax.numpy.zeros((1, *shape)))
    return lambda: timing.inference(net, weights, stats, shape).median


def _cut(pair: Pair, trained: tuple[Weights, Stats]) -> tuple[Weights, Stats]:
    """Weights and statistics of the trained network, at the widths of the small one."""
    prunable, small = _prunable(pair.whole), _prunable(pair.small)
    groups, widths = prunable.groups(prunable.unpruned).groups, small.widths(small.unpruned)
    masks = channel_groups.all_channels(groups)
    for name, group in groups.items():
        masks[name] = channel_groups.largest_filters(group, masks[name], trained[0], widths[name])
    return channel_groups.cut(groups, masks, *trained)


def report(folder: Path, rows: Sequence[study.Row], console: rich.console.Console) -> None:
    """Writes net_adapt.md; prints the table."""
    of = lambda name: sorted((r for r in rows if r["method"] == name), key=lambda r: r["seed"])
    triples = list(zip(*map(of, (CUT, ADAPTED, FRESH)), strict=True))
    lines = [
        (str(triple[0]["seed"]),)
        + tuple(
            text
            for row in triple
            for text in (
                f"{100 * row['top1']:.1f}",
                f"{row['measured_ms']:.4g}",
                f"{row['macs']:,}",
            )
        )
        for triple in triples
    ]
    head = ("seed",) + tuple(
        f"{name}, {what}" for name in (CUT, ADAPTED, FRESH) for what in ("%", "ms", "MACs")
    )
    shown = table.TextTable(head, lines)
    ahead = lambda other: sum(triple[1]["top1"] > triple[other]["top1"] for triple in triples)
    line = (
        f"NetAdapt is more accurate than a uniform cut of the same network in {ahead(0)} of "
        f"{len(lines)} seeds, than a uniform network from scratch in {ahead(2)}."
    )
    run.write_text(folder / "net_adapt.md", f"# NetAdapt\n\n{line}\n\n{table.markdown(shown)}")
    for text in (*table.text(shown).splitlines(), line, f"report: {folder / 'net_adapt.md'}"):
        progress.print_line(console, text)


def cli(argv: Sequence[str] | None = None) -> int:
    """The command line of this study; gives its exit code."""
    return command_line.run(main, Settings(), PROGRAM, (__doc__ or "").splitlines()[0], argv)


if __name__ == "__main__":
    sys.exit(cli())
