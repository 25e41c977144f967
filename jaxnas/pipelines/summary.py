"""The summary of a run: the genotype and the figures, a line each."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from jaxnas.report import formatting
from jaxnas.report.statistics import relative
from jaxnas.spaces.genotype import Genotype
from jaxnas.strategies.selection_record import MS, TOLERANCE

WORTH_MENTIONING = 0.005  # relative: smaller drifts of a device's speed are not reported


def cells(genotype: Genotype) -> list[str]:
    """The genotype in lines: each node with the operations that enter it."""
    lines = []
    for name, cell in genotype.cells.items():
        lines.append(f"{name} cell")
        for node in sorted({target for _, target, _ in cell.edges}):
            enter = [f"{op}({source})" for source, target, op in cell.edges if target == node]
            lines.append(f"  node {node} = {' + '.join(enter)}")
        lines.append(f"  output = {', '.join(f'node {node}' for node in cell.concat)}")
    return lines


def comparison(
    result: Mapping[str, Any],
    others: Sequence[Mapping[str, Any]],
    images: int,
    target: Mapping[str, Any] | None = None,
) -> list[str]:
    """The figures of the cell, and of the random cells if there are any.

    Without its milliseconds if `target`, the record of a selection, has some: `constraints` tells
    all of them in one place.
    """
    digits = formatting.digits_for(images)
    percent = lambda value: formatting.percent(value, digits)
    lines = [f"test accuracy    {percent(result['top1'])} of {images} images"]
    if others:
        accuracies = [other["top1"] for other in others]
        mean = statistics.mean(accuracies)
        spread = f" ± {100 * statistics.stdev(accuracies):.{digits}f}" if len(others) > 1 else ""
        accuracy_list = ", ".join(percent(value) for value in accuracies)
        lines.append(
            f"{len(others)} random cell{'s' * (len(others) > 1)}   "
            f"{100 * mean:.{digits}f}{spread} % trained alike ({accuracy_list})"
        )
        gain = relative.error_reduction(result["top1"], accuracies)
        if gain is not None:
            fewer_or_more = "fewer" if gain >= 0 else "more"
            lines.append(f"against random   {formatting.change(gain)} {fewer_or_more} errors")
        else:
            lines.append("against random   nothing to gain: they make no error")
    lines += [
        f"top-5, loss      {percent(result['top5'])}, {result['loss']:.3g} nats",
        f"calibration      {formatting.percent(result['ece'])} expected error",
        f"parameters       {result['parameters']:,}",
        f"MACs             {result['macs']:,}",
    ]
    if target is None or MS not in target["targets"]:
        ms = formatting.milliseconds(result["latency_ms"])
        lines.append(f"latency          {ms} an image on this device")
    return [line.replace(formatting.SPACE, " ") for line in lines]


def constraints(record: Mapping[str, Any], trained_ms: float | None = None) -> list[str]:
    """Limit, measurement, verdict and prediction of each constraint.

    `trained_ms`: the time of the trained network by this device's clock.
    """
    lines = []
    for name, target in record["targets"].items():
        if name == MS:
            lines += _latency(target, record.get("refresh"), trained_ms)
            noisy = record["rounds"][-1]["noisy"] if target["measured"] is not None else ()
            if noisy and target["target"] is not None:
                lines.append(f"          NOISY: {'; '.join(noisy)}")
        elif "unit" in target:
            (low, high), unit = target["interval"], target["unit"]
            lines.append(
                f"target    {target['target']:.4g} {unit} ({name}); predicted "
                f"{target['predicted']:.4g} {unit}; 90 % interval {low:.4g} to {high:.4g} {unit}"
            )
        else:
            title = "MACs" if name == "macs" else name
            lines.append(
                f"target    {target['target']:,.0f} {title}; counted {target['predicted']:,.0f}"
            )
    return lines


def _latency(target: Mapping[str, Any], refresh: str | None, trained_ms: float | None) -> list[str]:
    """The answer with its verdict and the device's drift; how old the campaign is; the rest."""
    limit, measured, (low, high) = target["target"], target["measured"], target["interval"]
    start = "latency   " if limit is None else f"target    {limit:.4g} ms: "
    interval = f"90 % interval {low:.4g} to {high:.4g} ms"
    others = []
    if trained_ms is not None:
        others = [f"after training {trained_ms:.4g} ms by this device's clock, timed alone"]
    if measured is None:
        answer = (
            f"{start}{target['predicted']:.4g} ms predicted, {interval}; not measured: this is "
            "another device than the campaign's"
        )
        return [answer, *(f"          {line}" for line in others)]
    drift = (target.get("clock_ms") or measured) / measured - 1  # older records do not have it
    verdict = "" if limit is None else f" ({measured / limit - 1:+.1%}), {_verdict(target)}"
    answer = f"{start}{measured:.4g} ms measured{verdict}{_drift(target, drift)}"
    others = [f"predicted {target['predicted']:.4g} ms, {interval}", *others]
    lines = [answer, f"          {'; '.join(others)}"]
    if abs(drift) > TOLERANCE:
        command = f": {refresh}" if refresh else " with `jaxnas latency measure`"
        lines.insert(
            1,
            f"          OUT OF DATE: this device is more than {TOLERANCE:.0%} off the campaign's "
            f"speed; measure it again{command}",
        )
    return lines


def _verdict(target: Mapping[str, Any]) -> str:
    """Whether the measured milliseconds hold."""
    if not target["holds"]:
        return "it DOES NOT HOLD within 5 %"
    if abs(target["measured"] / target["target"] - 1) <= TOLERANCE:
        return "it holds within 5 %"
    risky = target["measured"] >= (1 - TOLERANCE) * target["aim"]
    return f"it holds: {'--risk keeps off' if risky else 'another target is what binds'}"


def _drift(target: Mapping[str, Any], drift: float) -> str:
    """What the verdict is worth now: the device's drift and the same time by its clock."""
    if abs(drift) <= WORTH_MENTIONING:
        return ""
    limit, clock = target["target"], target["clock_ms"]
    off = "" if limit is None else f" ({clock / limit - 1:+.1%})"
    return (
        f", on the campaign's scale; this device is {drift:+.1%} against it now: {clock:.4g} ms by "
        f"the clock{off}"
    )
