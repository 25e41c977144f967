"""What controllers do: on the table of NAS-Bench-201, on knobs that depend on each other, in traps.

    python tools/bench_controllers.py --table nb201.npz [--seeds 20] [--part table,draws,...]

Prints JSON, a part a key: `table` (queried: validation after 12 epochs; told: test after 200 of the
best queried), `draws` (mean validation of 50 draws at the end, beside random cells), `knobs` (six
knobs, pairwise coupling: share of the range at 300 evaluations), `state` (distances of draws from
one hidden state over those between), `trap` (a deceptive reward: share of runs that leave it),
`lottery` (two strategies x six settings at 200). One core, processor seconds beside.
"""

import argparse
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np

from jaxnas.evaluators import nasbench201 as benchmark
from jaxnas.spaces import genome
from jaxnas.spaces import registry as spaces
from jaxnas.strategies import lottery, registry, strategy
from jaxnas.strategies.controllers import diversity
from jaxnas.strategies.controllers.recurrent import recurrent
from jaxnas.strategies.designs import design_space, networks
from jaxnas.strategies.goals import Goal

SPACE = spaces.get("nasbench201")
CELLS = networks.of_space(SPACE)
GOALS = (Goal("valid", 1),)
BUDGETS = (100, 200, 400)
CONTROLLERS = ("random", "reinforce", "nasnet", "enas", "auto-od")


class Table:
    """Validation after 12 epochs and test after 200 of CIFAR-10, in percent."""

    def __init__(self, path: str):
        table = benchmark.load(path)
        self.row = lambda designs: table.row_of[genome.index(SPACE.choices, designs)]
        self.valid, self.test = table.valid[0, 0], table.test[0, 1]

    def queried(self, designs):
        return self.valid[self.row(designs)][:, None]


def simulated(name, settings, space, goals, evaluate, budget, seeds):
    """The histories of a strategy, and the processor seconds of a run."""
    made, start = registry.make(name, space, goals, settings), time.process_time()
    found = [strategy.simulate(made, evaluate, budget, seed) for seed in range(seeds)]
    return found, round((time.process_time() - start) / seeds, 2)


def spread(values, digits=2):
    return [round(float(np.mean(values)), digits), round(float(np.std(values)), digits)]


def table_part(table, seeds):
    found = {}
    for name in CONTROLLERS:
        histories, cpu = simulated(name, {}, CELLS, GOALS, table.queried, 400, seeds)
        rows = [table.row(h.designs) for h in histories]
        told = np.array([
            [table.test[r[:b][table.valid[r[:b]].argmax()]] for b in BUDGETS] for r in rows
        ])  # fmt: skip
        best = (told >= table.test.max() - 1e-3).mean(0)
        found[name] = {
            "test": {b: spread(told[:, i]) for i, b in enumerate(BUDGETS)},
            "share_with_best": dict(zip(BUDGETS, best.round(2).tolist(), strict=True)),
            "rows": [min(map(len, rows)), max(map(len, rows))],
            "cpu_seconds_a_run": cpu,
        }
    return found


def draws_part(table, seeds):
    """Of nasnet after 300 evaluations, or what it has come to by then."""
    made = registry.make("nasnet", CELLS, GOALS)
    means, uniform = [], []
    for seed in range(seeds):
        state, count, number = made.init(), 0, 0
        while count < 300 and number < 100:
            asked = made.ask(state, strategy.random_of_ask(seed, number), made.batch)
            state = made.tell(state, asked, table.queried(asked))
            count, number = len(np.unique(state.history.designs, axis=0)), number + 1
        drawn = made.ask(state, strategy.random_of_ask(seed, 10_000), 50)
        means.append(table.queried(drawn).mean())
        random = registry.make("random", CELLS, GOALS)
        asked = random.ask(random.init(), np.random.default_rng(seed), 50)
        uniform.append(table.queried(asked).mean())
    return {"nasnet": spread(means, 1), "random": spread(uniform, 1)}


