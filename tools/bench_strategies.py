"""Compares search strategies on the table of NAS-Bench-201: strategies x seeds, one JSON object."""

import argparse
import csv
import gzip
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
for _threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

import numpy as np

from jaxnas.evaluators import nasbench201 as benchmark
from jaxnas.evaluators.nasbench201 import cost, zero_cost
from jaxnas.spaces import genome, registry
from jaxnas.strategies import goals as goal_values
from jaxnas.strategies import registry as strategies
from jaxnas.strategies.designs import combine, design_space, networks
from jaxnas.strategies.designs.design_space import Designs, DesignSpace
from jaxnas.strategies.goals import Goal
from jaxnas.strategies.strategy import simulate

DESCRIPTION = """\
Runs each strategy with each seed on the table of NAS-Bench-201, CIFAR-10, and prints one JSON
object: for every budget the mean and standard deviation over the seeds. A search sees the
validation accuracy after 12 epochs. Problems:
  one     that accuracy alone; told is the test accuracy after 200 epochs of the best that was
          seen, and the share of runs in which it is a best cell of the table
  two     that accuracy and measured milliseconds (--latencies, --device); told is the share of the
          hypervolume of all cells, down to the table's worst accuracy and milliseconds
  capped  two, with at most 3e5 parameters; hypervolume of the cells that keep them
  scored  one, among the cells with training-free scores (--scores), which strategies may read
`pymoo-N` is pymoo's NSGA-II with a population of N, on the problems one and two (`jaxnas[bench]`).
--records keeps each run in a file of lines, from which a stopped comparison goes on."""

EXAMPLES = """\
examples:
  python tools/bench_strategies.py --table nb201.npz
  python tools/bench_strategies.py --table nb201.npz --strategies random linas --budgets 100 200
  python tools/bench_strategies.py --table nb201.npz --problem two --latencies latency.csv.gz
  python tools/bench_strategies.py --table nb201.npz --strategies nsga2:population=50 pymoo-50"""

FEW_PARAMETERS = 3e5
SCORES = ("grad_norm", "snip", "grasp", "fisher", "synflow", "jacov")  # the six of RoBoT
PROBLEMS = ("one", "two", "capped", "scored")


