"""What a supernet chooses under a latency: the best by its loss of networks that just meet it."""

import hashlib
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rich.console

from experiments import ranking_figures, targets_baselines
from jaxnas.core.types import Constraint, Gates
from jaxnas.evaluators import nasbench201 as benchmark
from jaxnas.hardware import cost, device
from jaxnas.hardware.measure import dataset
from jaxnas.hardware.measure.dataset import CampaignDataset
from jaxnas.pipelines import study
from jaxnas.pipelines.settings.limits import fail, require
from jaxnas.report import table
from jaxnas.report.statistics import differences
from jaxnas.spaces.search_space import SearchSpace
from jaxnas.strategies.selection_record import TOLERANCE

HEAD = (
    "target ms", "chosen by loss, %", "measured ms", "hold", "all near, %", "networks",
    "less their mean", "95 %", "p", "ahead", "beaten",
)  # fmt: skip


def limits(
    latency: str | None, targets_ms: Sequence[float]
) -> tuple[CampaignDataset | None, dict[float, Constraint]]:
    """The campaign, and the limit of each target. Raises ValueError for impossible ones."""
    if bool(latency) != bool(targets_ms):
        fail("--latency and --targets-ms stand together: give both, or leave both out.")
    if not latency:
        return None, {}
    for ms in targets_ms:
        require("--targets-ms", ms, above=0)
    campaign = dataset.load(Path(latency))
    if campaign.settings.get("threads") is not None:
        device.pin(campaign.settings["threads"])  # before JAX opens its devices
    model = cost.predicted(campaign.space, dataset.fit_predictor(campaign))
    return campaign, {ms: cost.check(Constraint(model, ms)) for ms in targets_ms}


def choose(
    space: SearchSpace,
    limit: Constraint,
    evaluate: Callable[[Gates], tuple[np.ndarray, np.ndarray]],
    count: int,
    seed: int,
) -> list[int]:
    """The network of the lowest loss, of `count` random ones within 5 % below a limit, or all."""
    most = min(count, len(targets_baselines.near(space, limit, seed)))
    drawn = targets_baselines.draw(space, limit, most, seed)
    _, loss = evaluate(space.genome.one_hot(drawn))
    return drawn[np.argmin(loss)].tolist()


def time_chosen(
    campaign: CampaignDataset,
    rows: Sequence[study.Row],
    folder: Path,
    console: rich.console.Console,
) -> dict[tuple[str, int, str], float]:
    """Milliseconds of what was chosen, all of one run, by (method, seed, target)."""
    chosen = {
        (row["method"], row["seed"], ms): entry["code"]
        for row in rows
        for ms, entry in row["targets"].items()
    }
    digest = hashlib.sha256(json.dumps(list(chosen.values())).encode()).hexdigest()[:8]
    networks = [campaign.space.genome.decode(np.array(code)) for code in chosen.values()]
    where = folder / f"times-{digest}"
    times = targets_baselines.time_all(campaign, networks, where, console)
    return dict(zip(chosen, times, strict=True))


def summary(
    truth: benchmark.TabularBenchmark,
    rows: Sequence[study.Row],
    of_target: Mapping[float, Constraint],
    times: Mapping[tuple[str, int, str], float],
    space: SearchSpace,
) -> table.TextTable:
    """A line a target: the truth of what was chosen beside that of all networks as near to it."""
    lines, gains = [], []
    for ms, limit in of_target.items():
        near = [
            ranking_figures.entry(truth, row)["test"]
            for row in targets_baselines.near(space, limit)
        ]
        chosen = [row["targets"][f"{ms:g}"]["test"] for row in rows]
        of = differences.of([accuracy - statistics.mean(near) for accuracy in chosen])
        gains += [accuracy - statistics.mean(near) for accuracy in chosen]
        beaten = np.mean([[accuracy > other for other in near] for accuracy in chosen])
        measured = [t for (_, _, target), t in times.items() if target == f"{ms:g}"]
        held = sum(abs(t / ms - 1) <= TOLERANCE for t in measured)
        lines.append(
            (f"{ms:g}", study.spread(chosen, 2), study.spread(measured, 3))
            + (f"{held} of {len(measured)}", study.spread(near, 2), str(len(near)))
            + (*differences.cells(of), f"{beaten:.0%}")
        )
    if len(of_target) > 1:
        lines.append(("all", *["–"] * 5, *differences.cells(differences.of(gains)), "–"))
    return table.TextTable(HEAD, lines)


def entry(truth: benchmark.TabularBenchmark, code: Sequence[int]) -> dict[str, Any]:
    """What was chosen, as JSON values."""
    return {"code": list(code)} | ranking_figures.entry(truth, code)
