"""Runs of several steps: one program on the device, or one program a step."""

import hashlib
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core import host_init
from jaxnas.run import process

State = Any
Update = Callable[..., tuple[State, dict[str, jax.Array]]]  # (state, *operands)

# Programs that are run once or twice compile faster than they gain by optimisation.
UNOPTIMISED = {"xla_backend_optimization_level": 0}
MAX_CHUNK_S = 1.0  # a chunk of single steps ends after so long


class Execution(NamedTuple):
    """The execution mode of steps; the last digits of a result depend on it.

    Mode `scan` runs a chunk as one `lax.scan`, `step` calls one compiled step after another: on
    the CPU convolution gradients are an order slower inside a loop (jax-ml/jax#12868).
    """

    mode: str
    chunk_steps: int


class StepRunner(NamedTuple):
    """`run(state, steps, should_stop) -> (state, steps done, {name: f32[steps done]})`.

    `state` is donated. In mode `step` a chunk ends early once `should_stop()` is true.
    `compile(state, steps)` makes the program that `run` uses for so many steps, once, whichever
    thread asks for it first; `digest(steps)` is (steps, SHA-256) of the program as XLA is given
    it, once compiled.
    """

    run: Callable[[State, int, Callable[[], bool]], tuple[State, int, dict[str, np.ndarray]]]
    compile: Callable[[State, int], jax.stages.Compiled]
    is_compiled: Callable[[int], bool]
    digest: Callable[[int], tuple[int, str]]


def execution(
    steps_per_epoch: int, mode: str | None = None, chunk_steps: int | None = None
) -> Execution:
    """The given execution, or the default of this backend.

    By default `step` on the CPU and `scan` elsewhere, in chunks of at most 50 steps that divide
    the epoch if possible, since each other length is one more compilation. Raises ValueError
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

    On the CPU LLVM's optimisation level 1, with a quarter less compilation time for equally fast
    steps, and vectors of 512 bits if supported (figures: docs/performance.md). None if JAX's
    setting disables most optimisations, which these options would override.
    """
    if jax.default_backend() != "cpu" or jax.config.values[process.UNOPTIMISED]:
        return {}
    return {"xla_backend_optimization_level": 1, "xla_cpu_prefer_vector_width": 512}


def first_state(init: Callable[..., Any], *arguments: Any) -> Any:
    """`init(*arguments)`, by NumPy where it can, else compiled; without optimisation on the CPU."""
    state = host_init.evaluate(init, *arguments)
    if state is not None:
        return state
    options = UNOPTIMISED if jax.default_backend() == "cpu" else None
    return jax.jit(init).lower(*arguments).compile(options)(*arguments)


def chunk_length(step: int, total_steps: int, steps_per_epoch: int, chunk_steps: int) -> int:
    """Steps to the end of the chunk that holds `step`; chunks count from each epoch's start."""
    in_epoch = step % steps_per_epoch
    to_chunk_end = chunk_steps - in_epoch % chunk_steps
    return min(to_chunk_end, steps_per_epoch - in_epoch, total_steps - step)


def make_runner(update: Update, operands: tuple, mode: str) -> StepRunner:
    """A runner of `update(state, *operands) -> (state, metrics)`, compiled when first run.

    Data belong in `operands`: arrays that `update` closes over become constants of the program.
    Raises ValueError, when compiling, if `update` returns a state of another structure, other
    shapes or dtypes, or a metric that is no scalar.
    """
    programs: dict[int, jax.stages.Compiled] = {}
    digests: dict[int, str] = {}
    lock = threading.Lock()

    def one_step(state, *operands):
        new_state, metrics = update(state, *operands)
        _check_update(state, new_state, metrics)
        return new_state, metrics

    def many_steps(length: int):
        def program(state, *operands):
            return jax.lax.scan(lambda s, _: one_step(s, *operands), state, length=length)

        return program

    def program_length(steps: int) -> int:
        return steps if mode == "scan" else 1

    def compiled(state: State, steps: int) -> jax.stages.Compiled:
        length = program_length(steps)
        with lock:  # another thread may be compiling it ahead
            if length not in programs:
                program = many_steps(length) if mode == "scan" else one_step
                # With other shardings the next call would not accept the state.
                shardings = (jax.tree.map(lambda leaf: leaf.sharding, state), None)
                jitted = jax.jit(program, donate_argnums=0, out_shardings=shardings)
                with process.no_garbage_collection():
                    lowered = jitted.lower(state, *operands)
                    # Without positions in source files, so that moving code changes nothing.
                    digests[length] = hashlib.sha256(lowered.as_text().encode()).hexdigest()
                    programs[length] = lowered.compile(compiler_options())
            return programs[length]

    def scan(state, steps, should_stop):
        state, metrics = compiled(state, steps)(state, *operands)
        jax.block_until_ready(state.step)
        return state, steps, jax.device_get(metrics)

    def step_by_step(state, steps, should_stop):
        program, rows, end_s = compiled(state, steps), [], time.monotonic() + MAX_CHUNK_S
        for _ in range(steps):
            state, metrics = program(state, *operands)
            rows.append(metrics)
            if len(rows) > 1:
                jax.block_until_ready(rows[-2])  # at most one step ahead of the device
            if should_stop() or time.monotonic() > end_s:
                break
        jax.block_until_ready(state.step)
        rows = jax.device_get(rows)
        return state, len(rows), {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    return StepRunner(
        scan if mode == "scan" else step_by_step,
        compiled,
        lambda steps: program_length(steps) in programs,
        lambda steps: (program_length(steps), digests[program_length(steps)]),
    )


def own_copy(state: State) -> State:
    """A copy to donate, which shares no buffer and has no weak dtype."""
    return jax.tree.map(lambda leaf: jnp.array(leaf, leaf.dtype, copy=True), _arrays(state))


def _arrays(state: State) -> State:
    return jax.tree.map(lambda x: x if isinstance(x, jax.Array) else jnp.asarray(x), state)


def _check_update(state: State, new_state: State, metrics: dict[str, jax.Array]) -> None:
    """Raises ValueError unless `update` kept the state's structure, and metrics are scalars."""
    old_leaves, old_tree = jax.tree_util.tree_flatten_with_path(state)
    new_leaves, new_tree = jax.tree_util.tree_flatten_with_path(new_state)
    if old_tree != new_tree:
        raise ValueError("`update` gives back a state of another structure than it was given.")
    for (path, old), (_, new) in zip(old_leaves, new_leaves, strict=True):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            raise ValueError(
                f"`update` turns {jax.tree_util.keystr(path)} from {old.dtype}{list(old.shape)} "
                f"into {new.dtype}{list(new.shape)}: a step keeps shapes and dtypes."
            )
    for name, metric in metrics.items():
        if jnp.shape(metric):
            raise ValueError(f"Metric {name} has shape {jnp.shape(metric)}: give a scalar.")
