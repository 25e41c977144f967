"""Searches networks for several targets in milliseconds and measures how well each holds.

python -m experiments.targets --latency latency/mine --targets-ms 2 3 4

A row a (target, seed): target, predicted, interval, measured, accuracy after retraining. Beside
them: a search without a target, and its network, as wide as each target allows. Rows that are there
are not run again. Table and picture show the Pareto front of the sweep, predicted and measured.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rich.console

from jaxnas import run
from jaxnas.core.types import Constraint
from jaxnas.hardware import cost, device
from jaxnas.hardware.measure import dataset
from jaxnas.hardware.measure.dataset import CampaignDataset
from jaxnas.methods import registry as methods
from jaxnas.pipelines import command_line, constraints, retrain, search, setup, study
from jaxnas.pipelines.settings import DataSettings, Recipe, RunSettings, SearchSettings
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.pipelines.settings.limits import fail, require
from jaxnas.report import figures, table
from jaxnas.run import progress
from jaxnas.spaces import dataflow
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.genotype import from_json as genotype_of

PROGRAM = "experiments.targets"
FREE, SCALED = "free", "scaled"
STEPS = 8  # widths that are measured for one target


@dataclasses.dataclass(frozen=True)
class Settings:
    latency: str = ""
    """The folder of a campaign."""
    targets_ms: tuple[float, ...] = ()
    """Milliseconds, one search a seed each."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of all that is random in a row."""
    data: str = "digits"
    """The images, of the size that the campaign timed."""
    data_dir: str | None = None
    """Where prepared TFDS sets lie."""
    limit: int | None = None
    """The first N training images."""
    method: str = "gdas"
    """How it is searched."""
    epochs: int | None = None
    """Of the search."""
    retrain_epochs: int | None = None
    """Of every network in the end."""
    scaled: bool = True
    """Also train the network of no target, as wide as each target allows."""
    out: str = "runs/targets"
    """The study's folder."""


def main(settings: Settings, console: rich.console.Console | None = None) -> Path:
    """The whole sweep, from wherever it was left; gives its folder. Raises ValueError."""
    console = console or rich.console.Console()
    if not settings.targets_ms or len(set(settings.targets_ms)) < len(settings.targets_ms):
        fail("--targets-ms names one target or more, each once.")
    for ms in settings.targets_ms:
        require("--targets-ms", ms, above=0)
    campaign = dataset.load(Path(settings.latency))
    if campaign.settings.get("threads") is not None:
        # Before JAX opens its devices: rows without a target are timed as the campaign was, too.
        device.pin(campaign.settings["threads"])
    latency = cost.predicted(campaign.space, dataset.fit_predictor(campaign))
    for ms in settings.targets_ms:
        cost.check(Constraint(latency, ms))
    method = methods.get(settings.method)
    if "constraints" not in method.accepts or not methods.fits(method, campaign.space):
        name = campaign.space.name
        fail(f"--method {settings.method} searches {name} to no target: take another.")
    folder = Path(settings.out).expanduser()
    shared = {"latency": campaign.digest} | {
        name: getattr(settings, name)
        for name in ("data", "limit", "method", "epochs", "retrain_epochs")
    }
    names = [FREE, *(f"{ms:g} ms" for ms in settings.targets_ms)]
    record = run.record(shared, run.execution(1))
    with run.claim(folder, record, lambda line: progress.print_line(console, line)):
        done = {(row["method"], row["seed"]) for row in study.rows(folder)}
        is_done = lambda name, seed: (name, seed) in done
        for name, seed in study.pairs(names, settings.seeds, is_done, console):
            ms = None if name == FREE else settings.targets_ms[names.index(name) - 1]
            study.add(folder, _row(settings, campaign, folder, name, ms, seed, console))
        if settings.scaled:
            for ms, seed in ((t, s) for s in settings.seeds for t in settings.targets_ms):
                if (f"{SCALED} {ms:g} ms", seed) not in done:
                    study.add(folder, _scaled(settings, campaign, folder, ms, seed, console))
        report(folder, study.rows(folder), console)
    return folder


