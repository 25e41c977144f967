"""What a run says in the end: the genotype and the figures, a line each."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from jaxnas.report import formatting
from jaxnas.spaces.genotype import Genotype


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
    found: Mapping[str, Any], others: Sequence[Mapping[str, Any]], images: int
) -> list[str]:
    """The found cell's figures, beside those of the random cells if there are any."""
    digits = formatting.digits_for(images)
    percent = lambda value: formatting.percent(value, digits)
    lines = [f"test accuracy    {percent(found['top1'])} of {images} images"]
    if others:
        accuracies = [other["top1"] for other in others]
        mean = statistics.mean(accuracies)
        spread = f" ± {100 * statistics.stdev(accuracies):.{digits}f}" if len(others) > 1 else ""
        each = ", ".join(percent(value) for value in accuracies)
        lines.append(
            f"{len(others)} random cell{'s' * (len(others) > 1)}   "
            f"{100 * mean:.{digits}f}{spread} % trained alike ({each})"
        )
        if mean < 1:
            gain = (found["top1"] - mean) / (1 - mean)
            more = "fewer" if gain >= 0 else "more"
            lines.append(f"against random   {formatting.change(gain)} {more} errors")
        else:
            lines.append("against random   nothing to gain: they make no error")
    lines += [
        f"top-5, loss      {percent(found['top5'])}, {found['loss']:.3g} nats",
        f"calibration      {formatting.percent(found['ece'])} expected error",
        f"parameters       {found['parameters']:,}",
        f"MACs             {found['macs']:,}",
        f"latency          {formatting.milliseconds(found['latency_ms'])} an image on this device",
    ]
    return [line.replace(formatting.SPACE, " ") for line in lines]
