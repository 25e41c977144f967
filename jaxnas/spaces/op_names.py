"""What the name of a candidate says: its kind, its numbers, and which candidate it outgrows."""

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
    found = {letter or "k": float(n) for letter, n in NUMBER.findall(WIDTHS.sub("", name))}
    widths = WIDTHS.search(name)
    return found | (dict(zip(STEP, map(float, widths.groups()), strict=True)) if widths else {})


def dominates(names: Sequence[str]) -> np.ndarray:
    """bool[O, O]: whether `names[j]` does all that `names[i]` does, and more.

    Two names that differ in numbers alone, none of them smaller. More groups are less work per
    feature and often more time, so that names of different groups are not compared. Nor are
    steps of different widths: none gets wider alone, its neighbours have to.
    """
    shapes = [_skeleton(name) for name in names]
    kept = (GROUPS, *STEP)
    sizes = [{k: v for k, v in numbers(name).items() if k not in kept} for name in names]

    def outgrown(i: int, j: int) -> bool:
        same = shapes[i] == shapes[j] and kind(names[i]) == kind(names[j])
        no_less = same and all(sizes[j][k] >= v for k, v in sizes[i].items())
        return no_less and sizes[i] != sizes[j]

    every = range(len(names))
    found = [[outgrown(i, j) for j in every] for i in every]
    return np.array(found, bool).reshape(len(names), len(names))


def connect(before: Sequence[str], behind: Sequence[str]) -> np.ndarray:
    """bool[O, P]: whether `behind[p]` begins with the width that `before[o]` gives.

    Names that are no steps of a path go with all others.
    """
    gives = [numbers(name).get(STEP[1]) for name in before]
    takes = [numbers(name).get(STEP[0]) for name in behind]
    return np.array([[None in (g, t) or g == t for t in takes] for g in gives], bool)


def attributes(names: Sequence[str]) -> np.ndarray:
    """f64[O, A], standardised: what names tell about work, for layers of unknown sizes.

    Is it a block; kernel^2 * expansion; each number by itself; where names tell widths, as all do
    or none, the product of the two.
    """
    known = [numbers(name) for name in names]
    letters = sorted({letter for each in known for letter in each})
    rows = []
    for name, each in zip(names, known, strict=True):
        block = kind(name) in (FREE, LEARNED)
        taps = each.get("k", 1) ** 2 * each.get("e", 1)
        told = [block, block * taps, *(block * each.get(letter, 1) for letter in letters)]
        wide = [block * math.prod(each[end] for end in STEP)] if STEP[0] in each else []
        rows.append(told + wide)
    table = np.array(rows, float)
    spread = table.std(0)
    return ((table - table.mean(0)) / np.where(spread > 0, spread, 1))[:, spread > 0]


def _skeleton(name: str) -> str:
    def blank(found: re.Match) -> str:
        return found[0] if found[1] == GROUPS else (found[1] or "k") + "#"

    operation, widths, step = name.partition(":")
    return NUMBER.sub(blank, operation) + widths + step