def _search(
    settings: Settings, campaign: CampaignDataset, seed: int, **more: Any
) -> SearchSettings:
    """A search whose network is retrained at the size that the campaign timed."""
    size = campaign.size
    # A genotype of a space that its cells shape says them by itself, and they are the search's.
    searched, retrained = {"cells": size.cells}, {}
    if not campaign.space.shaped_by_cells:
        searched, retrained = retrained, searched
    recipe = Recipe(epochs=settings.retrain_epochs, features=size.features, **retrained)
    return SearchSettings(
        **{
            "source": DataSettings(settings.data, data_dir=settings.data_dir, limit=settings.limit),
            "space": campaign.settings["space"], "method": settings.method,
            **searched,
            "epochs": settings.epochs, "seed": seed, "random_cells": 0, "retrain": recipe,
        }
        | more
    )  # fmt: skip


def _row(settings, campaign, folder, name, ms, seed, console) -> study.Row:
    place = RunSettings(out=str(folder), name=f"{name.replace(' ', '')}-seed{seed}")
    target = {} if ms is None else {"target_ms": ms, "latency": settings.latency}
    done = search.main(_search(settings, campaign, seed, place=place, **target), console)
    summary = json.loads((done / search.SUMMARY).read_text(encoding="utf-8"))
    row = {"method": name, "seed": seed, "target_ms": ms, "top1": summary["found"]["top1"]}
    if ms is None:
        cell = dataflow.remove_dead_edges(
            genotype_of((done / search.GENOTYPE).read_text(encoding="utf-8"))
        )
        times = constraints.time_genotypes(campaign, [cell], done / constraints.ROUNDS, console)
        return row | {
            "predicted_ms": None, "measured_ms": float(times.latency_ms[0]), "holds": None,
        }  # fmt: skip
    target = summary["target"]["targets"]["ms"]
    return row | {
        "predicted_ms": target["predicted"], "interval_ms": target["interval"],
        "measured_ms": target["measured"], "holds": target["holds"],
    }  # fmt: skip


def _scaled(settings, campaign, folder, ms, seed, console) -> study.Row:
    """The network of no target, at the width whose measured time is nearest the target."""
    text = (folder / f"{FREE}-seed{seed}" / search.GENOTYPE).read_text(encoding="utf-8")
    cell = dataflow.remove_dead_edges(genotype_of(text))
    where = folder / f"{SCALED}-{ms:g}ms-seed{seed}"
    features, measured = width(campaign, cell, ms, where, console)
    searched = _search(settings, campaign, seed)
    images = setup.load(searched.source, searched.train_fraction, searched.split_seed)
    recipe = dataclasses.replace(searched.retrain, features=features)
    recipe = recipes.resolved(recipe, campaign.space, images.train.inputs.shape[1:], "retrain.")
    result = retrain.train(
        retrain.TrainingTask(campaign.space, cell, recipe, seed, images), where / "retrain",
        title=where.name, place=searched.place, console=console, timed=False,
    )  # fmt: skip
    return {
        "method": f"{SCALED} {ms:g} ms", "seed": seed, "target_ms": ms, "predicted_ms": None,
        "measured_ms": measured, "holds": abs(measured / ms - 1) <= 0.05, "features": features,
        "top1": result["top1"],
    }  # fmt: skip


def width(
    campaign: CampaignDataset, cell: Genotype, ms: float, folder: Path, console
) -> tuple[int, float]:
    """(channels, measured ms): the widest network that takes no longer, by bisection."""
    multiple = max(campaign.space.features_multiple, 2)
    low, high, times = multiple, 4 * campaign.size.features, {}
    for number in range(STEPS):
        middle = (low + high) // (2 * multiple) * multiple
        if middle in times or middle < multiple:
            break
        size = campaign.size._replace(features=middle)
        measured = constraints.time_genotypes(
            campaign, [cell], folder / f"width-{number}", console, size=size
        )
        times[middle] = float(measured.latency_ms[0])
        low, high = (middle, high) if times[middle] <= ms else (low, middle)
    fits = {features: t for features, t in times.items() if t <= ms}
    best = max(fits, default=min(times))
    return best, times[best]


