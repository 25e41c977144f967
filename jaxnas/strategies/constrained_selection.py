"""Which network it is: likely, near its targets, good on shared weights, and measured to hold."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnas.core.stages import StageResult
from jaxnas.hardware.cost import Aim
from jaxnas.hardware.measure.dataset import CampaignDataset, TargetError
from jaxnas.hardware.measure.recheck import RecheckedTimes
from jaxnas.hardware.predict import fit
from jaxnas.hardware.predict.predictor import Predictor, unit
from jaxnas.spaces import registry
from jaxnas.spaces.genotype import Genotype
from jaxnas.strategies import codes, laws
from jaxnas.strategies.pool import Pool

HOLDS, REFIT = 0.05, 0.03  # relative: a target holds; a model is fitted again beyond
SEEN = 0.005  # a device that is faster or slower by more is said to be
JUDGED, TIMED, ROUNDS = 32, 4, 25  # by shared weights; measured in a round; rounds at most

Measure = Callable[[Sequence[Genotype], int], RecheckedTimes]  # (networks, number of the round)


class Verdict(NamedTuple):
    genotype: Genotype  # as it is deployed
    record: dict[str, Any]  # JSON
    model: Predictor | None  # fitted to all that was measured


class Known(NamedTuple):
    """What is known of the pool's networks."""

    costs: dict[str, np.ndarray]  # by the name of the aim, f64[N]; ms: see `_as_measured`
    measured: dict[int, float]  # ms on the campaign's scale, by row of the pool
    clock: dict[int, float]  # the same, as the clock read them


def settle(
    entry: registry.Entry,
    aims: Sequence[Aim],
    pool: Pool,
    finished: StageResult,
    *,
    model: Predictor | None = None,
    campaign: CampaignDataset | None = None,
    measure: Measure | None = None,
    note: Callable[[str], None] = lambda line: None,
) -> Verdict:
    """The network for the targets, and how it was come by.

    Among the networks whose costs are all at or below their aims and one within 5 % of it (else
    the nearest below), the 32 likeliest are judged by shared weights. With `measure` the best four
    are timed; where the gap between predicted and measured is above 3 %, the model is fitted again
    with them. That is repeated until one is within 5 % of the target in milliseconds (the most
    accurate of those below it, else above), or all such networks are measured, 25 times at most.
    Networks of the campaign count as it measured them, until they are timed again. Ours throughout
    (docs/target.md).
    """
    known = Known({aim.name: aim.cost(pool.networks) for aim in aims}, {}, {})
    by_ms, first = _of(aims, "ms"), model
    if by_ms is not None:
        _as_measured(entry, campaign, pool, known)
        if not np.any(_near(known.costs["ms"], by_ms)):
            note(f"target: no network is known within {HOLDS:.0%} below {by_ms.aim:.4g} ms")
    accuracy: dict[int, float] = {}
    timings, refits = [], 0
    for number in range(ROUNDS if measure else 1):
        try:
            rows = shortlist(pool, aims, known)
        except TargetError:
            if not number:
                raise
            note("target: the model that was fitted again leaves none: what was measured decides")
            break
        judge(entry, pool, finished, rows, accuracy)
        order = sorted(rows, key=lambda i: (-accuracy[i], -pool.log_probability[i]))
        if measure is None or by_ms is None:
            return _verdict(entry, aims, pool, known, order, accuracy, first, model, [], 0)
        new = [i for i in order if i not in known.measured][:TIMED]
        if not new:
            note(f"target: {len(known.measured)} networks were measured, and none nearer is known")
            break
        times = measure([codes.to_genotype(entry, pool.networks[i]) for i in new], number)
        known.measured.update(zip(new, map(float, times.latency_ms), strict=True))
        known.clock.update((i, times.slower * known.measured[i]) for i in new)
        predicted = model.predict(pool.networks[new])[0]
        gap = float(np.max(np.abs(times.latency_ms / predicted - 1)))
        timings.append({"networks": len(new), "gap": gap, "slower": times.slower,
                        "noisy": list(times.noisy)})  # fmt: skip
        note(
            f"target: round {number + 1}: {len(new)} networks measured, up to {gap:.1%} from what "
            f"was predicted; this device is {times.slower - 1:+.1%} against the campaign"
        )
        if gap > REFIT:
            model, refits = _again(campaign, pool, known), refits + 1
            known.costs["ms"][:] = model.predict(pool.networks)[0]
            _as_measured(entry, campaign, pool, known)
            note("target: the model is fitted again with them")
        if any(holds(i, aims, known) for i in known.measured):
            break
    judged = sorted(known.measured, key=lambda i: _merit(i, aims, known, accuracy[i]))
    return _verdict(
        entry, aims, pool, known, judged, accuracy, first, model, timings, refits
    )  # fmt: skip


