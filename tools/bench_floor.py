"""Counts what one search step computes and moves, and measures the least time that would take."""

import argparse
import json
import math
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from tools import bench_case

DESCRIPTION = """\
Walks through the traced step, loops as often as they run, and prints one JSON object:
flop            operations of products and pools, a multiply-accumulate being two
product_bytes   what products, pools and reductions read and write, were all else fused with them
all_bytes       what every operation would read and write, were nothing fused
flop_s          peak of this machine: a matrix product of 2048
byte_s, cached_byte_s   512 MiB and 4 MiB read and written in place
arithmetic_s    flop / flop_s: the floor, were there no memory
memory_s        product_bytes / cached_byte_s: were all arrays in the cache
Nothing is compiled but the peaks. Compare with step_ms of tools/bench_step.py."""

EXAMPLES = """\
examples:
  python tools/bench_floor.py
  python tools/bench_floor.py --order exact --batch 32
  python tools/bench_floor.py --space nasbench201"""

SIDE, LONG, SHORT, TRIES = 2048, 2**27, 2**20, 7  # of the product; numbers in the arrays
POOL = 9  # pixels of a window


class Work(NamedTuple):
    """Operations; bytes of products, pools and reductions; bytes of everything."""

    flop: float = 0
    product_bytes: float = 0
    all_bytes: float = 0

    def plus(self, other: "Work", times: int = 1) -> "Work":
        return Work(*(a + times * b for a, b in zip(self, other, strict=True)))


def main() -> None:
    parser = bench_case.parser(DESCRIPTION, EXAMPLES)
    options = parser.parse_args()
    with bench_case.one_line_errors(parser):
        print(json.dumps(measure(options)))


def measure(options: argparse.Namespace) -> dict:
    """The object to print. Raises ValueError where jaxnas refuses the sizes."""
    case = bench_case.of(options)
    work = of_jaxpr(bench_case.trace_step(case).traced.jaxpr.jaxpr)
    square = jnp.full((SIDE, SIDE), 1 / SIDE, jnp.float32)
    flop_s = 2 * SIDE**3 / _best(jax.jit(lambda x: x @ x, donate_argnums=0), square)
    add = jax.jit(lambda x: x + 1, donate_argnums=0)
    byte_s, cached = (8 * n / _best(add, jnp.zeros(n, jnp.float32)) for n in (LONG, SHORT))
    return {
        **work._asdict(), "flop_s": flop_s, "byte_s": byte_s, "cached_byte_s": cached,
        "arithmetic_s": work.flop / flop_s, "memory_s": work.product_bytes / cached,
        **bench_case.machine(), "settings": vars(case),
    }  # fmt: skip


def of_jaxpr(jaxpr: Any) -> Work:
    """The work of a program: loops count as often as they run, of branches the dearest."""
    total = Work()
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "cond":
            branches = [of_jaxpr(branch.jaxpr) for branch in eqn.params["branches"]]
            total = total.plus(max(branches, key=lambda work: work.all_bytes))
            continue
        inner = list(_inner(eqn))
        for each in inner:
            total = total.plus(of_jaxpr(each), eqn.params.get("length", 1))
        if not inner:
            total = total.plus(of_equation(eqn))
    return total


def of_equation(eqn: Any) -> Work:
    """The work of one operation."""
    moved = sum(_bytes(v.aval) for v in (*eqn.invars, *eqn.outvars))
    flop = _flop(eqn)
    product = flop or eqn.primitive.name.startswith(("reduce_", "argm"))
    return Work(flop, moved if product else 0, moved)


def _flop(eqn: Any) -> float:
    name, out = eqn.primitive.name, eqn.outvars[0].aval
    shapes = [getattr(v.aval, "shape", ()) for v in eqn.invars]
    if name == "dot_general":
        (contracted, _), _ = eqn.params["dimension_numbers"]
        return 2 * out.size * math.prod(shapes[0][axis] for axis in contracted)
    if name in ("depthwise", "weighted_taps"):
        return 2 * out.size * math.prod(shapes[1][:2])
    if name == "depthwise_kernel_gradient":
        return 2 * math.prod(shapes[1]) * math.prod(out.shape[:2])
    if name == "pointwise":
        return 2 * out.size * shapes[1][0]
    if name == "convolution":
        return 2 * out.size * math.prod(shapes[1][:3])
    if name == "conv_general_dilated":
        layout = eqn.params["dimension_numbers"].rhs_spec
        return 2 * out.size * math.prod(shapes[1]) / shapes[1][layout[0]]
    pooled = name.startswith(("max_pool", "average_pool", "route_to_maximum"))
    return POOL * max(out.size, math.prod(shapes[0])) if pooled else 0


def _inner(eqn: Any) -> Iterator[Any]:
    for value in eqn.params.values():
        for each in value if isinstance(value, tuple | list) else (value,):
            if hasattr(each, "eqns"):
                yield each
            elif hasattr(each, "jaxpr"):
                yield each.jaxpr


def _bytes(aval: Any) -> int:
    return aval.size * aval.dtype.itemsize if hasattr(aval, "dtype") else 0


def _best(function, x: jax.Array) -> float:
    """Seconds of the fastest of a few calls on what the last one left."""
    x, seconds = jax.block_until_ready(function(x)), []
    for _ in range(TRIES):
        start = time.perf_counter()
        x = jax.block_until_ready(function(x))
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    main()
