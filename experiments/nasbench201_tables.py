"""Rows of the study on NAS-Bench-201 as tables: a line a method, a line a row."""

import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from jaxnas.evaluators import gate_metrics
from jaxnas.evaluators import nasbench201 as benchmark
from jaxnas.pipelines import study
from jaxnas.report import table
from jaxnas.report.statistics import paired as paired_tests
from jaxnas.report.statistics import sample
from jaxnas.report.statistics.paired import Comparison
from jaxnas.spaces import registry

SPACE = "nasbench201"
DATASET = "cifar10"  # whose accuracies decide
COLLAPSED = 4  # skips of six edges: more than half
HEAD = (
    "method", "seeds", "CIFAR-10 test %", "CIFAR-100 test %", "ImageNet16-120 test %",
    "CIFAR-10 valid %", "rank", "regret", "tau", "rho", "tau by loss", "skips", "collapsed",
    "search s",
)  # fmt: skip


def summary(
    truth: benchmark.TabularBenchmark,
    rows: Sequence[study.Row],
    zero_cost: Mapping[str, np.ndarray] | None = None,
) -> table.TextTable:
    """A line a method, mean ± standard deviation over its seeds, the most accurate first.

    `collapsed` are the seeds whose cell has skips on more than half of its edges. Beside the
    methods, in brackets: the best cell of each data set, the cell of skips alone, all cells
    together, which is what a cell at random is worth, and the cells that are best by what needs no
    search: parameters, MACs, and scores without training, f64[15625], NaN where a cell has none.
    """
    lines = []
    for name in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == name]
        of = lambda field, own=own: [row[field] for row in own]
        at = lambda field, key=DATASET, own=own: [row[field][key] for row in own]
        figures = [sample.spread(at("test", key), 2) for key in benchmark.SETS]
        figures += [sample.spread(at("valid"), 2), sample.spread(at("rank"), 0)]
        figures += [sample.spread(at("regret"), 2), sample.spread(of("kendall"), 2)]
        figures += [sample.spread(of("spearman"), 2), sample.spread(of("kendall_loss"), 2)]
        collapsed = sum(skips >= COLLAPSED for skips in of("skips"))
        figures += [sample.spread(of("skips"), 1), f"{collapsed} of {len(own)}"]
        figures += [sample.spread(of("search_s"), 0)]
        lines.append((statistics.mean(at("test")), [name, str(len(own)), *figures]))
    final, judged = truth.test[:, -1], list(benchmark.SETS).index(DATASET)
    skips = only_skips(truth)
    blank = ["–"] * 5
    best = [f"{accuracies.max():.2f}" for accuracies in final]
    best += [f"{truth.valid[judged, -1, final[judged].argmax()]:.2f}", "1", "0.00", *blank, "–"]
    fallen = [f"{score.test_200:.2f}" for score in skips.values()]
    fallen += [f"{skips[DATASET].valid_200:.2f}", str(skips[DATASET].rank)]
    fallen += [f"{skips[DATASET].regret:.2f}", "–", "–", "–", "6.0", "–", "–"]
    ranks = benchmark.rank(final[judged], final[judged])
    chance = [f"{a.mean():.2f} ± {a.std():.2f}" for a in (*final, truth.valid[judged, -1])]
    chance += [f"{ranks.mean():.0f} ± {ranks.std():.0f}"]
    chance += [f"{(final[judged].max() - final[judged]).mean():.2f}"]
    chance += ["–", "–", "–", "1.2", "–", "–"]
    lines.append((final[judged].max(), ["(optimum)", "–", *best]))
    lines.append((skips[DATASET].test_200, ["(only skips)", "–", *fallen]))
    lines.append((final[judged].mean(), ["(all cells)", "–", *chance]))
    for name, scores in (untrained(truth) | dict(zero_cost or {})).items():
        lines.append(_best_by(truth, name, scores, ranks))
    return table.TextTable(HEAD, [cells for _, cells in sorted(lines, key=lambda line: -line[0])])