def alone(
    entry: registry.Entry, found: Genotype, model: Predictor, measure: Measure | None = None
) -> dict[str, Any]:
    """The record of a network that no target chose: predicted, and measured where that can be."""
    network = codes.of_genotype(entry.space, found)[None]
    ms, low, high = (float(value[0]) for value in model.predict(network))
    times = measure([found], 0) if measure else None
    said = {
        "target": None, "predicted": ms, "interval": [low, high], "holds": None,
        "measured": None if times is None else float(times.latency_ms[0]),
    }  # fmt: skip
    rounds = [] if times is None else [{"slower": times.slower, "noisy": list(times.noisy)}]
    return {"targets": {"ms": said}, "rounds": rounds}


def shortlist(pool: Pool, aims: Sequence[Aim], known: Known) -> list[int]:
    """Rows of the pool: the likeliest within 5 % below their aims, then the nearest below.

    How near a network is, its cost nearest to an aim says; measured milliseconds count in the
    place of predicted ones, and need no margin for the risk that a prediction is wrong. Raises
    TargetError where no network meets all aims at once.
    """
    costs, by_ms = {name: cost.copy() for name, cost in known.costs.items()}, _of(aims, "ms")
    ratios = {aim.name: costs[aim.name] / aim.aim for aim in aims}
    for row, ms in known.measured.items():
        costs["ms"][row] = ms
        ratios["ms"][row] = ms / (by_ms.most if ms > by_ms.aim else by_ms.aim)
    ratio = np.max(list(ratios.values()), 0)
    below = np.flatnonzero(ratio <= 1)
    if not len(below):
        nearest = int(np.argmin(ratio))
        said = ", ".join(f"{costs[aim.name][nearest]:.4g} {aim.name}" for aim in aims)
        raise TargetError(
            f"No network among {len(ratio)} meets all targets at once; the nearest has {said}: "
            "raise one of them."
        )
    near = below[ratio[below] >= 1 - HOLDS]
    near = near[np.argsort(-pool.log_probability[near], kind="stable")][:JUDGED]
    # Runners-up have to come from somewhere.
    further = below[ratio[below] < 1 - HOLDS]
    further = further[np.argsort(-ratio[further], kind="stable")][: max(TIMED - len(near), 0)]
    return [int(i) for i in (*near, *further)]


def judge(
    entry: registry.Entry,
    pool: Pool,
    finished: StageResult,
    rows: Sequence[int],
    accuracy: dict[int, float],
) -> None:
    """Adds the validation accuracy on shared weights of rows that have none yet."""
    new = [i for i in rows if i not in accuracy]
    if new:
        law = laws.of(entry)
        gates = [law.gates(pool.networks[i]) for i in new]
        stacked = {name: np.stack([each[name] for each in gates]) for name in gates[0]}
        accuracy.update(zip(new, map(float, finished.evaluate(stacked)[0]), strict=True))


def _as_measured(
    entry: registry.Entry, campaign: CampaignDataset | None, pool: Pool, known: Known
) -> None:
    """Writes what the campaign measured in the place of predictions, wherever it did."""
    if campaign is None:
        return
    row = {tuple(network): i for i, network in enumerate(pool.networks)}
    times: dict[int, list[float]] = {}
    deployed = codes.pruned(entry, campaign.networks)
    for network, ms in zip(map(tuple, deployed), campaign.latency_ms, strict=True):
        if network in row:
            times.setdefault(row[network], []).append(ms)
    for i, each in times.items():
        known.costs["ms"][i] = np.median(each)


def _near(ms: np.ndarray, aim: Aim) -> np.ndarray:
    return (ms <= aim.aim) & (ms >= (1 - HOLDS) * aim.aim)


def _again(campaign: CampaignDataset, pool: Pool, known: Known) -> Predictor:
    rows = list(known.measured)
    return fit.fit(
        campaign.entry.space,
        np.concatenate([campaign.networks, pool.networks[rows]]),
        np.concatenate([campaign.latency_ms, [known.measured[i] for i in rows]]),
        device=campaign.device,
        work=campaign.work,
    )


