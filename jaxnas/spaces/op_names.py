"""Candidate names: the kind of operation, its numbers, and which candidates dominate others."""

import math
import re
from collections.abc import Sequence

import numpy as np

from jaxnas.core.types import NONE

ABSENT, PASS, FREE, LEARNED = range(4)  # nothing, the identity, no weights, weights
# `k5`, `e6`, `g2`, `w1.25` or the first number of `3x3`, between underscores or at the end.
NUMBER = re.compile(r"(?<![a-z])([a-z]{0,2})(\d+(?:\.\d+)?)(?:x\d+)?(?![a-z0-9])")
GROUPS = "g"
WIDTHS, STEP = re.compile(r":(\d+)-(\d+)$"), ("from", "to")  # of a step on a path


def kind(name: str) -> int:
    """ABSENT for `none`, PASS for skips, FREE for pools, LEARNED for anything else."""
    if name in (NONE, "zero", "zeroize"):
        return ABSENT
    if "skip" in name or "identity" in name:
        return PASS
    return FREE if "pool" in name else LEARNED


def numbers(name: str) -> dict[str, float]:
    """The numbers of a name: `k5_e3_g2` gives k 5, e 3, g 2; `nor_conv_3x3` gives k 3; of widths,
    `sep_conv_3x3:8-16`, the first is `from`, the second `to`."""
    named = {key or "k": float(number) for key, number in NUMBER.findall(WIDTHS.sub("", name))}
    widths = WIDTHS.search(name)
    return named | (dict(zip(STEP, map(float, widths.groups()), strict=True)) if widths else {})


def dominates(names: Sequence[str]) -> np.ndarray:
    """bool[O, O]: whether `names[j]` dominates `names[i]`.

    So if they differ in numbers only, none of which is smaller. More groups are less work per
    feature and often more time, so that names of different groups are not comparable. Nor are
    transitions of different widths, which change the widths of their neighbours too.
    """
    shapes = [_skeleton(name) for name in names]
    ignored = (GROUPS, *STEP)
    sizes = [{k: v for k, v in numbers(name).items() if k not in ignored} for name in names]

    def is_dominated(i: int, j: int) -> bool:
        comparable = shapes[i] == shapes[j] and kind(names[i]) == kind(names[j])
        none_smaller = comparable and all(sizes[j][k] >= v for k, v in sizes[i].items())
        return none_smaller and sizes[i] != sizes[j]

    indices = range(len(names))
    matrix = [[is_dominated(i, j) for j in indices] for i in indices]
    return np.array(matrix, bool).reshape(len(names), len(names))


def connect(before: Sequence[str], after: Sequence[str]) -> np.ndarray:
    """bool[O, P]: whether the input width of `after[p]` is the output width of `before[o]`.

    Names without widths connect with all others.
    """
    output_widths = [numbers(name).get(STEP[1]) for name in before]
    input_widths = [numbers(name).get(STEP[0]) for name in after]
    return np.array([[None in (o, i) or o == i for i in input_widths] for o in output_widths], bool)


def attributes(names: Sequence[str]) -> np.ndarray:
    """f64[O, A], standardised: features of work from names, for layers of unknown sizes.

    Columns: whether it is a block; kernel^2 * expansion; each number; if the names have widths (all
    do or none), the product of the two.
    """
    numbers_of_names = [numbers(name) for name in names]
    keys = sorted({key for values in numbers_of_names for key in values})
    rows = []
    for name, values in zip(names, numbers_of_names, strict=True):
        block = kind(name) in (FREE, LEARNED)
        taps = values.get("k", 1) ** 2 * values.get("e", 1)
        row = [block, block * taps, *(block * values.get(key, 1) for key in keys)]
        widths = [values[key] for key in STEP if key in values]
        rows.append([*row, block * math.prod(widths)] if widths else row)
    table = np.array(rows, float)
    spread = table.std(0)
    return ((table - table.mean(0)) / np.where(spread > 0, spread, 1))[:, spread > 0]


def _skeleton(name: str) -> str:
    def blank(match: re.Match) -> str:
        return match[0] if match[1] == GROUPS else (match[1] or "k") + "#"

    operation, widths, step = name.partition(":")
    return NUMBER.sub(blank, operation) + widths + step
