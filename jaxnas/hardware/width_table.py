"""Milliseconds of a network's narrower ones, from each of its parts timed at a few widths.

NetAdapt (https://arxiv.org/abs/1804.03230) looks times of layers up in a table. Ours times a part
in its place, with what the compiler makes of it there, and takes savings of parts to add up: true
while little is saved, so that the table is made anew before it is much (`budget`).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from sklearn.isotonic import isotonic_regression

from jaxnas.hardware import programs, timing
from jaxnas.hardware.measure import round_statistics
from jaxnas.nets.channel_groups import PrunableNetwork

PROGRAMS = 60  # are timed, or as many as two widths a part make
FEWEST, MOST = 2, 4  # widths of a part
WHOLES = 5  # of the whole network in a round: all savings are counted from it
ROUNDS = 11
SHARE = 0.7  # of the milliseconds, at least, is what one table is good for


class WidthTable(NamedTuple):
    """Of each part: widths, the whole one last, and what they save, never less than a wider one."""

    whole_ms: float
    widths: Mapping[str, np.ndarray]  # i[W], rising
    saved_ms: Mapping[str, np.ndarray]  # f64[W], the last is 0


def measured(subject: PrunableNetwork, image: tuple[int, int, int], multiple: int) -> WidthTable:
    """Times a network and its narrower ones on this device, in turns; widths are multiples.

    Raises ValueError for an image that the network refuses.
    """
    tried = _tried(subject, multiple)
    nets = [subject.net, *(subject.network(left) for _, _, left in tried)]
    labels = ["whole", *(f"{name} {width}" for name, width, _ in tried)]
    ready = [
        timing.prepare(programs.network(label, net, "", image))
        for label, net in zip(labels, nets, strict=True)
    ]
    ready += ready[:1] * (WHOLES - 1)
    random, calls = np.random.default_rng(0), np.full((ROUNDS, len(ready)), np.nan)
    for row in calls:
        timing.sample_round(ready, random.permutation(len(ready)), row, np.empty(0))
    ms = round_statistics.summarise(calls).latency_ms
    whole = float(np.median(ms[[0, *range(len(tried) + 1, len(ready))]]))
    found = {name: [] for name in subject.groups}
    for (name, width, _), narrower in zip(tried, ms[1:], strict=False):
        found[name].append((width, whole - narrower))
    return table(whole, {name: part.width for name, part in subject.groups.items()}, found)


def table(
    whole_ms: float,
    widths: Mapping[str, int],
    found: Mapping[str, list[tuple[int, float]]],
) -> WidthTable:
    """The nearest savings of which none is negative and none is larger at a larger width.

    `found`: (width, milliseconds saved) of each part.
    """
    at, saved = {}, {}
    for name, pairs in found.items():
        rising = sorted(pairs)
        at[name] = np.array([width for width, _ in rising] + [widths[name]])
        nearest = np.array([ms for _, ms in rising])
        if len(rising):
            nearest = np.maximum(isotonic_regression(nearest, increasing=False), 0.0)
        saved[name] = np.append(nearest, 0.0)
    return WidthTable(whole_ms, at, saved)


def milliseconds(table: WidthTable, widths: Mapping[str, int]) -> float:
    """Of the network with these widths: between measured ones on a line, below them as there."""
    saved = sum(np.interp(widths[name], at, table.saved_ms[name])
                for name, at in table.widths.items())  # fmt: skip
    return float(table.whole_ms - saved)


def budget(table: WidthTable, share: float) -> float:
    """Milliseconds to go to for a `share` of those of the whole network, as far as one table leads.

    Never below 0.7 of them, nor below half of what all parts together save.
    """
    most = sum(float(saved[0]) for saved in table.saved_ms.values())
    return table.whole_ms - min((1 - max(share, SHARE)) * table.whole_ms, most / 2)


def _tried(subject: PrunableNetwork, multiple: int) -> list[tuple[str, int, object]]:
    """(part, width, what is left) wherever a part alone can be so narrow."""
    count = int(np.clip(PROGRAMS // max(len(subject.groups), 1), FEWEST, MOST))
    found = []
    for name, part in subject.groups.items():
        shares = np.arange(1, count + 1) / (count + 1)
        widths = {max(1, round(share * part.width / multiple)) * multiple for share in shares}
        for width in sorted(widths):
            kept = {n: np.arange(p.width) < (width if n == name else p.width)
                    for n, p in subject.groups.items()}  # fmt: skip
            if width < part.width and (left := subject.remaining(kept)) is not None:
                found.append((name, width, left))
    return found
