"""Rows of the study on NAS-Bench-201 as tables: a line a method, a line a row."""

import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from jaxnas.evaluators import nasbench201 as benchmark
from jaxnas.pipelines import search_stages, study
from jaxnas.report import table
from jaxnas.spaces import registry

SPACE = "nasbench201"
DATASET = "cifar10"  # whose accuracies decide
HEAD = (
    "method", "seeds", "CIFAR-10 test %", "CIFAR-100 test %", "ImageNet16-120 test %",
    "CIFAR-10 valid %", "rank", "regret", "tau", "rho", "skips", "search s",
)  # fmt: skip


def summary(truth: benchmark.TabularBenchmark, rows: Sequence[study.Row]) -> table.TextTable:
    """A line a method, mean ± standard deviation over its seeds, the most accurate first.

    Beside the methods, in brackets: the best cell of each data set, the cell of skips alone, and
    all cells together, which is what a cell at random is worth.
    """
    lines = []
    for name in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == name]
        of = lambda field, own=own: [row[field] for row in own]
        at = lambda field, key=DATASET, own=own: [row[field][key] for row in own]
        figures = [study.spread(at("test", key), 2) for key in benchmark.SETS]
        figures += [study.spread(at("valid"), 2), study.spread(at("rank"), 0)]
        figures += [study.spread(at("regret"), 2), study.spread(of("kendall"), 2)]
        figures += [study.spread(of("spearman"), 2), study.spread(of("skips"), 1)]
        figures += [study.spread(of("search_s"), 0)]
        lines.append((statistics.mean(at("test")), [name, str(len(own)), *figures]))
    final, judged = truth.test[:, -1], list(benchmark.SETS).index(DATASET)
    skips = only_skips(truth)
    blank = ["–"] * 3
    best = [f"{accuracies.max():.2f}" for accuracies in final]
    best += [f"{truth.valid[judged, -1, final[judged].argmax()]:.2f}", "1", "0.00", *blank, "–"]
    fallen = [f"{score.test_200:.2f}" for score in skips.values()]
    fallen += [f"{skips[DATASET].valid_200:.2f}", str(skips[DATASET].rank)]
    fallen += [f"{skips[DATASET].regret:.2f}", "–", "–", "6.0", "–"]
    ranks = benchmark.rank(final[judged], final[judged])
    chance = [f"{a.mean():.2f} ± {a.std():.2f}" for a in (*final, truth.valid[judged, -1])]
    chance += [f"{ranks.mean():.0f} ± {ranks.std():.0f}"]
    chance += [f"{(final[judged].max() - final[judged]).mean():.2f}", "–", "–", "1.2", "–"]
    lines.append((final[judged].max(), ["(optimum)", "–", *best]))
    lines.append((skips[DATASET].test_200, ["(only skips)", "–", *fallen]))
    lines.append((final[judged].mean(), ["(all cells)", "–", *chance]))
    return table.TextTable(HEAD, [cells for _, cells in sorted(lines, key=lambda line: -line[0])])


def only_skips(truth: benchmark.TabularBenchmark) -> Mapping[str, benchmark.Scores]:
    """What the cell of skips alone scores, by data set."""
    positions = registry.get(SPACE).genome.positions
    cell = [p.candidates.index(search_stages.SKIP) for p in positions]
    return benchmark.query(truth, np.array(cell)).sets


def all_rows(rows: Sequence[study.Row]) -> table.TextTable:
    """A line a row."""
    show = lambda value: "–" if value is None else f"{value:.2f}"
    head = (
        "method", "seed", "CIFAR-10 test %", "rank", "tau", "rho", "skips", "search s", "cell"
    )  # fmt: skip
    lines = [
        (
            row["method"], str(row["seed"]), show(row["test"][DATASET]), str(row["rank"][DATASET]),
            show(row["kendall"]), show(row["spearman"]), str(row["skips"]),
            f"{row['search_s']:.0f}", row["arch"],
        )
        for row in rows
    ]  # fmt: skip
    return table.TextTable(head, lines)
