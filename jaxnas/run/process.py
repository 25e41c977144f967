"""Settings of this process for faster compilation and execution; results do not change."""

import contextlib
import ctypes
import gc
from collections.abc import Iterator

import jax

# glibc's malloc.h.
TRIM_THRESHOLD, MMAP_MAX = -1, -4
UNOPTIMISED = "jax_disable_most_optimizations"  # JAX's setting


def keep_freed_memory() -> bool:
    """Keeps freed memory instead of returning it to the system; whether that was possible.

    XLA:CPU frees a program's temporaries, gigabytes, after every step. Taken back by the system,
    they return page by page, each zeroed: a quarter of a step of the DARTS search network
    (figures: docs/performance.md). Only glibc has this setting.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    return bool(mallopt(MMAP_MAX, 0) and mallopt(TRIM_THRESHOLD, -1))


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Disables garbage collection: tracing makes millions of objects that all stay alive."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextlib.contextmanager
def unoptimised() -> Iterator[None]:
    """Compiles with the fewest optimisations, for programs that are run once or twice."""
    before = jax.config.values[UNOPTIMISED]
    jax.config.update(UNOPTIMISED, True)
    try:
        yield
    finally:
        jax.config.update(UNOPTIMISED, before)
