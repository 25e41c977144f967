"""A chunk of steps: one program on the device, or one program a step."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.run import process

State = Any
Update = Callable[..., tuple[State, dict[str, jax.Array]]]  # (state, *operands)

MAX_CHUNK_S = 1.0  # after so long a stepped chunk gives the host its turn
UNOPTIMISED_INIT = {"xla_backend_optimization_level": 0}  # random draws compile ten times faster so


class Execution(NamedTuple):
    """How steps are run; the last digits of a result depend on it.

    `scan` runs a chunk as one `lax.scan`. `step` calls one compiled step after another; on the
    CPU convolution gradients are an order slower inside a loop (jax-ml/jax#12868).
    """

    mode: str
    chunk_steps: int


class StepRunner(NamedTuple):
    """`run(state, steps, enough) -> (state, steps done, {name: f32[steps done]})`.

    `state` is donated. A stepped chunk ends early, after a step, where `enough()` says so.
    `compile(state, steps)` makes the program that `run` takes for so many steps.
    """

    run: Callable[[State, int, Callable[[], bool]], tuple[State, int, dict[str, np.ndarray]]]
    compile: Callable[[State, int], jax.stages.Compiled]
    is_compiled: Callable[[int], bool]


def execution(
    steps_per_epoch: int, mode: str | None = None, chunk_steps: int | None = None
) -> Execution:
    """The execution of this backend, or the one that is asked for.

    By default `step` on the CPU and `scan` elsewhere, in chunks of at most 50 steps that divide
    the epoch if they can, since each other length is one more compilation. Raises ValueError
    for an unknown mode and for lengths below one.
    """
    mode = mode or ("step" if jax.default_backend() == "cpu" else "scan")
    if mode not in ("scan", "step"):
        raise ValueError(f"Steps run by 'scan' or 'step', not {mode!r}.")
    if steps_per_epoch < 1:
        raise ValueError(f"An epoch has at least one step, not {steps_per_epoch}.")
    if chunk_steps is None:
        lengths = range(min(50, steps_per_epoch), 0, -1)
        divisor = next(length for length in lengths if steps_per_epoch % length == 0)
        chunk_steps = divisor if 4 * divisor > lengths[0] else lengths[0]
    if chunk_steps < 1:
        raise ValueError(f"A chunk has at least one step, not {chunk_steps}.")
    return Execution(mode, min(chunk_steps, steps_per_epoch))


def compiler_options() -> dict[str, int]:
    """XLA's options for the program of a step on this backend.

    On the CPU LLVM's first level, a quarter less compilation for steps that are no slower, and
    vectors of 512 bits where there are any (figures: docs/performance.md). None where JAX is told
    to leave most optimisations out, which they would bring back.
    """
    if jax.default_backend() != "cpu" or jax.config.values[process.UNOPTIMISED]:
        return {}
    return {"xla_backend_optimization_level": 1, "xla_cpu_prefer_vector_width": 512}


def init_compiled(init: Callable[..., Any], *arguments: Any) -> Any:
    """`init(*arguments)`, compiled; on the CPU without optimisation."""
    hasty = UNOPTIMISED_INIT if jax.default_backend() == "cpu" else None
    return jax.jit(init).lower(*arguments).compile(hasty)(*arguments)


def chunk_length(step: int, total_steps: int, steps_per_epoch: int, chunk_steps: int) -> int:
    """Steps to the next boundary of the grid, which is laid anew from each epoch's start."""
    within = step % steps_per_epoch
    return min(chunk_steps - within % chunk_steps, steps_per_epoch - within, total_steps - step)


def make_runner(update: Update, operands: tuple, mode: str) -> StepRunner:
    """The chunks of `update(state, *operands) -> (state, metrics)`, compiled when first run.

    Raises ValueError if `update` gives back a state of other shapes or dtypes, or a metric
    that is no scalar.
    """
    programs: dict[int, jax.stages.Compiled] = {}

    def one(state, *operands):
        after, metrics = update(state, *operands)
        _check(state, after, metrics)
        return after, metrics

    def many(length: int):
        def program(state, *operands):
            return jax.lax.scan(lambda s, _: one(s, *operands), state, length=length)

        return program

    def length_of(steps: int) -> int:
        return steps if mode == "scan" else 1

    def compiled(state: State, steps: int) -> jax.stages.Compiled:
        length = length_of(steps)
        if length not in programs:
            program = many(length) if mode == "scan" else one
            # The state comes back as it was laid out, else the next call would not take it.
            layouts = (jax.tree.map(lambda leaf: leaf.sharding, state), None)
            jitted = jax.jit(program, donate_argnums=0, out_shardings=layouts)
            with process.no_garbage_collection():
                programs[length] = jitted.lower(state, *operands).compile(compiler_options())
        return programs[length]

    def scan(state, steps, enough):
        state, measured = compiled(state, steps)(state, *operands)
        _arrived(state)
        return state, steps, jax.device_get(measured)

    def step_by_step(state, steps, enough):
        program, rows, until = compiled(state, steps), [], time.monotonic() + MAX_CHUNK_S
        for _ in range(steps):
            state, measured = program(state, *operands)
            rows.append(measured)
            if len(rows) > 1:
                jax.block_until_ready(rows[-2])  # one step ahead of the device, no more
            if enough() or time.monotonic() > until:
                break
        _arrived(state)
        host = jax.device_get(rows)
        return state, len(rows), {name: np.stack([row[name] for row in host]) for name in host[0]}

    return StepRunner(
        scan if mode == "scan" else step_by_step,
        compiled,
        lambda steps: length_of(steps) in programs,
    )


def _arrived(state: State) -> None:
    jax.block_until_ready(state.step)


def own_copy(state: State) -> State:
    """A copy to donate: no buffer of it is shared, and no dtype of it is weak."""
    return jax.tree.map(lambda leaf: jnp.array(leaf, leaf.dtype, copy=True), _arrays(state))


def _arrays(state: State) -> State:
    return jax.tree.map(lambda x: x if isinstance(x, jax.Array) else jnp.asarray(x), state)


def _check(state: State, after: State, metrics: dict[str, jax.Array]) -> None:
    before, after = (jax.tree_util.tree_flatten_with_path(tree) for tree in (state, after))
    if before[1] != after[1]:
        raise ValueError("`update` gives back a state of another structure than it was given.")
    for (path, old), (_, new) in zip(before[0], after[0], strict=True):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            raise ValueError(
                f"`update` turns {jax.tree_util.keystr(path)} from {old.dtype}{list(old.shape)} "
                f"into {new.dtype}{list(new.shape)}: a step keeps shapes and dtypes."
            )
    for name, metric in metrics.items():
        if jnp.shape(metric):
            raise ValueError(f"Metric {name} has shape {jnp.shape(metric)}: give a scalar.")
