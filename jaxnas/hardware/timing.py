"""Wall-clock timing of compiled programs: samples for campaigns, and one network's inference."""

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

from jaxnas.core.types import Network, Stats, Weights
from jaxnas.hardware.programs import Program, filled

MAX_CALLS = 1000  # in a sample
LOOP_LENGTHS = (4, 24)  # of two loops; their difference is the time on the device alone
# A call above both limits is invalid: the clock was set, or the machine slept.
MAX_CALL_S, MAX_CALL_FACTOR = 1.0, 100
STEADY_TOLERANCE, STEADY_SAMPLES, MAX_WARM_UP_SAMPLES = 0.01, 5, 100
FACTS = ("flops", "bytes", "temp_bytes", "convolutions", "products", "fusions", "windows")

Clock = Callable[[], int]  # nanoseconds


class CallBudget(NamedTuple):
    """Calls are repeated for `seconds`, at least `min_calls` and at most `max_calls` times."""

    min_calls: int
    max_calls: float
    seconds: float


WARM_UP = CallBudget(3, 30, 0.02)
SAMPLE_MS = 5.0  # duration of a sample
# Of one network alone: samples as in a campaign's rounds, until the median is known so well.
MIN_SAMPLES, MAX_SAMPLES, ERROR_LIMIT = 20, 100, 0.01
MAX_WARM_UP_S, MAX_INFERENCE_S = 0.5, 2.0  # beyond them no more samples than MIN_SAMPLES


class TimedProgram(NamedTuple):
    """A compiled program to time; both functions give NaN for a sample spoilt by the clock."""

    label: str
    sample: Callable[[], float]  # milliseconds of one call, the median of `calls` of them
    loops: Callable[[], tuple[float, float]] | None  # milliseconds of the two LOOP_LENGTHS
    calls: int  # in a sample
    facts: dict[str, float]  # FACTS by the compiler; NaN: not reported


class Milliseconds(NamedTuple):
    median: float
    low: float  # quartiles
    high: float
    repetitions: int


def inference(
    net: Network, weights: Weights, stats: Stats, image: tuple[int, int, int], batch: int = 1
) -> Milliseconds:
    """The latency of `net.infer` on `batch` images, compiled ahead, from call to result.

    Sampled as a program of a campaign: warmed up until five samples lie within 1 %, each sample the
    median of as many calls as last 5 ms after one that is not timed, without garbage collection, 20
    to 100 samples, until their median is known to 1 %. It is the clock's time, not on a campaign's
    scale. Wide quartiles mean that the device was busy, and the median of little use. Raises
    ValueError where the clock spoilt every sample.
    """
    inputs = jnp.zeros((batch, *image), jnp.float32)
    compiled = jax.jit(net.infer).lower(weights, stats, inputs).compile()
    sample, calls = _sampler(
        lambda: jax.block_until_ready(compiled(weights, stats, inputs)), None, SAMPLE_MS,
        time.perf_counter_ns,
    )  # fmt: skip
    warm_up(TimedProgram("network", sample, None, calls, {}), MAX_WARM_UP_S)
    return median_of(sample)


def median_of(
    sample: Callable[[], float], clock: Callable[[], float] = time.monotonic
) -> Milliseconds:
    """The median of 20 to 100 samples, fewer than 100 once it is known to 1 % or 2 s have passed.

    NaN samples are left out. Raises ValueError where all are NaN.
    """
    times: list[float] = []
    began_s = clock()
    with _without_garbage_collection():
        while len(times) < MAX_SAMPLES:
            times.append(sample())
            if len(times) >= MIN_SAMPLES and (
                clock() - began_s > MAX_INFERENCE_S or _relative_error(times) <= ERROR_LIMIT
            ):
                break
    valid = [ms for ms in times if not math.isnan(ms)]
    if not valid:
        raise ValueError("The clock was set during every sample of the network: time it again.")
    low, median, high = np.quantile(valid, [0.25, 0.5, 0.75]).tolist()
    return Milliseconds(median, low, high, len(valid))


def _relative_error(times: Sequence[float]) -> float:
    """The relative standard error of the median, by the MAD; infinite without valid times."""
    valid = np.array([ms for ms in times if not math.isnan(ms)])
    if not len(valid):
        return math.inf
    median = float(np.median(valid))
    spread = 1.4826 * float(np.median(np.abs(valid - median)))
    return 1.2533 * spread / math.sqrt(len(valid)) / median


def prepare(
    program: Program,
    calls: int | None = None,
    *,
    sample_ms: float = SAMPLE_MS,
    loops: bool = False,
    clock: Clock = time.perf_counter_ns,
) -> TimedProgram:
    """Compiles a program for this device, warms it up, and sets how many calls make a sample.

    XLA's default options are used, as for a deployed program; `jaxnas search` trains with others.
    A sample is the median of as many calls as last about `sample_ms`, unless `calls` are given;
    one call before them brings the program's data back into the cache. Every call is waited
    for, since queued calls overlap. (Our choices; the protocol only asks for repeated calls.)
    `loops` compiles a loop on the device as well, whose every pass depends on the last.
    """
    arguments = filled(program.arguments)
    compiled = jax.jit(program.function).lower(*arguments).compile()
    call = lambda: jax.block_until_ready(compiled(*arguments))
    sample, calls = _sampler(call, calls, sample_ms, clock)
    sample_loops = _prepare_loops(program, arguments, clock) if loops else None
    return TimedProgram(program.label, sample, sample_loops, calls, facts(compiled))