class Task(NamedTuple):
    """A problem: what is searched, and the figures of a search's designs, in order."""

    space: DesignSpace
    goals: tuple[Goal, ...]
    evaluate: Callable[[Designs], np.ndarray]
    figures: Callable[[Designs, np.ndarray], Mapping[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=DESCRIPTION, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--table", required=True, help="the table, .npz (docs/oracle.md)")
    add("--latencies", help="measured milliseconds: a .csv.gz with `index` and a column a device")
    add("--device", default="gold_6226", help="its column (gold_6226: a Xeon Gold 6226)")
    add("--scores", help="training-free scores: a .csv.gz with `index` and columns NAME_c10")
    add("--problem", choices=PROBLEMS, default="one", help="what is searched for (one)")
    add(
        "--strategies", nargs="+", default=["random", "regularised-evolution", "nsga2"],
        metavar="NAME[:SETTING=VALUE,...]", help="strategies, with settings, or pymoo-N",
    )  # fmt: skip
    add("--seeds", type=int, default=20, help="seeds of each, from 0 (20)")
    add("--budgets", nargs="+", type=int, default=[100, 200, 400], help="evaluations (100 200 400)")
    add("--batch", type=int, help="designs that are asked for at once, in place of a strategy's")
    add("--records", help="a file of lines, one a run, that is read first and added to")
    options = parser.parse_args()
    try:
        check(options)
        print(json.dumps(compare(options), indent=1))
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


def check(options: argparse.Namespace) -> None:
    """Raises ValueError for numbers that cannot be."""
    if options.seeds < 1 or min(options.budgets) < 1 or (options.batch or 1) < 1:
        raise ValueError("--seeds, --budgets and --batch are numbers from 1.")


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """The summary of all runs, those in the file of records taken from it."""
    task = problem(options)
    known = read_records(options.records)
    summary: dict[str, Any] = {}
    for words in options.strategies:
        search = search_of(words, task, options.batch)
        runs = []
        for seed in range(options.seeds):
            key = [options.problem, words, options.batch, list(options.budgets), seed]
            record = next((r for r in known if r["run"] == key), None)
            if record is None:
                record = {"run": key, **one_run(task, search, seed, options.budgets)}
                add_record(options.records, record)
            runs.append(record)
        summary[words] = summarise(runs, options.budgets)
        print(f"{words}: {json.dumps(summary[words])}", file=sys.stderr)
    return {"problem": options.problem, "seeds": options.seeds, "strategies": summary}


def problem(options: argparse.Namespace) -> Task:
    """The task by name. Raises ValueError for a file that is missing or is no such table."""
    table = benchmark.load(options.table)
    network_space = registry.get("nasbench201")
    row_of = lambda designs: table.row_of[genome.index(network_space.choices, designs)]
    parameters = lambda designs: cost.parameters(table.codes[row_of(designs)], 10).astype(float)
    macs = lambda designs: cost.macs(table.codes[row_of(designs)], 10, 32).astype(float)
    free = {"parameters": parameters, "macs": macs}
    valid, test = table.valid[0, 0], table.test[0, -1]
    space = networks.of_space(network_space)._replace(known=free)
    if options.problem in ("one", "scored"):
        if options.problem == "scored":
            if options.scores is None:
                raise ValueError("--problem scored reads --scores: give the file.")
            scores = zero_cost.load(options.scores, "c10")
            of = {
                name: (lambda c: lambda designs: c[row_of(designs)])(scores[name])
                for name in SCORES
            }
            has = np.all([np.isfinite(scores[name]) for name in SCORES], 0)
            space = combine.restricted(space, lambda rows: has[row_of(rows)])
            space = space._replace(known=of)

        def told(designs: Designs, values: np.ndarray) -> dict[str, float]:
            found = test[row_of(designs[values[:, 0].argmax()][None])[0]]
            return {"test": float(found), "best": float(found >= test.max() - 1e-9)}

        return Task(
            space, (Goal("valid", 1),), lambda designs: valid[row_of(designs)][:, None], told
        )
    if options.latencies is None:
        raise ValueError(f"--problem {options.problem} reads --latencies: give the file.")
    ms = latencies(options.latencies, options.device)
    goals = (Goal("valid", 1), Goal("latency_ms", -1))
    columns = lambda designs: [valid[row_of(designs)], ms[row_of(designs)]]
    if options.problem == "capped":
        goals += (Goal("parameters", 0, at_most=FEW_PARAMETERS),)
        evaluate = lambda designs: np.stack([*columns(designs), parameters(designs)], 1)
    else:
        evaluate = lambda designs: np.stack(columns(designs), 1)
    reference = np.array([valid.min(), -ms.max()])
    everything = np.concatenate(list(design_space.enumerate_all(space)))
    whole = goal_values.hypervolume(goals, evaluate(everything), reference)
    share = lambda designs, values: {
        "share": goal_values.hypervolume(goals, values, reference) / whole,
        "kept": float((goal_values.violation(goals, values) == 0).mean()),
    }
    return Task(space, goals, evaluate, share)


def latencies(path: str, device: str) -> np.ndarray:
    """f64[15625] of a device. Raises ValueError."""
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        found = {int(row["index"]): float(row[device]) for row in rows}
        return np.array([found[i] for i in range(len(found))])
    except (OSError, EOFError, KeyError, ValueError) as error:
        raise ValueError(f"{path} has no milliseconds of {device} for all cells: {error}") from None


Search = Callable[[int, int], tuple[Designs, np.ndarray]]  # (evaluations, seed) -> in order


def search_of(words: str, task: Task, batch: int | None) -> Search:
    """The search that `NAME:SETTING=VALUE,...` names. Raises ValueError."""
    name, _, settings = words.partition(":")
    if name.startswith("pymoo-"):
        return lambda evaluations, seed: by_pymoo(int(name[6:]), task, evaluations, seed)
    pairs = dict(word.split("=", 1) for word in settings.split(",") if word)
    values = {key: json.loads(value) for key, value in pairs.items()}
    # Made once: what a strategy prepares of its space, and compiles, serves all seeds.
    strategy = strategies.make(name, task.space, task.goals, values)

    def search(evaluations: int, seed: int) -> tuple[Designs, np.ndarray]:
        history = simulate(strategy, task.evaluate, evaluations, seed, batch)
        return history.designs, history.values

    return search


def by_pymoo(population: int, task: Task, evaluations: int, seed: int):
    """pymoo's NSGA-II with simulated binary crossover, rounded, as its manual sets it for integers.

    Evaluations of a design that was seen before are not charged.
    """
    try:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.problem import Problem
        from pymoo.operators.crossover.sbx import SBX
        from pymoo.operators.mutation.pm import PM
        from pymoo.operators.repair.rounding import RoundingRepair
        from pymoo.operators.sampling.rnd import IntegerRandomSampling
    except ImportError:
        raise ValueError("pymoo is not installed: pip install 'jaxnas[bench]'.") from None

    space = task.space
    found: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    class Table(Problem):
        def _evaluate(self, x, out, *args, **kwargs):
            rows = np.ascontiguousarray(space.canonical(np.asarray(x, np.int64)))
            values = task.evaluate(rows)
            for key, row, of_row in zip(design_space.keys(rows), rows, values, strict=True):
                found.setdefault(key, (row, of_row))
            out["F"] = -goal_values.scores(task.goals, values)

    whole = {"vtype": float, "repair": RoundingRepair()}
    algorithm = NSGA2(
        pop_size=population, sampling=IntegerRandomSampling(),
        crossover=SBX(prob=0.9, eta=15, **whole), mutation=PM(eta=20, **whole),
        eliminate_duplicates=True,
    )  # fmt: skip
    sizes = np.array(space.cardinalities)
    table = Table(n_var=len(sizes), n_obj=len(task.goals), xl=0, xu=sizes - 1, vtype=int)
    algorithm.setup(table, termination=("n_gen", 10 * evaluations // population), seed=seed)
    while len(found) < evaluations and algorithm.has_next():
        algorithm.next()
    rows = list(found.values())[:evaluations]
    return np.stack([row for row, _ in rows]), np.stack([values for _, values in rows])


def one_run(task: Task, search: Search, seed: int, budgets: list[int]) -> dict[str, Any]:
    """The figures at each budget, by the processor's seconds of the whole search."""
    start = time.process_time()
    designs, values = search(max(budgets), seed)
    seconds = time.process_time() - start
    at = {str(b): task.figures(designs[:b], values[:b]) for b in budgets}
    return {"at": at, "evaluations": len(designs), "seconds": round(seconds, 3)}


def summarise(runs: list[dict[str, Any]], budgets: list[int]) -> dict[str, Any]:
    """Means and standard deviations over the runs, at each budget."""
    found: dict[str, Any] = {}
    for budget in map(str, budgets):
        names = runs[0]["at"][budget]
        for name in names:
            values = np.array([run["at"][budget][name] for run in runs])
            found.setdefault(budget, {})[name] = [
                round(float(values.mean()), 4), round(float(values.std()), 4)
            ]  # fmt: skip
    seconds = [run["seconds"] for run in runs]
    return {**found, "seconds": round(float(np.median(seconds)), 2), "runs": len(runs)}


def read_records(path: str | None) -> list[dict[str, Any]]:
    """The runs of a file of records; a torn last line is left out. Raises ValueError."""
    if path is None or not pathlib.Path(path).exists():
        return []
    lines = pathlib.Path(path).read_text().splitlines(keepends=True)
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            if number < len(lines):
                raise ValueError(f"{path}: line {number} is no record of a run.") from None
            pathlib.Path(path).write_text("".join(lines[:-1]))
    return found


def add_record(path: str | None, record: dict[str, Any]) -> None:
    if path is not None:
        with open(path, "a") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
