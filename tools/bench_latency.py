"""Fits latency models to a few networks of a table and judges them on all others.

Prints one JSON object: for each device and K, our model and the baselines (a line over MACs, a
look-up table, an MLP, boosted trees), the mean of the draws of spearman, kendall, within5,
within10 (percent), mdape (percent) and coverage90 (percent), and the means over devices.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import sys
import time
from typing import NamedTuple

EXAMPLES = """\
examples:
  python tools/bench_latency.py --table ../shared/latency/help_nb201.npz
  python tools/bench_latency.py --table help_fbnet.npz --devices pixel2 1080ti_1 --k 100 --draws 3
  python tools/bench_latency.py --table xla_cpu_pilot.npz --models ours table
  python tools/bench_latency.py --table latency/mine --k 100
  python tools/bench_latency.py --table help_nb201.npz --sources 1080ti_1 pixel3 --k 10"""

# Before numpy is loaded: matrices of a hundred rows are slower on two threads than on one.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402

from jaxnas.hardware.predict import baselines, fit, metrics, transfer
from jaxnas.hardware.predict.predictor import Predictor
from jaxnas.hardware.tables import benchmarks
from tools import child_process

OURS = "ours"
SOURCE_NETWORKS = 900
MODELS = (OURS, "macs", "table", "mlp", "trees")


class Task(NamedTuple):
    table: benchmarks.BenchmarkLatencies
    device: str
    k: int
    draw: int
    models: tuple[str, ...]
    sources: tuple[Predictor, ...] = ()  # of other devices, that help


def main() -> None:
    options = parser().parse_args()
    try:
        result = bench(options)
    except (ValueError, OSError) as error:
        print(f"bench_latency.py: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
    print(json.dumps(result, indent=2))


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = found.add_argument
    add(
        "--table",
        type=pathlib.Path,
        required=True,
        help="an .npz of devices and networks, or a campaign",
    )
    add("--cells", type=pathlib.Path, help="the .npz of cells (nb201_arch.npz beside the table)")
    add("--devices", nargs="+", help="only these columns (all)")
    add("--k", type=int, nargs="+", default=[20, 100], help="networks to fit to (20 100)")
    add("--draws", type=int, default=5, help="random choices of those networks (5)")
    add("--sources", nargs="+", help="devices whose models help to fit the others (few-shot)")
    add("--models", nargs="+", choices=MODELS, default=list(MODELS), help="which models (all)")
    add("--processes", type=int, default=os.cpu_count(), help="at once (one a core)")
    return found


def bench(options: argparse.Namespace) -> dict:
    table = opened_table(options.table, options.cells)
    helping = options.sources or []
    names = options.devices or [name for name in table.devices if name not in helping]
    if unknown := [name for name in (*names, *helping) if name not in table.devices]:
        raise ValueError(f"There is no {unknown[0]!r} in the table: {', '.join(table.devices)}.")
    if min(options.k) < 2 or options.draws < 1 or options.processes < 1:
        raise ValueError("Give --k 2 or more, --draws and --processes 1 or more.")
    for name in names:
        measured = int(np.isfinite(table.column(name)).sum())
        if measured < max(options.k) + 2:
            raise ValueError(
                f"{name} has {measured} measured networks, too few for --k {max(options.k)}."
            )
    if both := sorted(set(names) & set(helping)):
        raise ValueError(f"{both[0]} is judged and helps: leave it out of one of them.")
    models, began = tuple(dict.fromkeys(options.models)), time.perf_counter()
    sources = tuple(source(table, name) for name in helping)
    tasks = [
        Task(table, name, k, draw, models, sources)
        for k in options.k for name in names for draw in range(options.draws)
    ]  # fmt: skip
    found: dict[tuple, list] = {}
    for task, scores in zip(tasks, _each(tasks, options.processes), strict=True):
        for model, score in scores.items():
            found.setdefault((task.k, task.device, model), []).append(score)
    result = {
        "table": options.table.name,
        "sources": helping,
        "draws": options.draws,
        "devices": {
            name: {
                f"k{k}": {m: metrics.mean(found[k, name, m])._asdict() for m in models}
                for k in options.k
            }
            for name in names
        },
        "means": {
            f"k{k}": {
                m: metrics.mean([metrics.mean(found[k, n, m]) for n in names])._asdict()
                for m in models
            }
            for k in options.k
        },
    }
    return result | {"seconds": round(time.perf_counter() - began, 1)}


def opened_table(path: pathlib.Path, cells: pathlib.Path | None) -> benchmarks.BenchmarkLatencies:
    """A table of many devices, or the networks of a campaign's folder as one of a single device."""
    if not path.is_dir():
        return benchmarks.read(path, cells)
    from jaxnas.hardware.measure import dataset

    found = dataset.load(path)
    ms = found.latency_ms[None]
    return benchmarks.BenchmarkLatencies(
        found.space.genome.space, found.networks, (found.device,), ms, found.work
    )


def source(table: benchmarks.BenchmarkLatencies, name: str) -> Predictor:
    """A device's model, fitted to 900 of its networks: the few-shot split of HELP."""
    ms = table.column(name)
    measured = np.flatnonzero(np.isfinite(ms))
    count = min(SOURCE_NETWORKS, len(measured))
    some = np.random.default_rng(0).choice(measured, count, replace=False)
    return fit.fit(table.space, table.networks[some], ms[some], device=name, work=table.work)


def _each(tasks: list[Task], processes: int) -> list[dict]:
    if processes == 1 or len(tasks) == 1:
        return [judged(task) for task in tasks]
    fresh = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        processes, mp_context=fresh, initializer=child_process.end_with_parent
    ) as pool:
        return list(pool.map(judged, tasks))


def judged(task: Task) -> dict[str, metrics.Quality]:
    """Each model, fitted to K networks drawn at random, judged on all others of the device."""
    ms = task.table.column(task.device)
    measured = np.flatnonzero(np.isfinite(ms))
    inside = np.random.default_rng(task.draw).choice(measured, task.k, replace=False)
    outside = np.setdiff1d(measured, inside)
    networks, work = task.table.networks, task.table.work
    others, found = baselines.baselines(task.table.space, work), {}
    for name in task.models:
        if name == OURS:
            given = task.table.space, networks[inside], ms[inside]
            if task.sources:
                model = transfer.fit(*given, task.sources, work=work).model
            else:
                model = fit.fit(*given, work=work)
            predicted = model.predict(networks[outside])
        else:
            predicted = others[name](networks[inside], ms[inside])(networks[outside])
        found[name] = metrics.quality(ms[outside], *predicted)
    return found


if __name__ == "__main__":
    main()
