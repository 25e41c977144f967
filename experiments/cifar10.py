"""Searches CIFAR-10 in the DARTS space by many methods and retrains every cell alike.

python -m experiments.cifar10 --data-dir my_data --methods darts pc-darts --seeds 0 1 2

A run of `jaxnas search` a (method, seed), then one table of what the retrained networks reach,
and, with `--random-cells`, what each found cell gains over random cells that are trained alike.
Runs that are finished are not run again, and one that was stopped goes on where it was saved.
`--preset paper` is DARTS's protocol: 8 cells and 16 channels searched, 20 cells and 36 channels
retrained for 600 epochs, for a GPU. Figures that were measured: docs/results.md.
"""

import dataclasses
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import rich.console

from jaxnas import run
from jaxnas.pipelines import command_line, genotypes, search, study
from jaxnas.pipelines.settings import DataSettings, Recipe, RunSettings, SearchSettings, flags
from jaxnas.pipelines.settings import search as searches
from jaxnas.pipelines.settings.limits import fail, require
from jaxnas.report import formatting, html_page, strip_plot, table
from jaxnas.report.statistics import differences, sample
from jaxnas.run import progress
from jaxnas.spaces import registry

PROGRAM = "experiments.cifar10"
# What a preset decides where it is not given. `quick` and `paper` are those of `jaxnas search`;
# the sizes of `medium` are ours, between the two.
PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"limit": 1000},
    "medium": {"limit": 10000, "features": 8, "cells": 5, "epochs": 24},
    "paper": {"limit": None},
}
RETRAIN: dict[str, dict[str, Any]] = {
    "quick": {},
    "medium": {"features": 16, "cells": 8, "epochs": 60, "batch_size": 96, "cutout": 16},
    "paper": {"preset": "paper"},
}


@dataclasses.dataclass(frozen=True)
class Settings:
    methods: tuple[str, ...] = study.METHODS
    """Those that `jaxnas methods` lists, and darts-exact, darts-fd, darts-pt."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of all that is random in a run."""
    data: str = "cifar10"
    """The images to search and to train on."""
    data_dir: str | None = None
    """Where prepared TFDS sets lie."""
    preset: Literal["quick", "medium", "paper"] = "quick"
    """`quick` for a CPU, `paper` for a GPU, `medium` between them."""
    limit: int | None = None
    """The first N training images and N // 5 test images; quick: 1000, medium: 10000, paper:
    all."""
    image_size: int | None = None
    """Scales every image to this many pixels a side."""
    features: int | None = None
    """Channels of the first cells of the search network."""
    cells: int | None = None
    """Cells of the search network."""
    reductions: tuple[int, ...] | None = None
    """Which of its cells halve the image, by number; by default those at a third and two thirds."""
    epochs: int | None = None
    """Passes over the training half, in each stage of a method."""
    batch_size: int = 64
    """Images a step of the search, of either half."""
    set: tuple[str, ...] = ()
    """Settings of a method, as `METHOD.name=value`."""
    random_cells: int = 0
    """Random cells a seed that are trained as the found ones of that seed are; 0: none."""
    retrain: Recipe = Recipe()
    """How every cell is trained; its own preset is that of the study."""
    out: str = "runs/cifar10"
    """The study's folder."""


def main(settings: Settings, console: rich.console.Console | None = None) -> Path:
    """The whole study, from wherever it was left; gives its folder.

    Raises ValueError for settings that are impossible or have no effect, and what
    `jaxnas.pipelines.search.main` raises.
    """
    console = console or rich.console.Console()
    study.check(settings.methods, settings.seeds, settings.set)
    require("--limit", settings.limit, minimum=5)
    require("--random-cells", settings.random_cells, minimum=0)
    folder = Path(settings.out).expanduser()
    plan = {
        (name, seed): search_of(settings, name, seed)
        for seed in settings.seeds
        for name in settings.methods
    }
    for planned in plan.values():
        searches.resolved(planned, registry.get(planned.space))
    is_done = lambda name, seed: _finished(folder, plan[name, seed])
    for key in study.pairs(settings.methods, settings.seeds, is_done, console):
        search.main(plan[key], console)
    rows = [row(folder, planned) for planned in plan.values()]
    report(folder, settings, rows, random_cells(folder, plan), console)
    return folder


