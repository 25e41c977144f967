"""The time of one call: programs compiled ahead, then sampled, each call from start to result."""

import contextlib
import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.hardware.programs import Program, filled

WARM_UP_CALLS, WARM_UP_S = (3, 30), 0.02  # at least, at most, and how long between
MOST_CALLS = 1000  # a sample
CHAIN = (4, 24)  # lengths of the two loops whose difference is the device's own time
STEP_S, STEP_FACTOR = 1.0, 100  # a sample longer than both is a clock that was set, or a sleep
STEADY, STEADY_SAMPLES, MOST_WARM_UP = 0.01, 5, 100

Clock = Callable[[], int]  # nanoseconds


class TimedProgram(NamedTuple):
    """A program that can be timed; both functions give NaN where the clock was disturbed."""

    label: str
    sample: Callable[[], float]  # milliseconds of one call, the median of `calls` of them
    chain: Callable[[], tuple[float, float]] | None  # milliseconds of CHAIN's two loops
    calls: int  # in a sample
    facts: dict[str, float]  # what XLA says of the program; NaN: it does not


def local(
    program: Program,
    calls: int | None = None,
    *,
    sample_ms: float = 5.0,
    chain: bool = False,
    clock: Clock = time.perf_counter_ns,
) -> TimedProgram:
    """Compiles a program for this device, warms it up, and sets how many calls make a sample.

    XLA's default options are used, as a deployed program's; `jaxnas search` trains with others.
    A sample is the median of as many `calls` as last about `sample_ms`, unless told; one more,
    before them, brings the program's own data back into the cache. Every call is waited for,
    since queued calls overlap. (Our own choices; the protocol asks for repeated calls alone.)
    `chain` compiles once more: a loop on the device, whose every pass depends on the last.
    """
    arguments = filled(program.arguments)
    compiled = jax.jit(program.function).lower(*arguments).compile()
    call = lambda: jax.block_until_ready(compiled(*arguments))
    expected_ns = _warm_up(call, clock)
    calls = calls or min(MOST_CALLS, max(1, math.ceil(1e6 * sample_ms / expected_ns)))

    def sample() -> float:
        call()
        times = [timed(call, expected_ns, clock) for _ in range(calls)]
        return math.nan if any(map(math.isnan, times)) else statistics.median(times)

    loops = _chain(program, arguments, clock) if chain else None
    return TimedProgram(program.label, sample, loops, calls, facts(compiled))


def timed(call: Callable[[], Any], expected_ns: float, clock: Clock) -> float:
    """Milliseconds of one call, or NaN where `plausible_ms` says so."""
    began = clock()
    call()
    return plausible_ms(clock() - began, expected_ns)


def plausible_ms(elapsed_ns: int, expected_ns: float) -> float:
    """Milliseconds, or NaN for what no call takes: none at all, or seconds of 100 times more."""
    if elapsed_ns <= 0 or elapsed_ns > max(1e9 * STEP_S, STEP_FACTOR * expected_ns):
        return math.nan
    return elapsed_ns / 1e6


def _warm_up(call: Callable[[], Any], clock: Clock) -> float:
    """Nanoseconds of one call: the least, since a busy machine only adds."""
    call()
    times: list[int] = []
    least, most = WARM_UP_CALLS
    while len(times) < least or (len(times) < most and sum(times) < 1e9 * WARM_UP_S):
        began = clock()
        call()
        times.append(clock() - began)
    return max(min(times), 1.0)


def _chain(program: Program, arguments: tuple, clock: Clock) -> Callable[[], tuple[float, float]]:
    *weights, images = arguments

    def run(length, weights, images):
        def once(_, images):
            y = program.function(*weights, images)
            # Without the dependence XLA would drop the body; 1e-9 leaves the values alone.
            mean = sum(jnp.mean(leaf) for leaf in jax.tree.leaves(y))
            return jax.tree.map(lambda x: x + (1e-9 * mean).astype(x.dtype), images)

        return jax.lax.fori_loop(0, length, once, images)

    lengths = [jnp.int32(n) for n in CHAIN]
    compiled = jax.jit(run).lower(lengths[0], weights, images).compile()
    call = lambda n: jax.block_until_ready(compiled(n, weights, images))
    expected = [_warm_up(lambda n=n: call(n), clock) for n in lengths]

    def sample() -> tuple[float, float]:
        first, second = (
            timed(lambda n=n: call(n), expected_ns, clock)
            for n, expected_ns in zip(lengths, expected, strict=True)
        )
        return first, second

    return sample


def slope(chain_ms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(device milliseconds of a pass, overhead of a call), f64[R, P] each, of f64[R, P, 2].

    XLA hoists work that no pass changes (a new layout of the weights) out of the loop, and data
    may stay in the cache: the slope is a lower bound of a call's time, not its replacement.
    """
    short, long = CHAIN
    per_pass = (chain_ms[..., 1] - chain_ms[..., 0]) / (long - short)
    return per_pass, chain_ms[..., 0] - short * per_pass


def steady(ready: TimedProgram) -> bool:
    """Samples a program until five samples lie within 1 %; False if they never did in 100."""
    recent: list[float] = []
    for _ in range(MOST_WARM_UP):
        recent = [*recent[1 - STEADY_SAMPLES :], ready.sample()]
        if len(recent) == STEADY_SAMPLES and max(recent) - min(recent) <= STEADY * min(recent):
            return True
    return False


def visits(
    ready: Sequence[TimedProgram], order: Sequence[int], calls_ms: np.ndarray, chains_ms: np.ndarray
) -> Iterator[int]:
    """Visits programs in the order given and writes f64[P] and f64[P, 2] in place: gives each
    program's index once it is there, so that a round may be saved or left between programs."""
    with _no_garbage():
        for i in order:
            call_ms = ready[i].sample()
            if ready[i].chain is not None:
                chains_ms[i] = ready[i].chain()
            # Last: a program that fails half way is sampled as a whole another time.
            calls_ms[i] = call_ms
            yield i


def one_round(
    ready: Sequence[TimedProgram], order: Sequence[int], calls_ms: np.ndarray, chains_ms: np.ndarray
) -> None:
    """Makes all `visits` without a stop."""
    for _ in visits(ready, order, calls_ms, chains_ms):
        pass


@contextlib.contextmanager
def _no_garbage() -> Iterator[None]:
    """Python's collector waits for the end of the round."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


FACTS = ("flops", "bytes", "temp_bytes", "convolutions", "products", "fusions", "windows")


def facts(compiled: jax.stages.Compiled) -> dict[str, float]:
    """What XLA says of a program, as far as the backend does: FACTS, the others NaN.

    Floating-point operations and bytes by its cost analysis; its temporary memory; and how many
    convolutions, matrix products, fusions and window reductions its optimised text has.
    """
    found = dict.fromkeys(FACTS, math.nan)
    costs = compiled.cost_analysis() or {}
    found["flops"] = costs.get("flops", math.nan)
    found["bytes"] = costs.get("bytes accessed", math.nan)
    if (plan := compiled.memory_analysis()) is not None:
        found["temp_bytes"] = float(plan.temp_size_in_bytes)
    if text := compiled.as_text():
        words = {
            "convolutions": " convolution(", "products": " dot(",
            "fusions": " fusion(", "windows": " reduce-window(",
        }  # fmt: skip
        found |= {name: float(text.count(word)) for name, word in words.items()}
    return found
