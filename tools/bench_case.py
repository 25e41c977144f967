"""A case to measure: one search step of one net at one size, its options and its machine."""

import argparse
import contextlib
import dataclasses
import functools
import importlib
import importlib.metadata
import math
import os
import pathlib
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core import hypergrad
from jaxnas.core.types import Batch, Search, Supernet
from jaxnas.methods import darts as darts_method
from jaxnas.methods import pc_darts
from jaxnas.run import process, step_runner

# PC-DARTS from its first step on, without the epochs that leave the architecture as it is.
METHODS = {
    "darts": darts_method.darts,
    "pc-darts": functools.partial(pc_darts.pc_darts, warm_up=0),
}
NETS = {"darts": {}, "pc-darts": {"partial": pc_darts.PARTIAL}}  # settings of their supernets
ORDERS = {
    "first": hypergrad.first_order,
    "exact": hypergrad.unrolled,
    "finite-difference": hypergrad.finite_difference,
}
DTYPES = ("float32", "float64", "bfloat16")
SPACES = {"darts": 8, "nasbench201": 5}  # cells, as in the papers (201: in each stage)
CLASSES = 10
TRAINING_IMAGES = 25_000  # half of CIFAR-10's: only the length of an epoch comes from it


@dataclasses.dataclass(frozen=True)
class Case:
    """The options of the command line, as they are printed with the result."""

    space: str
    method: str
    order: str
    features: int
    cells: int
    batch: int
    image_size: int
    dtype: str


class Compiled(NamedTuple):
    """A step ready to run, and what it took: seconds and bytes."""

    search: Search
    step: jax.stages.Compiled
    seconds: dict[str, float]
    bytes: dict[str, int]


class Traced(NamedTuple):
    """A step that is traced, and when that began, was prepared and ended."""

    search: Search
    traced: jax.stages.Traced
    marks: list[float]


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, then exits with 2."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message}\n")


def parser(description: str, examples: str) -> Parser:
    """The options both benches share."""
    options = Parser(
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = options.add_argument
    add("--space", choices=SPACES, default="darts", help="search space (darts)")
    add("--method", choices=METHODS, default="darts", help="search method (darts)")
    add("--order", choices=ORDERS, default="first", help="rule of the hypergradient (first)")
    add("--features", "--channels", type=natural, default=16, help="first channels, C (16)")
    add("--cells", type=natural, help="cells (8), for nasbench201 in each stage (5)")
    add("--batch", type=natural, default=64, help="images in each of the two batches (64)")
    add("--image-size", type=natural, default=32, help="height and width in pixels (32)")
    add("--dtype", choices=DTYPES, default="float32", help="of weights and images (float32)")
    return options


def natural(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def of(options: argparse.Namespace) -> Case:
    """The case that the options describe; switches on 64 bits where they ask for it."""
    case = Case(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Case)})
    jax.config.update("jax_enable_x64", case.dtype == "float64")
    return dataclasses.replace(case, cells=case.cells or SPACES[case.space])


def supernet(case: Case) -> Supernet:
    """The net of the case. Raises ValueError where jaxnas refuses its sizes."""
    nets = importlib.import_module(f"jaxnas.spaces.{case.space}.supernet")
    sizes = {"features": case.features, "cells": case.cells, "classes": CLASSES}
    return nets.supernet(**sizes, **NETS[case.method])


def compile_step(case: Case) -> Compiled:
    """Traces, lowers and compiles the step as a run does, from shapes alone. See `trace_step`."""
    process.keep_freed_memory()
    with process.no_garbage_collection():
        search, traced, marks = trace_step(case)
        lowered = traced.lower()
        marks.append(time.perf_counter())
        step = lowered.compile(step_runner.compiler_options())
        marks.append(time.perf_counter())
    names = ("init_shapes_s", "trace_s", "lower_s", "compile_s")
    seconds = dict(zip(names, np.diff(marks).tolist(), strict=True))
    return Compiled(search, step, seconds, _bytes(step))