def search_of(settings: Settings, name: str, seed: int) -> SearchSettings:
    """The run of a method and a seed: perturbation is in the space without `none`, as it must."""
    missing = {k: v for k, v in PRESETS[settings.preset].items() if getattr(settings, k) is None}
    full = dataclasses.replace(settings, **missing)
    if settings.retrain.preset != Recipe().preset:
        fail("--retrain.preset has no effect: --preset decides it.")
    recipe = RETRAIN[settings.preset] | {
        k: v for k, v in dataclasses.asdict(full.retrain).items() if v is not None and k != "preset"
    }
    variant = study.VARIANTS.get(name, {})
    return study.search_of(
        name,
        full.set,
        source=DataSettings(full.data, full.data_dir, full.limit, full.image_size),
        space="darts-no-none" if "select" in variant else "darts",
        preset="paper" if full.preset == "paper" else "quick",
        epochs=full.epochs,
        batch_size=full.batch_size,
        features=full.features,
        cells=full.cells,
        reductions=full.reductions,
        seed=seed,
        # They are the same for all methods of a seed, and trained once.
        random_cells=full.random_cells if name == full.methods[0] else 0,
        retrain=Recipe(**recipe),
        place=RunSettings(out=full.out, name=f"{name}-seed{seed}"),
    )


def _finished(folder: Path, planned: SearchSettings) -> bool:
    """Whether a run of these very settings is there; with others `jaxnas search` refuses."""
    path = folder / planned.place.name / search.SUMMARY
    if not path.exists():
        return False
    return _summary(path).get("command") == flags.command(
        "jaxnas search", planned, SearchSettings()
    )


def random_cells(folder: Path, plan: Mapping[Any, SearchSettings]) -> dict[int, list[float]]:
    """Test accuracies in % of the random cells, by seed."""
    found: dict[int, list[float]] = {}
    for planned in plan.values():
        others = _summary(folder / planned.place.name / search.SUMMARY)["random"]
        found.setdefault(planned.seed, []).extend(100 * other["top1"] for other in others)
    return {seed: accuracies for seed, accuracies in found.items() if accuracies}


GAIN_HEAD = (
    "method", "seeds", "less random, points", "95 %", "p", "seeds ahead", "relative, %", "95 %",
    "beaten",
)  # fmt: skip


def gains(rows: Sequence[study.Row], others: Mapping[int, Sequence[float]]) -> table.TextTable:
    """A line a method: what it found less the mean of the random cells of the same seed.

    `relative` is the improvement in % of that mean, as Yang et al. 2020 define it ("NAS evaluation
    is frustratingly hard", https://arxiv.org/abs/1912.12522); `beaten` are the random
    cells that are less accurate.
    """
    lines = []
    for name in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == name and row["seed"] in others]
        means = [statistics.mean(others[row["seed"]]) for row in own]
        points = [row["top1"] - mean for row, mean in zip(own, means, strict=True)]
        relative = [100 * gain / mean for gain, mean in zip(points, means, strict=True)]
        beaten = sum(row["top1"] > other for row in own for other in others[row["seed"]])
        count = sum(len(others[row["seed"]]) for row in own)
        lines.append(
            (name, str(len(own)), *differences.cells(differences.of(points)))
            + (*differences.cells(differences.of(relative))[:2], f"{beaten} of {count}")
        )
    return table.TextTable(GAIN_HEAD, lines)


