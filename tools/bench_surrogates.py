"""Measures parts of surrogate searches on the table of NAS-Bench-201: one JSON object."""

import argparse
import json
import os
import pathlib
import sys
from collections.abc import Callable
from typing import NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
for _threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

import jax
import numpy as np
import scipy.stats

from jaxnas.evaluators import nasbench201 as benchmark
from jaxnas.evaluators.nasbench201 import cost
from jaxnas.spaces import genome, registry
from jaxnas.strategies.acquisition import diffusion, pruned
from jaxnas.strategies.acquisition.exhaustive import all_designs
from jaxnas.strategies.designs import combine, networks
from jaxnas.strategies.designs.design_space import Designs, DesignSpace
from jaxnas.strategies.designs.features import one_hot
from jaxnas.strategies.goals import Goal
from jaxnas.strategies.surrogates import npn
from jaxnas.strategies.surrogates.losses import soft_kendall
from jaxnas.strategies.surrogates.mlp import mlp
from jaxnas.strategies.surrogates.pretrained import FITTING, HUBER, pretrained
from jaxnas.strategies.surrogates.ranked import ranked
from tools import bench_strategies

DESCRIPTION = """\
Fits surrogates to random cells' accuracies after 12 epochs (validation, CIFAR-10) and judges them
by the test accuracy after 200 of all cells. Checks:
  pretraining   Spearman's correlation with 50 cells: networks that first learn parameters, MACs
                and milliseconds (--latencies), the same without, the same with them as features
  soft-kendall  Kendall's tau with 156 cells: squared error of values, of ranks, soft Kendall
  pruning       6 values left out after 100 cells: best cells and share of the space that stay, and
                the mean test accuracy of what is left
  diffusion     mean test accuracy and number of different cells of 200 that are generated, by the
                guidance of a surrogate of 100 cells
  uncertainty   the correlation of BOSHNAS's student with its teacher's spread, 100 cells"""

EXAMPLES = """\
examples:
  python tools/bench_surrogates.py --table nb201.npz --check pruning
  python tools/bench_surrogates.py --table nb201.npz --check diffusion --seeds 5"""


class Cells(NamedTuple):
    """The table, by designs."""

    space: DesignSpace
    designs: Designs  # all canonical and valid ones
    features: np.ndarray  # f64[N, F] of them
    valid: np.ndarray  # f64[N]
    test: np.ndarray
    statistics: np.ndarray  # f64[N, 2 or 3]: parameters, MACs, milliseconds
    test_of: Callable[[Designs], np.ndarray]  # of canonical rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=DESCRIPTION, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--table", required=True, help="the table, .npz (docs/oracle.md)")
    add("--latencies", help="measured milliseconds: a .csv.gz with `index` and a column a device")
    add("--device", default="gold_6226", help="its column (gold_6226)")
    add("--check", choices=CHECKS, required=True, help="what is measured")
    add("--seeds", type=int, default=10, help="random draws of the cells (10)")
    options = parser.parse_args()
    try:
        if options.seeds < 1:
            raise ValueError("--seeds is a number from 1.")
        cells = load(options)
        check = CHECKS[options.check](cells)
        runs = [check(np.random.default_rng(seed)) for seed in range(options.seeds)]
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    figures = {
        name: [round(float(np.mean(of)), 4), round(float(np.std(of)), 4)]
        for name in runs[0]
        for of in [[run[name] for run in runs]]
    }
    print(json.dumps({"check": options.check, "seeds": options.seeds, "mean, sd": figures}))


def load(options: argparse.Namespace) -> Cells:
    """All cells. Raises ValueError for files that are no such tables."""
    table = benchmark.load(options.table)
    network_space = registry.get("nasbench201")
    space = networks.of_space(network_space)
    row_of = lambda designs: table.row_of[genome.index(network_space.choices, designs)]
    designs = all_designs(space)
    rows, test = row_of(designs), table.test[0, -1]
    codes = table.codes[rows]
    statistics = [cost.parameters(codes, 10), cost.macs(codes, 10, 32)]
    if options.latencies:
        statistics.append(bench_strategies.latencies(options.latencies, options.device)[rows])
    return Cells(
        space, designs, one_hot(space, designs), table.valid[0, 0, rows], test[rows],
        np.stack(statistics, 1).astype(float), lambda of: test[row_of(of)],
    )  # fmt: skip