def untrained(truth: benchmark.TabularBenchmark) -> dict[str, np.ndarray]:
    """f64[15625] by name: the sizes of all cells."""
    properties = benchmark.SETS[DATASET]
    cost = benchmark.cost
    sizes = {
        "parameters": cost.parameters(truth.codes, properties.classes),
        "MACs": cost.macs(truth.codes, properties.classes, properties.side),
    }
    return {name: size.astype(float) for name, size in sizes.items()}


def _best_by(
    truth: benchmark.TabularBenchmark, name: str, scores: np.ndarray, ranks: np.ndarray
) -> tuple[float, list[str]]:
    """(mean accuracy, line) of the cells with the highest score, of those that have one."""
    best = np.flatnonzero(scores == np.nanmax(scores))
    final, judged = truth.test[:, -1, best], list(benchmark.SETS).index(DATASET)
    cells = [f"{accuracies.mean():.2f}" for accuracies in final]
    cells += [f"{truth.valid[judged, -1, best].mean():.2f}", f"{ranks[best].mean():.0f}"]
    cells += [f"{truth.test[judged, -1].max() - final[judged].mean():.2f}", *["–"] * 6]
    return final[judged].mean(), [f"(best by {name})", "–", *cells]


def scores(rows: Sequence[study.Row]) -> dict[str, dict[int, float]]:
    """True test accuracies by method and seed."""
    accuracies: dict[str, dict[int, float]] = {}
    for row in rows:
        accuracies.setdefault(row["method"], {})[row["seed"]] = row["test"][DATASET]
    return accuracies


def comparisons(rows: Sequence[study.Row], baseline: str = "random") -> list[Comparison]:
    """Each method against the baseline, over the seeds of both; none without the baseline."""
    accuracies = scores(rows)
    return paired_tests.comparisons(accuracies, baseline) if baseline in accuracies else []


def paired(rows: Sequence[study.Row], baseline: str = "random") -> table.TextTable:
    """A line a method: its accuracy less the baseline's of the same seed, over their seeds."""
    compared = comparisons(rows, baseline)
    lines = [
        (
            c.first, str(c.seeds), f"{c.difference:+.2f}", f"{c.low:+.2f} to {c.high:+.2f}",
            f"{c.p:.3f}", f"{c.p_holm:.3f}", f"{c.median:+.2f}", f"{c.p_ranks:.3f}",
            f"{c.ahead} of {c.seeds}",
        )
        for c in sorted(compared, key=lambda c: -c.difference)
    ]  # fmt: skip
    head = (
        "method", "seeds", f"less {baseline}, points", "95 %", "p", "p (Holm)", "median",
        "p by ranks", "seeds ahead",
    )  # fmt: skip
    return table.TextTable(head, lines)


def only_skips(truth: benchmark.TabularBenchmark) -> Mapping[str, benchmark.Scores]:
    """What the cell of skips alone scores, by data set."""
    positions = registry.get(SPACE).genome.positions
    cell = [p.candidates.index(gate_metrics.SKIP) for p in positions]
    return benchmark.query(truth, np.array(cell)).sets


def all_rows(rows: Sequence[study.Row]) -> table.TextTable:
    """A line a row."""
    show = lambda value: "–" if value is None else f"{value:.2f}"
    head = (
        "method", "seed", "CIFAR-10 test %", "rank", "tau", "rho", "tau by loss", "skips",
        "search s", "cell",
    )  # fmt: skip
    lines = [
        (
            row["method"], str(row["seed"]), show(row["test"][DATASET]), str(row["rank"][DATASET]),
            show(row["kendall"]), show(row["spearman"]), show(row["kendall_loss"]),
            str(row["skips"]),
            f"{row['search_s']:.0f}", row["arch"],
        )
        for row in rows
    ]  # fmt: skip
    return table.TextTable(head, lines)