def _summary(path: Path) -> Mapping[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return record if "found" in record else {}
    except (OSError, ValueError, TypeError) as error:
        raise run.RunError(f"Cannot read {path} ({error}): delete it, and run it again.") from error


def row(folder: Path, planned: SearchSettings) -> study.Row:
    """What a finished run came to."""
    place = folder / planned.place.name
    result = _summary(place / search.SUMMARY)["found"]
    ops = [
        op
        for cell in genotypes.read(place / search.GENOTYPE).cells.values()
        for _, _, op in cell.edges
    ]
    return {
        "method": planned.place.name.rpartition("-seed")[0],
        "seed": planned.seed,
        "top1": 100 * result["top1"],
        "parameters": result["parameters"],
        "macs": result["macs"],
        "latency_ms": result["latency_ms"],
        "skips": ops.count("skip_connect"),
        "search_s": study.steps_s(place),
    }


HEAD = ("method", "seeds", "test %", "parameters", "MACs", "latency ms", "skips", "search s")


def summary(rows: Sequence[study.Row]) -> table.TextTable:
    """A line a method, mean ± standard deviation over its seeds, the most accurate first."""
    lines = []
    for name in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == name]
        of = lambda field, own=own: [row[field] for row in own]
        mean = lambda field, of=of: formatting.amount(statistics.mean(of(field))).replace(
            formatting.SPACE, " "
        )
        lines.append(
            (
                statistics.mean(of("top1")),
                [
                    name, str(len(own)), sample.spread(of("top1"), 2), mean("parameters"),
                    mean("macs"), sample.spread(of("latency_ms"), 2), sample.spread(of("skips"), 1),
                    sample.spread(of("search_s"), 0),
                ],
            )
        )  # fmt: skip
    return table.TextTable(HEAD, [line for _, line in sorted(lines, key=lambda line: -line[0])])


def report(
    folder: Path,
    settings: Settings,
    rows: Sequence[study.Row],
    others: Mapping[int, Sequence[float]],
    console: rich.console.Console,
) -> None:
    """Writes study.md, study.html and the figure into the study's folder; prints the table."""
    whole = summary(rows)
    again = flags.command(f"python -m {PROGRAM}", settings, Settings())
    limit = PRESETS[settings.preset]["limit"] if settings.limit is None else settings.limit
    notes = (
        f"Preset {settings.preset} on {settings.data}, "
        f"{'all' if limit is None else f'{limit:,}'} training images; every cell trained "
        "alike and tested once. Means ± standard deviations over seeds. Search s are the seconds "
        "of all steps of the search: compiling, validation, selection and saving are not in them."
    )
    groups = {line[0]: [r["top1"] for r in rows if r["method"] == line[0]] for line in whole.rows}
    against, cells = "", [a for accuracies in others.values() for a in accuracies]
    if others:
        groups["random cells"] = cells
        gained = gains(rows, others)
        against = f"Random cells: {sample.spread(cells, 2)} %, {len(cells)} of them."
        against = f"## Against random cells\n\n{against}\n\n{table.markdown(gained)}\n"
    picture = strip_plot.save(
        "Test accuracy of the retrained cells", groups, folder, "accuracy", label="top-1 (%)"
    )
    sections = {
        "Table": table.html(whole, notes),
        **({"Against random cells": table.html(gained, "Of each seed's own")} if others else {}),
        "Accuracy": html_page.figure(picture, "accuracy"),
        "Command": f'<pre tabindex="0"><code>{html_page.escape(again)}</code></pre>',
    }
    chips = {"runs": str(len(rows)), "preset": settings.preset, "data": settings.data}
    page = html_page.write(folder / "study.html", "Study", "Methods on CIFAR-10", chips, sections)
    run.write_text(
        folder / "study.md",
        f"# Methods on CIFAR-10\n\n{notes}\n\n{table.markdown(whole)}\n{against}"
        f"```text\n{again}\n```\n",
    )
    for line in (*table.text(whole).splitlines(), *against.splitlines()):
        progress.print_line(console, line)
    progress.print_line(console, f"report: {page}")


def cli(argv: Sequence[str] | None = None) -> int:
    """The command line of this study; gives its exit code."""
    return command_line.run(main, Settings(), PROGRAM, (__doc__ or "").splitlines()[0], argv)


if __name__ == "__main__":
    sys.exit(cli())