HEAD = (
    "network",
    "seed",
    "target ms",
    "predicted ms",
    "measured ms",
    "off %",
    "accuracy %",
    "front",
)


def front(rows: Sequence[study.Row]) -> list[bool]:
    """Whether no other row is measured to be as fast and is more accurate, or faster and equal."""
    beats = lambda a, b: (
        a["measured_ms"] <= b["measured_ms"]
        and a["top1"] >= b["top1"]
        and (a["measured_ms"], a["top1"]) != (b["measured_ms"], b["top1"])
    )
    return [not any(beats(other, row) for other in rows) for row in rows]


def report(folder: Path, rows: Sequence[study.Row], console: rich.console.Console) -> None:
    """Writes targets.md, pareto.svg and pareto.png; prints the table."""
    number = lambda value, digits=4: "–" if value is None else f"{value:.{digits}g}"
    lines = []
    for row, best in zip(rows, front(rows), strict=True):
        ms, target = row["measured_ms"], row["target_ms"]
        off = "–" if target is None else f"{100 * (ms / target - 1):+.1f}"
        lines.append(
            (row["method"], str(row["seed"]), number(target), number(row["predicted_ms"]))
            + (number(ms), off, f"{100 * row['top1']:.2f}", "yes" if best else "")
        )
    shown = table.TextTable(HEAD, lines)
    held = [row["holds"] for row in rows if row["holds"] is not None and "interval_ms" in row]
    line = f"{sum(held)} of {len(held)} searches hold their target within 5 %, measured."
    run.write_text(
        folder / "targets.md",
        f"# Networks for targets\n\n{line}\n\n{table.markdown(shown)}\n![](pareto.svg)\n",
    )
    _picture(folder, rows)
    for text in (*table.text(shown).splitlines(), line, f"report: {folder / 'targets.md'}"):
        progress.print_line(console, text)


def _picture(folder: Path, rows: Sequence[study.Row]) -> None:
    kinds = {
        "to a target": ([r for r in rows if "interval_ms" in r], "blue"),
        "without one": ([r for r in rows if r["method"] == FREE], "orange"),
        "scaled width": ([r for r in rows if r["method"].startswith(SCALED)], "teal"),
    }
    with figures.figure(560, 380) as fig:
        axes = fig.add_axes((0.12, 0.14, 0.84, 0.76))
        for name, (points, colour) in kinds.items():
            if points:
                xy = [r["measured_ms"] for r in points], [100 * r["top1"] for r in points]
                axes.plot(*xy, "o", color=figures.LIGHT[colour], label=f"{name}, measured")
        points = kinds["to a target"][0]
        xy = [r["predicted_ms"] for r in points], [100 * r["top1"] for r in points]
        axes.plot(*xy, "o", mfc="none", color=figures.LIGHT["blue"], label="to a target, predicted")
        best = sorted((r["measured_ms"], 100 * r["top1"]) for r in _fronts(rows))
        axes.step(*zip(*best, strict=True), where="post", color=figures.LIGHT["muted"], linewidth=1)
        axes.set_xlabel("milliseconds")
        axes.set_ylabel("accuracy after retraining, %")
        axes.legend(fontsize=8)
        axes.grid()
        picture = figures.svg(fig, "Accuracy against milliseconds, predicted and measured")
        figures.save_png(fig, folder / "pareto.png")
    figures.save_text(picture, folder / "pareto.svg")


def _fronts(rows: Sequence[study.Row]) -> list[study.Row]:
    return [row for row, best in zip(rows, front(rows), strict=True) if best]


def cli(argv: Sequence[str] | None = None) -> int:
    """The command line of this study; gives its exit code."""
    return command_line.run(main, Settings(), PROGRAM, (__doc__ or "").splitlines()[0], argv)


if __name__ == "__main__":
    sys.exit(cli())