def holds(row: int, aims: Sequence[Aim], known: Known) -> bool:
    """Whether measured milliseconds are within 5 % of the target; below it, as far as a risk keeps
    off, or where another target is what keeps the network from being slower."""
    ms, by_ms = known.measured[row], _of(aims, "ms")
    bound = any(
        known.costs[aim.name][row] >= (1 - HOLDS) * aim.aim for aim in aims if aim.name != "ms"
    )
    return ms <= (1 + HOLDS) * by_ms.most and (bound or ms >= (1 - HOLDS) * by_ms.aim)


def _of(aims: Sequence[Aim], name: str) -> Aim | None:
    return next((aim for aim in aims if aim.name == name), None)


def _merit(row: int, aims: Sequence[Aim], known: Known, accuracy: float) -> tuple:
    """Least first: holds from below, holds from above, is below, is above."""
    off = known.measured[row] / _of(aims, "ms").most - 1
    if holds(row, aims, known):
        return 0, off > 0, -accuracy, 0.0
    return 1, off > 0, abs(off), -accuracy


def _verdict(entry, aims, pool, known, order, accuracy, first, model, timings, refits) -> Verdict:
    row = order[0]
    found = codes.to_genotype(entry, pool.networks[row])
    targets = {}
    for aim in aims:
        said = {"target": aim.most, "aim": aim.aim, "predicted": float(known.costs[aim.name][row])}
        if aim.name == "ms":
            at = pool.networks[[row]]
            # As it was said before any candidate was measured: what came later has seen them.
            ms, low, high = (float(value[0]) for value in first.predict(at))
            said |= {"predicted": ms, "fitted": float(model.predict(at)[0][0])}
            measured = known.measured.get(row)
            said |= {"interval": [low, high], "measured": measured}
            said["clock_ms"] = known.clock.get(row)
            said["holds"] = None if measured is None else holds(row, aims, known)
        else:
            said["holds"] = said["predicted"] <= aim.most  # counted, or as far as is predicted
            if aim.model is not None:
                _, low, high = (float(v[0]) for v in aim.model.predict(pool.networks[[row]]))
                said |= {"interval": [low, high], "unit": unit(aim.model.quantity)}
        targets[aim.name] = said
    others = [
        {
            "network": pool.networks[i].tolist(),
            "accuracy": accuracy[i],
            "costs": {name: float(cost[i]) for name, cost in known.costs.items()},
            "measured_ms": known.measured.get(i),
        }
        for i in order[: 2 * TIMED]
    ]
    record = {
        "targets": targets, "accuracy": accuracy[row], "networks": len(pool.networks),
        "judged": len(accuracy), "measured": others, "rounds": timings, "refits": refits,
    }  # fmt: skip
    return Verdict(found, record, model)


def lines(record: dict[str, Any]) -> list[str]:
    """What a person is told: target, predicted, interval, measured, and whether it holds."""
    found = []
    for name, said in record["targets"].items():
        if "unit" in said:
            (low, high), of = said["interval"], said["unit"]
            found.append(
                f"target    {said['target']:.4g} {of} ({name}); predicted {said['predicted']:.4g} "
                f"{of}; 90 % interval {low:.4g} to {high:.4g} {of}"
            )
            continue
        if name != "ms":
            title = "MACs" if name == "macs" else name
            found.append(
                f"target    {said['target']:,.0f} {title}; counted {said['predicted']:,.0f}"
            )
            continue
        low, high = said["interval"]
        goal = "latency   " if said["target"] is None else f"target    {said['target']:.4g} ms; "
        text = (
            f"{goal}predicted {said['predicted']:.4g} ms; "
            f"90 % interval {low:.4g} to {high:.4g} ms; "
        )
        if said["measured"] is None:
            found.append(text + "not measured: this is another device than the campaign's")
            continue
        if said["target"] is None:
            found.append(text + f"measured {said['measured']:.4g} ms")
            continue
        off = said["measured"] / said["target"] - 1
        verdict = "it holds within 5 %"
        if abs(off) > HOLDS:
            risky = said["measured"] >= (1 - HOLDS) * said["aim"]
            verdict = f"it holds: {'--risk keeps off' if risky else 'another target is what binds'}"
        verdict = verdict if said["holds"] else "it DOES NOT HOLD within 5 %"
        found.append(text + f"measured {said['measured']:.4g} ms ({off:+.1%}): {verdict}")
        clock = said.get("clock_ms", said["measured"])  # records of old do not say it
        off = clock / said["measured"] - 1
        if abs(off) > SEEN:
            found.append(
                f"          that is on the campaign's scale; the clock read {clock:.4g} ms, this "
                f"device being {off:+.1%} against it now"
            )
        noisy = record["rounds"][-1]["noisy"]
        found += [f"          NOISY: {'; '.join(noisy)}"] if noisy else []
    return found
