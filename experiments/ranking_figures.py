"""How scores of NAS-Bench-201's cells agree with the truth: of a supernet and of baselines."""

import itertools
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxnas import run
from jaxnas.evaluators import nasbench201 as benchmark
from jaxnas.evaluators import rank_correlation
from jaxnas.pipelines import study
from jaxnas.report import table
from jaxnas.report.statistics.sample import spread
from jaxnas.spaces import genome
from jaxnas.spaces.search_space import SearchSpace

DATASET = "cifar10"
SIZE = "parameters"  # the baseline that a supernet must add to
DRAWS = 1000  # of cells, for the interval of the gain
PARTS = rank_correlation.Agreement._fields
HEAD = (
    "score", "cells", "tau", "connected", "lower half", "upper half", "parameters on these cells",
    "its choice %",
)  # fmt: skip


class Sample(NamedTuple):
    """Cells that are judged, their truth, and what is known of them without a supernet."""

    genomes: np.ndarray  # i64[n, 6]
    truth: np.ndarray  # f64[n]: CIFAR-10 test accuracy after 200 epochs, %
    connected: np.ndarray  # bool[n]
    baselines: Mapping[str, np.ndarray]  # f64[n], more is better; NaN where a cell has none


class Scores(NamedTuple):
    """What a supernet says of the cells at one point of its training."""

    step: int
    accuracy: np.ndarray  # f64[n]
    loss: np.ndarray  # f64[n], nats


def sample(
    space: SearchSpace,
    truth: benchmark.TabularBenchmark,
    count: int,
    seed: int,
    zero_cost: Mapping[str, np.ndarray],
) -> Sample:
    """`count` different cells at random. `zero_cost`: scores of all cells, f64[15625]."""
    genomes = genome.sample_distinct(space.choices, count, seed)
    rows = truth.row_of[genome.index(space.choices, genomes)]
    judged = list(benchmark.SETS).index(DATASET)
    properties = benchmark.SETS[DATASET]
    codes = truth.codes[rows]
    baselines = {
        SIZE: benchmark.cost.parameters(codes, properties.classes).astype(float),
        "MACs": benchmark.cost.macs(codes, properties.classes, properties.side).astype(float),
        "12 epochs, validation": truth.valid[judged, 0, rows],
    }
    baselines |= {name: scores[rows] for name, scores in zero_cost.items()}
    connected = space.genome.is_valid(space.genome.canonical(genomes))
    return Sample(genomes, truth.test[judged, -1, rows], connected, baselines)


def scores_file(folder: Path, number: int) -> Path:
    return folder / f"scores-{number}.json"


def points_of(folder: Path, count: int) -> list[Scores]:
    """The scores of a finished row. Raises RunError for a file that cannot be read."""
    points = []
    for number in range(count):
        found = read(scores_file(folder, number))
        points.append(Scores(found["step"], np.array(found["accuracy"]), np.array(found["loss"])))
    return points


def read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise run.RunError(f"Cannot read {path} ({error}): delete the row's folder.") from error


def figures(cells: Sample, points: Sequence[Scores]) -> dict[str, Any]:
    """The figures of one supernet, as JSON values: at every point, and more at the last."""
    judge = lambda scores: rank_correlation.agreement(scores, cells.truth, cells.connected)
    end, size = points[-1], cells.baselines[SIZE]
    together = rank_correlation.sum_of_ranks(-end.loss, size)
    gain = rank_correlation.gain(
        lambda rows: rank_correlation.sum_of_ranks(-end.loss[rows], size[rows]),
        size,
        cells.truth,
        draws=DRAWS,
    )
    return {
        "points": [
            {
                "step": point.step,
                "loss": judge(-point.loss)._asdict(),
                "accuracy": judge(point.accuracy)._asdict(),
            }
            for point in points
        ],
        "with_size": judge(together)._asdict(),
        "gain": gain._asdict(),
        "choice": {
            "loss": choice(-end.loss, cells.truth),
            "accuracy": choice(end.accuracy, cells.truth),
            "with_size": choice(together, cells.truth),
        },
    }


def choice(scores: np.ndarray, truth: np.ndarray) -> float:
    """The truth of the best by scores; the mean over cells that share the best score."""
    return float(np.mean(truth[scores == scores.max()]))