def _sampler(
    call: Callable[[], Any], calls: int | None, sample_ms: float, clock: Clock
) -> tuple[Callable[[], float], int]:
    """(sample, calls in it): the median of calls that last `sample_ms`, after an untimed one."""
    expected_ns = _expected_ns(call, clock)
    count = calls or min(MAX_CALLS, max(1, math.ceil(1e6 * sample_ms / expected_ns)))

    def sample() -> float:
        call()
        times = [_time_call(call, expected_ns, clock) for _ in range(count)]
        return math.nan if any(map(math.isnan, times)) else statistics.median(times)

    return sample, count


def plausible_ms(elapsed_ns: int, expected_ns: float) -> float:
    """Milliseconds, or NaN unless positive and below 1 s or 100 times the expectation."""
    if elapsed_ns <= 0 or elapsed_ns > max(1e9 * MAX_CALL_S, MAX_CALL_FACTOR * expected_ns):
        return math.nan
    return elapsed_ns / 1e6


def _time_call(call: Callable[[], Any], expected_ns: float, clock: Clock) -> float:
    """Milliseconds of one call, or NaN where `plausible_ms` says so."""
    began = clock()
    call()
    return plausible_ms(clock() - began, expected_ns)


def _time_calls(call: Callable[[], Any], budget: CallBudget, clock: Clock) -> list[int]:
    """Nanoseconds of each call within a budget."""
    times: list[int] = []
    total = 0
    while len(times) < budget.min_calls or (
        len(times) < budget.max_calls and total < 1e9 * budget.seconds
    ):
        began = clock()
        call()
        times.append(clock() - began)
        total += times[-1]
    return times


def _expected_ns(call: Callable[[], Any], clock: Clock) -> float:
    """Nanoseconds of one call after a first one: the minimum, since load only adds time."""
    call()
    return max(min(_time_calls(call, WARM_UP, clock)), 1.0)


def _prepare_loops(
    program: Program, arguments: tuple, clock: Clock
) -> Callable[[], tuple[float, float]]:
    *weights, images = arguments

    def run(length, weights, images):
        def once(_, images):
            y = program.function(*weights, images)
            # Without the dependence XLA would drop the body; 1e-9 leaves the values alone.
            mean = sum(jnp.mean(leaf) for leaf in jax.tree.leaves(y))
            return jax.tree.map(lambda x: x + (1e-9 * mean).astype(x.dtype), images)

        return jax.lax.fori_loop(0, length, once, images)

    lengths = [jnp.int32(n) for n in LOOP_LENGTHS]
    compiled = jax.jit(run).lower(lengths[0], weights, images).compile()
    call = lambda n: jax.block_until_ready(compiled(n, weights, images))
    expected = [_expected_ns(lambda n=n: call(n), clock) for n in lengths]

    def sample() -> tuple[float, float]:
        short, long = (
            _time_call(lambda n=n: call(n), expected_ns, clock)
            for n, expected_ns in zip(lengths, expected, strict=True)
        )
        return short, long

    return sample


def slope(loops_ms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(device milliseconds of a pass, overhead of a call), f64[R, P] each, of f64[R, P, 2].

    XLA hoists loop-invariant work (a new layout of the weights) out of the loop, and data may stay
    in the cache: the slope is a lower bound of a call's time, not its replacement.
    """
    short, long = LOOP_LENGTHS
    per_pass = (loops_ms[..., 1] - loops_ms[..., 0]) / (long - short)
    return per_pass, loops_ms[..., 0] - short * per_pass


def warm_up(program: TimedProgram, seconds: float = math.inf) -> bool:
    """Samples a program until five samples lie within 1 %; False if they never did.

    That is, in 100 samples, or in `seconds`.
    """
    recent: list[float] = []
    began_s = time.monotonic()
    for _ in range(MAX_WARM_UP_SAMPLES):
        recent = [*recent[1 - STEADY_SAMPLES :], program.sample()]
        if len(recent) == STEADY_SAMPLES and max(recent) - min(recent) <= STEADY_TOLERANCE * min(
            recent
        ):
            return True
        if time.monotonic() - began_s > seconds:
            break
    return False


def sample_each(
    programs: Sequence[TimedProgram],
    order: Sequence[int],
    calls_ms: np.ndarray,
    loops_ms: np.ndarray,
) -> Iterator[int]:
    """Samples programs in the given order and writes f64[P] and f64[P, 2] in place.

    Yields each program's index once its times are written, so that a round may be saved or
    interrupted between programs.
    """
    with _without_garbage_collection():
        for i in order:
            call_ms = programs[i].sample()
            if programs[i].loops is not None:
                loops_ms[i] = programs[i].loops()
            # Written last: a program that fails half-way counts as not sampled.
            calls_ms[i] = call_ms
            yield i


def sample_round(
    programs: Sequence[TimedProgram],
    order: Sequence[int],
    calls_ms: np.ndarray,
    loops_ms: np.ndarray,
) -> None:
    """Samples all programs once, in the given order: a round of `sample_each`."""
    for _ in sample_each(programs, order, calls_ms, loops_ms):
        pass


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def facts(compiled: jax.stages.Compiled) -> dict[str, float]:
    """FACTS of a compiled program; NaN where XLA's backend does not report one.

    Floating-point operations and bytes by the cost analysis; temporary memory; and the number of
    convolutions, matrix products, fusions and window reductions in the optimised text.
    """
    values = dict.fromkeys(FACTS, math.nan)
    costs = compiled.cost_analysis() or {}
    values["flops"] = costs.get("flops", math.nan)
    values["bytes"] = costs.get("bytes accessed", math.nan)
    if (memory := compiled.memory_analysis()) is not None:
        values["temp_bytes"] = float(memory.temp_size_in_bytes)
    if text := compiled.as_text():
        patterns = {
            "convolutions": " convolution(", "products": " dot(",
            "fusions": " fusion(", "windows": " reduce-window(",
        }  # fmt: skip
        values |= {name: float(text.count(pattern)) for name, pattern in patterns.items()}
    return values