def pretraining(cells: Cells):
    known = (cells.statistics - cells.statistics.mean(0)) / cells.statistics.std(0)
    beside = np.concatenate([cells.features, known], 1)
    surrogates = {
        "plain": (mlp(HUBER, training=FITTING), cells.features),
        "pretrained": (pretrained(lambda: (cells.features, cells.statistics)), cells.features),
        "as features": (mlp(HUBER, training=FITTING), beside),
    }

    def check(random: np.random.Generator) -> dict[str, float]:
        rows = random.permutation(len(cells.designs))[:50]
        found = {
            name: scipy.stats.spearmanr(
                ranked(surrogate)(x[rows], cells.valid[rows], random).mean(x), cells.test
            ).statistic
            for name, (surrogate, x) in surrogates.items()
        }  # fmt: skip
        return {**found, "gain": found["pretrained"] - found["plain"]}

    return check


def soft_kendall_loss(cells: Cells):
    surrogates = {
        "values": mlp(), "ranks": ranked(mlp()), "soft kendall": mlp(soft_kendall()),
    }  # fmt: skip

    def check(random: np.random.Generator) -> dict[str, float]:
        rows = random.permutation(len(cells.designs))[:156]
        return {
            name: scipy.stats.kendalltau(
                surrogate(cells.features[rows], cells.valid[rows], random).mean(cells.features),
                cells.test,
            ).statistic
            for name, surrogate in surrogates.items()
        }  # fmt: skip

    return check


def pruning(cells: Cells):
    best = cells.test >= cells.test.max() - 1e-9

    def check(random: np.random.Generator) -> dict[str, float]:
        rows = random.permutation(len(cells.designs))[:100]
        pairs = pruned.harmful_pairs(
            cells.space, (Goal("valid", 1),), cells.designs[rows], cells.valid[rows][:, None], 6
        )
        left = combine.without(cells.space, pairs).is_valid(cells.designs)
        return {
            "best stay": float((left & best).sum() == best.sum()), "share": left.mean(),
            "test": cells.test[left].mean(), "test of all": cells.test.mean(),
        }  # fmt: skip

    return check


def generation(cells: Cells):
    made = diffusion.generator(cells.space, 2000)
    surrogate = ranked(mlp())

    def check(random: np.random.Generator) -> dict[str, float]:
        rows = random.permutation(len(cells.designs))[:100]
        fitted = surrogate(cells.features[rows], cells.valid[rows], random)
        found = {}
        for guidance in (0.0, 1.0, 3.0, 10.0):
            drawn = diffusion.generate(made, fitted, guidance, random, 200)
            canonical = cells.space.canonical(drawn)
            valid = cells.space.is_valid(canonical)
            found |= {
                f"{guidance:g} valid": valid.mean(),
                f"{guidance:g} test": cells.test_of(canonical[valid]).mean(),
                f"{guidance:g} different": len(np.unique(canonical[valid], axis=0)),
            }
        return found

    return check


def uncertainty(cells: Cells):
    surrogate = npn.npn()

    def check(random: np.random.Generator) -> dict[str, float]:
        rows = random.permutation(len(cells.designs))
        x = cells.features[rows[:100]]
        parameters = surrogate(x, cells.valid[rows[:100]], random).parameters
        at = cells.features[rows[100:1100]].astype(np.float32)
        spreads = [
            np.asarray(npn.teacher_spread(parameters["teacher"], at, jax.random.key(number)))
            for number in range(10)
        ]
        student = np.asarray(npn.epistemic(parameters, at))
        of = lambda spread: np.corrcoef(student, spread)[0, 1]
        return {"one spread": of(spreads[0]), "mean of ten": of(np.mean(spreads, 0))}

    return check


CHECKS = {
    "pretraining": pretraining,
    "soft-kendall": soft_kendall_loss,
    "pruning": pruning,
    "diffusion": generation,
    "uncertainty": uncertainty,
}


if __name__ == "__main__":
    main()
