"""Latency of a network at smaller widths, from each channel group timed at a few widths.

NetAdapt (https://arxiv.org/abs/1804.03230) looks up times of single layers. Ours times the whole
network with one group narrowed, so compiler effects in context count, and takes the savings of
groups to add up. That holds for small savings only: the table is measured anew after each
(`budget`).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from sklearn.isotonic import isotonic_regression

from jaxnas.hardware import programs, timing
from jaxnas.hardware.measure import round_statistics
from jaxnas.nets.channel_groups import PrunableNetwork

MAX_PROGRAMS = 60  # timed, unless two widths a group need more
MIN_WIDTHS, MAX_WIDTHS = 2, 4  # measured of a group
FULL_SAMPLES = 5  # of the full network in a round: all savings are relative to it
ROUNDS = 11
MIN_SHARE = 0.7  # of the full latency: one table is not used below it


class WidthTable(NamedTuple):
    """Milliseconds saved by each group at each width: never less than at a larger width."""

    full_ms: float
    widths: Mapping[str, np.ndarray]  # i[W] of each group, ascending, the full width last
    saved_ms: Mapping[str, np.ndarray]  # f64[W], the last is 0


def measure(prunable: PrunableNetwork, image: tuple[int, int, int], multiple: int) -> WidthTable:
    """Times a network and its narrower variants on this device, interleaved.

    Widths are multiples of `multiple`. Raises ValueError for an image that the network cannot
    take.
    """
    narrower = _narrower(prunable, multiple)
    nets = [prunable.net, *(prunable.network(remaining) for _, _, remaining in narrower)]
    labels = ["whole", *(f"{name} {width}" for name, width, _ in narrower)]
    timed = [
        timing.prepare(programs.network(label, net, "", image))
        for label, net in zip(labels, nets, strict=True)
    ]
    timed += timed[:1] * (FULL_SAMPLES - 1)
    random, calls = np.random.default_rng(0), np.full((ROUNDS, len(timed)), np.nan)
    for row in calls:
        timing.sample_round(timed, random.permutation(len(timed)), row, np.empty(0))
    ms = round_statistics.summarise(calls).latency_ms
    full_ms = float(np.median(ms[[0, *range(len(narrower) + 1, len(timed))]]))
    savings = {name: [] for name in prunable.groups}
    for (name, width, _), ms_narrower in zip(narrower, ms[1:], strict=False):
        savings[name].append((width, full_ms - ms_narrower))
    return from_savings(
        full_ms, {name: part.width for name, part in prunable.groups.items()}, savings
    )


def from_savings(
    full_ms: float,
    widths: Mapping[str, int],
    savings: Mapping[str, list[tuple[int, float]]],
) -> WidthTable:
    """The table of measured savings, by isotonic regression: no negative, none rising with width.

    `widths`: the full ones. `savings`: (width, milliseconds saved) of each group.
    """
    widths_of, saved = {}, {}
    for name, pairs in savings.items():
        ascending = sorted(pairs)
        widths_of[name] = np.array([width for width, _ in ascending] + [widths[name]])
        monotone = np.array([ms for _, ms in ascending])
        if len(ascending):
            monotone = np.maximum(isotonic_regression(monotone, increasing=False), 0.0)
        saved[name] = np.append(monotone, 0.0)
    return WidthTable(full_ms, widths_of, saved)


def latency_ms(table: WidthTable, widths: Mapping[str, int]) -> float:
    """Predicted latency at these widths: interpolated linearly, constant below measured widths."""
    saved = sum(np.interp(widths[name], measured_widths, table.saved_ms[name])
                for name, measured_widths in table.widths.items())  # fmt: skip
    return float(table.full_ms - saved)


def budget(table: WidthTable, share: float) -> float:
    """The latency to narrow to with this table, on the way to a `share` of the full latency.

    Never below 0.7 of the full latency; saves at most half of what all groups together can.
    """
    max_saving = sum(float(saved[0]) for saved in table.saved_ms.values())
    return table.full_ms - min((1 - max(share, MIN_SHARE)) * table.full_ms, max_saving / 2)


def _narrower(prunable: PrunableNetwork, multiple: int) -> list[tuple[str, int, object]]:
    """(group, width, remaining widths) of each variant with a single group narrowed."""
    widths_per_group = int(
        np.clip(MAX_PROGRAMS // max(len(prunable.groups), 1), MIN_WIDTHS, MAX_WIDTHS)
    )
    variants = []
    for name, group in prunable.groups.items():
        fractions = np.arange(1, widths_per_group + 1) / (widths_per_group + 1)
        widths = {
            max(1, round(fraction * group.width / multiple)) * multiple for fraction in fractions
        }
        for width in sorted(widths):
            masks = {n: np.arange(p.width) < (width if n == name else p.width)
                    for n, p in prunable.groups.items()}  # fmt: skip
            if width < group.width and (remaining := prunable.remaining(masks)) is not None:
                variants.append((name, width, remaining))
    return variants