def levels(cells: Sample) -> dict[str, float]:
    """tau of the size and of 12 epochs, by short names."""
    short = {SIZE: SIZE, "12 epochs": "12 epochs, validation"}
    return {
        name: rank_correlation.kendall(cells.baselines[key], cells.truth)
        for name, key in short.items()
    }


def entry(table: benchmark.TabularBenchmark, code: Sequence[int]) -> dict[str, Any]:
    """The truth of a cell on CIFAR-10, as JSON values."""
    found = benchmark.query(table, np.array(code))
    scores = found.sets[DATASET]
    return {"arch": found.arch, "test": scores.test_200, "rank": scores.rank}


def scores_table(cells: Sample, rows: Sequence[study.Row]) -> table.TextTable:
    """A line a score: of the supernets mean ± standard deviation over seeds, then the baselines."""
    lines = []
    size_tau = lambda known: rank_correlation.kendall(
        cells.baselines[SIZE][known], cells.truth[known]
    )
    level = f"{size_tau(np.ones(len(cells.truth), bool)):.3f}"
    for name in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == name]
        for label, key in (
            ("loss", "loss"),
            ("accuracy", "accuracy"),
            (f"loss + {SIZE}", "with_size"),
        ):
            end = lambda row, key=key: row["points"][-1][key] if key != "with_size" else row[key]
            taus = [spread([end(row)[part] for row in own], 3) for part in PARTS]
            chosen = spread([row["choice"][key] for row in own], 2)
            lines.append((f"{name}: {label}", str(len(cells.truth)), *taus, level, chosen))
        if found := [row["evolved"]["test"] for row in own if row.get("evolved")]:
            of_found = spread(found, 2)
            lines.append((f"{name}: evolved by loss, of all cells", "–", *["–"] * 5, of_found))
    for name, values in cells.baselines.items():
        known = np.isfinite(values)
        if known.sum() > 1:
            scores, truth = values[known], cells.truth[known]
            taus = rank_correlation.agreement(scores, truth, cells.connected[known])
            texts = [f"{tau:.3f}" for tau in (*taus, size_tau(known))]
            lines.append((name, str(known.sum()), *texts, f"{choice(scores, truth):.2f}"))
    best, mean, deviation = cells.truth.max(), cells.truth.mean(), cells.truth.std()
    lines.append(("(the truth)", str(len(cells.truth)), *["1.000"] * 4, level, f"{best:.2f}"))
    lines.append(("(a cell at random)", "–", *["–"] * 5, f"{mean:.2f} ± {deviation:.2f}"))
    return table.TextTable(HEAD, lines)


def steps_table(rows: Sequence[study.Row]) -> table.TextTable:
    """A line a supernet: tau by loss / by accuracy at every point, and the gain over the size."""
    count = max(len(row["points"]) for row in rows)
    head = ["supernet", *(f"point {i + 1}" for i in range(count)), f"+ {SIZE}", "gain", "95 %"]
    lines = []
    for row in rows:
        points = [
            f"{p['step']:,}: {p['loss']['all']:.3f} / {p['accuracy']['all']:.3f}"
            for p in row["points"]
        ]
        gain = row["gain"]
        lines.append(
            (
                f"{row['method']}, seed {row['seed']}",
                *points,
                *["–"] * (count - len(points)),
                f"{row['with_size']['all']:.3f}",
                f"{gain['mean']:+.3f}",
                f"{gain['low']:+.3f} to {gain['high']:+.3f}",
            )
        )
    return table.TextTable(head, lines)


def reading(rows: Sequence[study.Row], ends: Mapping[tuple[str, int], Scores]) -> list[str]:
    """What the rows say, in a sentence for each way of sampling. `ends`: the last scores."""
    lines = []
    for name in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == name]
        taus = [row["points"][-1]["loss"]["all"] for row in own]
        above = sum(row["gain"]["mean"] > 0 for row in own)
        line = (
            f"{name}: tau by loss {spread(taus, 3)} over {len(own)} seeds; loss + {SIZE} is "
            f"above {SIZE} alone in {above} of {len(own)}, by "
            f"{spread([row['gain']['mean'] for row in own], 3)}"
        )
        losses = [ends[name, row["seed"]].loss for row in own]
        pairs = [rank_correlation.kendall(a, b) for a, b in itertools.combinations(losses, 2)]
        if pairs:
            line += f"; two seeds agree at tau {statistics.mean(pairs):.2f}"
        lines.append(f"{line}.")
    return lines
