"""The summary of a run: the genotype and the figures, a line each."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from jaxnas.report import formatting
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
    result: Mapping[str, Any], others: Sequence[Mapping[str, Any]], images: int
) -> list[str]:
    """The figures of the cell, and of the random cells if there are any."""
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
        if mean < 1:
            gain = (result["top1"] - mean) / (1 - mean)
            fewer_or_more = "fewer" if gain >= 0 else "more"
            lines.append(f"against random   {formatting.change(gain)} {fewer_or_more} errors")
        else:
            lines.append("against random   nothing to gain: they make no error")
    lines += [
        f"top-5, loss      {percent(result['top5'])}, {result['loss']:.3g} nats",
        f"calibration      {formatting.percent(result['ece'])} expected error",
        f"parameters       {result['parameters']:,}",
        f"MACs             {result['macs']:,}",
        f"latency          {formatting.milliseconds(result['latency_ms'])} an image on this device",
    ]
    return [line.replace(formatting.SPACE, " ") for line in lines]


def constraints(record: Mapping[str, Any]) -> list[str]:
    """Limit, prediction, interval, measurement of each constraint, and whether it is satisfied."""
    lines = []
    for name, target in record["targets"].items():
        if name == MS:
            lines += _latency(target)
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


def _latency(target: Mapping[str, Any]) -> list[str]:
    (low, high), limit, measured = target["interval"], target["target"], target["measured"]
    start = "latency   " if limit is None else f"target    {limit:.4g} ms; "
    text = f"{start}predicted {target['predicted']:.4g} ms; "
    text += f"90 % interval {low:.4g} to {high:.4g} ms; "
    if measured is None:
        return [text + "not measured: this is another device than the campaign's"]
    if limit is None:
        return [text + f"measured {measured:.4g} ms"]
    error = measured / limit - 1
    verdict = "it holds within 5 %"
    if abs(error) > TOLERANCE:
        risky = measured >= (1 - TOLERANCE) * target["aim"]
        verdict = f"it holds: {'--risk keeps off' if risky else 'another target is what binds'}"
    verdict = verdict if target["holds"] else "it DOES NOT HOLD within 5 %"
    lines = [text + f"measured {measured:.4g} ms ({error:+.1%}): {verdict}"]
    clock = target.get("clock_ms", measured)  # older records do not have it
    error = clock / measured - 1
    if abs(error) > WORTH_MENTIONING:
        lines.append(
            f"          that is on the campaign's scale; the clock read {clock:.4g} ms, this "
            f"device being {error:+.1%} against it now"
        )
    return lines