def trace_step(case: Case) -> Traced:
    """Traces the step from shapes. Raises ValueError if the net does not keep the case's dtype."""
    search = METHODS[case.method](
        supernet(case),
        steps_per_epoch=math.ceil(TRAINING_IMAGES / case.batch),
        hypergrad=ORDERS[case.order](),
    )
    shape = (case.batch, case.image_size, case.image_size, 3)
    batch = Batch(
        jax.ShapeDtypeStruct(shape, jnp.dtype(case.dtype)),
        jax.ShapeDtypeStruct((case.batch,), jnp.int32),
    )
    jax.devices()  # so that starting the backend is not counted as tracing
    marks = [time.perf_counter()]
    state = jax.eval_shape(initial(search, case), jax.random.key(0), batch.inputs)
    marks.append(time.perf_counter())
    traced = jax.jit(search.update, donate_argnums=0).trace(state, batch, batch)
    marks.append(time.perf_counter())
    _check_dtypes(case, state, traced.out_info[0])
    return Traced(search, traced, marks)


def initial(search: Search, case: Case):
    """`search.init` with its real numbers in the case's dtype."""
    dtype = jnp.dtype(case.dtype)

    def cast(leaf):
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return lambda key, inputs: jax.tree.map(cast, search.init(key, inputs))


def images(case: Case, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Standard normal images `f32[B, H, W, 3]` and random labels `i32[B]`."""
    random = np.random.default_rng(seed)
    shape = (case.batch, case.image_size, case.image_size, 3)
    labels = random.integers(CLASSES, size=case.batch, dtype=np.int32)
    return random.standard_normal(shape, dtype=np.float32), labels


@contextlib.contextmanager
def one_line_errors(options: Parser) -> Iterator[None]:
    """Ends the process with one line for what the caller can cure."""
    try:
        yield
    except (ValueError, ImportError, FloatingPointError) as error:
        options.error(str(error))
    except RuntimeError as error:
        # JAX, torch on a GPU and torch on a CPU have no error class for this in common.
        wants = ("RESOURCE_EXHAUSTED", "out of memory", "can't allocate memory")
        if not any(words in str(error) for words in wants):
            raise
        options.error("there is not enough memory: try a smaller --batch or fewer --cells")


def machine() -> dict:
    """Where the numbers come from: device, cores, versions and flags of XLA."""
    device = jax.devices()[0]
    kind = _processor() if device.platform == "cpu" else device.device_kind
    packages = ("jax", "jaxlib", "flax", "optax", "torch")
    versions = {"python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "device": kind,
        "platform": device.platform,
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "load": os.getloadavg()[0],
        "versions": versions,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def others_share(children_s: Callable[[], float]) -> Callable[[], float | None]:
    """Starts a clock that tells the share of all cores that other processes took since.

    `children_s` tells the processor seconds of this process's live children so far. None where
    the system keeps no /proc/stat.
    """
    start, children_start = _processor_seconds(), children_s()

    def read() -> float | None:
        if start is None:
            return None
        spent, own, total = np.subtract(_processor_seconds(), start)
        own += children_s() - children_start
        return max(0.0, float((spent - own) / total)) if total else 0.0

    return read


def peak_rss_bytes() -> int:
    """The most memory this process has held on the host so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _bytes(step: jax.stages.Compiled) -> dict[str, int]:
    memory = step.memory_analysis()
    return {
        "temp_bytes": memory.temp_size_in_bytes,
        "argument_bytes": memory.argument_size_in_bytes,
        "output_bytes": memory.output_size_in_bytes,
        "alias_bytes": memory.alias_size_in_bytes,
        "code_bytes": memory.generated_code_size_in_bytes,
    }


def _check_dtypes(case: Case, before, after) -> None:
    changed = {
        f"{old.dtype} to {new.dtype}"
        for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
        if old.dtype != new.dtype
    }
    if changed:
        raise ValueError(
            f"The step does not stay in {case.dtype} (it turns {', '.join(sorted(changed))}): "
            "choose --dtype float32."
        )


def _processor_seconds() -> tuple[float, float, float] | None:
    """Seconds of all cores that were busy, that were ours, and that there were."""
    path = pathlib.Path("/proc/stat")
    if not path.exists():
        return None
    ticks = [int(field) for field in path.read_text().splitlines()[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    per_second = os.sysconf("SC_CLK_TCK")
    own = os.times()
    return (sum(ticks) - idle) / per_second, own.user + own.system, sum(ticks) / per_second


def _processor() -> str:
    path = pathlib.Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