def knobs_part(table, seeds):
    """Six knobs of eight values; each has a best value, pairs have a best difference."""
    space = design_space.of_values({f"k{i}": range(8) for i in range(6)})
    every = np.stack(np.unravel_index(np.arange(8**6), (8,) * 6), 1)
    found = {}
    for coupling in (0.0, 0.5, 2.0):
        targets = np.random.default_rng(0).integers(0, 8, (6, 6))

        def value(designs, coupling=coupling, targets=targets):
            alone = -np.abs(designs - targets.diagonal()).sum(1) / 7
            pairs = [
                ((designs[:, i] + designs[:, j]) % 8 == targets[i, j])
                for i in range(6) for j in range(i)
            ]  # fmt: skip
            return (alone + coupling * np.sum(pairs, 0) / 5)[:, None].astype(float)

        low, high = value(every).min(), value(every).max()
        agents = {
            "factorised": [("multi-agent", {"learning_rate": r}) for r in (0.1, 0.2, 0.4)],
            "recurrent": [("nasnet", {"learning_rate": r}) for r in (1e-3, 3e-3, 1e-2)],
            "evolution": [("regularised-evolution", {"population": p, "tournament": 10})
                          for p in (20, 50)],
            "random": [("random", {})],
        }  # fmt: skip
        found[str(coupling)] = {}
        for agent, choices in agents.items():
            shares = []
            for name, settings in choices:
                histories, _ = simulated(name, settings, space, GOALS, value, 300, seeds)
                shares.append([(h.values.max() - low) / (high - low) for h in histories])
            best = int(np.mean(shares, 1).argmax())
            found[str(coupling)][agent] = [*spread(shares[best], 3), choices[best][1]]
    return found


def state_part(table, seeds):
    """New, and after 300 updates with and without the loss on the buffer.

    As many as controllers beside a supernet have in minutes: known designs are asked for again.
    """
    policy = recurrent(CELLS.cardinalities, 64)
    found = {"new": [], "no replay": [], "replay": []}
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        ratio = lambda p, random=random: diversity.distance_ratio(policy, p, random, 20, 20)
        fresh = policy.policy.init(np.random.default_rng(seed))
        found["new"].append(ratio(fresh))
        for name, weight in (("no replay", 0.0), ("replay", 1.0)):
            made = registry.make("enas", CELLS, GOALS, {"replay": weight})
            state = made.init()
            for number in range(300):
                asked = made.ask(state, strategy.random_of_ask(seed, number), made.batch)
                state = made.tell(state, asked, table.queried(asked))
            found[name].append(ratio(state.params))
    return {name: spread(values) for name, values in found.items()}


def trap_part(table, seeds):
    """Eight knobs of four values: six or more at their last one are best (0.4 % of all designs).

    Everything else is worth more the more knobs are at their first value, up to 4.
    """
    space = design_space.of_values({f"k{i}": tuple("abcd") for i in range(8)})

    def value(designs):
        last, first = (designs == 3).sum(1), (designs == 0).sum(1)
        return np.where(last >= 6, last - 1.0, first / 2)[:, None]

    found = {}
    for name, settings in (
        ("random", {}),
        ("nasnet", {"passes": 1}),
        ("auto-od", {"curiosity": 0.0, "imitation": 0.0}),
        ("auto-od", {"curiosity": 0.0}),
        ("auto-od", {"imitation": 0.0}),
        ("auto-od", {}),
    ):
        histories, cpu = simulated(name, settings, space, GOALS, value, 200, seeds)
        best = [h.values.max() for h in histories]
        key = f"{name} {settings}" if settings else name
        found[key] = {
            "left": round(float(np.mean([b > 4 for b in best])), 2),
            "best": spread(best),
            "cpu_seconds_a_run": cpu,
        }
    return found


def lottery_part(table, seeds):
    """Of regularised evolution and NSGA-II, six settings each."""
    choices = {
        "regularised-evolution": [
            {"population": p, "tournament": t} for p in (10, 20, 50) for t in (2, 10)
        ],
        "nsga2": [{"population": p, "mutations": m} for p in (10, 20, 50) for m in (0.5, 2.0)],
    }
    best = lambda h: table.queried(h.designs).max()
    results = {
        name: np.array([
            [best(h) for h in simulated(name, s, CELLS, GOALS, table.queried, 200, seeds)[0]]
            for s in settings
        ])
        for name, settings in choices.items()
    }  # fmt: skip
    found = lottery.lottery(results)
    return found._asdict() | {"settings_matter_more": found.settings_matter_more}


PARTS = {
    "table": table_part, "draws": draws_part, "knobs": knobs_part, "state": state_part,
    "trap": trap_part, "lottery": lottery_part,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--table", required=True)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--part", default=",".join(PARTS))
    arguments = parser.parse_args()
    table = Table(arguments.table)
    for part in arguments.part.split(","):
        start = time.process_time()
        found = PARTS[part](table, arguments.seeds)
        seconds = round(time.process_time() - start)
        print(json.dumps({"part": part, "found": found, "cpu_seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
