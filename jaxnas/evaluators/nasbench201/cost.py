"""Parameters and multiply-accumulates of NAS-Bench-201 networks, in closed form.

The network that the benchmark trains: three stages of 5 cells with 16, 32 and 64 features, all
normalisation affine, hence without biases. The public table has other figures for 150 cells; these
formulas agree with the rest of it, and with `nets.count`.
"""

from typing import NamedTuple

import numpy as np

from jaxnas.evaluators.nasbench201.isomorphism import OPS

FEATURES, CELLS = (16, 32, 64), 5
KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 9}  # positions of the kernel


class BenchmarkSet(NamedTuple):
    """The properties of a data set that the network's cost depends on."""

    key: str  # in the names of the table's arrays
    classes: int
    side: int  # pixels


SETS = {
    "cifar10": BenchmarkSet("c10", 10, 32),
    "cifar100": BenchmarkSet("c100", 100, 32),
    "imagenet16-120": BenchmarkSet("in16", 120, 16),
}


def parameters(codes: np.ndarray, classes: int) -> np.ndarray:
    """i64[...]: the parameters of cells, `i8[..., 6]`, in networks with so many classes."""
    square, wide = sum(f * f for f in FEATURES), sum(FEATURES)
    of_op = {op: CELLS * (k * square + 2 * wide) for op, k in KERNELS.items()}
    fixed = 27 * FEATURES[0] + 2 * FEATURES[0]  # stem
    for before, after in zip(FEATURES, FEATURES[1:], strict=False):
        fixed += 9 * before * after + 9 * after * after + 4 * after + before * after
    fixed += 2 * FEATURES[-1] + (FEATURES[-1] + 1) * classes
    return fixed + _per_op(codes, of_op)


def macs(codes: np.ndarray, classes: int, side: int) -> np.ndarray:
    """i64[...]: the multiply-accumulates of one square image of `side` pixels."""
    pixels = [(side // 2**stage) ** 2 for stage in range(len(FEATURES))]
    level = sum(f * f * p for f, p in zip(FEATURES, pixels, strict=True))
    fixed = 27 * FEATURES[0] * pixels[0] + FEATURES[-1] * classes
    for before, after, p in zip(FEATURES, FEATURES[1:], pixels[1:], strict=False):
        fixed += (9 * before * after + 9 * after * after + before * after) * p
    return fixed + _per_op(codes, {op: CELLS * k * level for op, k in KERNELS.items()})


def _per_op(codes: np.ndarray, cost: dict[str, int]) -> np.ndarray:
    return np.array([cost.get(op, 0) for op in OPS])[np.asarray(codes)].sum(-1)
