"""NASAIC's problem on the table of NAS-Bench-201: two networks and two arrays under three limits.

    python tools/bench_codesign.py --table nb201.npz [--seeds 10] [--evaluations 1000]

CIFAR-10 and ImageNet16-120 share an accelerator. The score is the mean test accuracy in percent of
each table's best; latency, energy and area may be `--share` of what the two best networks need on
the hardware with the least product of the three. Prints JSON: whether the best networks fit any
hardware, the exhaustive best, and strategies over seeds. One core, about two minutes.
"""

import argparse
import json
import pathlib
import sys
import time
from typing import NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import moocore
import numpy as np

from jaxnas.evaluators import nasbench201 as benchmark
from jaxnas.evaluators.accelerator import arrays_of
from jaxnas.hardware.accelerator import cost, space_layers
from jaxnas.hardware.accelerator.cost import Array
from jaxnas.spaces import genome, registry
from jaxnas.spaces.search_space import NetworkSize
from jaxnas.strategies import registry as strategies
from jaxnas.strategies import strategy
from jaxnas.strategies.designs import accelerators, combine, design_space, networks
from jaxnas.strategies.goals import Goal

SPACE = registry.get("nasbench201")
SIZES = (  # CIFAR-10, ImageNet16-120
    NetworkSize(16, 5, 10, (32, 32, 3)),
    NetworkSize(16, 5, 120, (16, 16, 3)),
)
SETS = (0, 2)  # of the table's data sets


class Problem(NamedTuple):
    score: np.ndarray  # f64[2, 15625], percent of the best
    costs: dict[Array, np.ndarray]  # f64[2, 15625, 2]: ms, mJ
    best: tuple[int, int]  # the best networks' indices
    limits: np.ndarray  # ms, mJ, mm2


def problem(path: str, share: float) -> Problem:
    table = benchmark.load(path)
    rows = np.concatenate(list(genome.enumerate_all(SPACE.choices)))
    canonical = SPACE.genome.canonical(rows)
    test = table.test[list(SETS), 1][:, table.row_of[genome.index(SPACE.choices, rows)]]
    score = 100 * test / test.max(1, keepdims=True)
    counts = [space_layers.layer_counts(SPACE, size) for size in SIZES]
    arrays = {array for row in all_hardware() for array in row}
    costs = {
        array: np.stack([space_layers.network_costs(c, canonical, array) for c in counts])
        for array in arrays
    }
    best = tuple(int(i) for i in score.argmax(1))
    needs = np.array([needed(costs, best, pair) for pair in all_hardware()])
    return Problem(score, costs, best, share * needs[needs.prod(1).argmin()])


def all_hardware() -> list[tuple[Array, ...]]:
    space = accelerators.accelerators(2)
    rows = np.concatenate(list(design_space.enumerate_all(space)))
    return [arrays_of(space.decode(row)) for row in rows]


def needed(costs, pair: tuple[int, int], arrays: tuple[Array, ...]) -> np.ndarray:
    """f64[3]: ms, mJ and mm2 of two networks on arrays."""
    of_networks = np.array([[costs[a][t, n] for a in arrays] for t, n in enumerate(pair)])
    return np.array([*cost.assign(of_networks)[1], cost.area_mm2(arrays)])


def exhaustive(given: Problem) -> float:
    """The best score of all networks on all hardware that keeps the limits."""
    fronts, best = {}, 0.0
    for array, costs in given.costs.items():
        for task in range(2):
            points = np.column_stack([costs[task], -given.score[task]])
            kept = moocore.is_nondominated(points, keep_weakly=False)
            fronts[array, task] = points[kept]
    for arrays in all_hardware():
        if cost.area_mm2(arrays) > given.limits[2]:
            continue
        for first, second in np.ndindex(2, 2):
            a, b = fronts[arrays[first], 0][:, None], fronts[arrays[second], 1][None]
            time_of = np.add if first == second else np.maximum
            fits = (time_of(a[..., 0], b[..., 0]) <= given.limits[0]) & (
                a[..., 1] + b[..., 1] <= given.limits[1]
            )
            if fits.any():
                best = max(best, float((-(a[..., 2] + b[..., 2]) / 2)[fits].max()))
    return best


def run(given: Problem, name: str, settings: dict, evaluations: int, seeds: int) -> dict:
    cells = networks.of_space(SPACE)
    space = combine.product(a=cells, b=cells, hardware=accelerators.accelerators(2))
    goals = (
        Goal("score", 1),
        *(Goal(n, 0, at_most=float(m)) for n, m in zip("lea", given.limits, strict=True)),
    )
    width = len(cells.variables)

    def evaluate(designs: np.ndarray) -> np.ndarray:
        values = []
        for row in designs:
            pair = tuple(
                int(genome.index(SPACE.choices, row[t * width : (t + 1) * width])) for t in (0, 1)
            )
            arrays = arrays_of(space.decode(row)["hardware"])
            score = np.mean([given.score[t, n] for t, n in enumerate(pair)])
            values.append([score, *needed(given.costs, pair, arrays)])
        return np.array(values)

    found, start = [], time.process_time()
    for seed in range(seeds):
        made = strategies.make(name, space, goals, settings)
        history = strategy.simulate(made, evaluate, evaluations, seed)
        kept = (history.values[:, 1:] <= given.limits).all(1)
        found.append(float(history.values[kept, 0].max()) if kept.any() else None)
    scores = [score for score in found if score is not None]
    return {
        "strategy": name, "settings": settings, "feasible": len(scores), "seeds": seeds,
        "mean": round(float(np.mean(scores)), 2) if scores else None,
        "sd": round(float(np.std(scores)), 2) if scores else None,
        "cpu_seconds_a_run": round((time.process_time() - start) / seeds, 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--table", required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--evaluations", type=int, default=1000)
    parser.add_argument("--share", type=float, default=0.7)
    arguments = parser.parse_args()
    given = problem(arguments.table, arguments.share)
    fits = [
        bool((needed(given.costs, given.best, a) <= given.limits).all()) for a in all_hardware()
    ]
    found = {
        "limits": [round(float(x), 4) for x in given.limits],
        "hardware": len(fits),
        "best_networks_fit": sum(fits),
        "exhaustive": round(exhaustive(given), 2),
        "runs": [
            run(given, name, settings, arguments.evaluations, arguments.seeds)
            for name, settings in (
                ("random", {}),
                ("regularised-evolution", {}),
                ("nsga2", {}),
                ("reinforce", {}),
                ("multi-agent", {"agents": "variables", "learning_rate": 0.05}),
            )
        ],
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
