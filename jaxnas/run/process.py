"""What this process is told so that it compiles and runs faster; no result depends on it."""

import contextlib
import ctypes
import gc
from collections.abc import Iterator

import jax

# glibc's malloc.h.
TRIM_THRESHOLD, MMAP_MAX = -1, -4
UNOPTIMISED = "jax_disable_most_optimizations"  # JAX's setting


def keep_freed_memory() -> bool:
    """Keeps freed memory instead of giving it back to the system; whether that was possible.

    XLA:CPU frees a program's temporaries after every step. What the system takes back, gigabytes,
    it gives again page by page, each of them zeroed: a quarter of a step of the DARTS search
    network (figures: docs/performance.md). Only glibc listens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    return bool(mallopt(MMAP_MAX, 0) and mallopt(TRIM_THRESHOLD, -1))


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """No garbage is collected meanwhile: tracing makes millions of objects that all live."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextlib.contextmanager
def unoptimised() -> Iterator[None]:
    """Programs are compiled as fast as XLA can, for what runs each of them once or twice."""
    before = jax.config.values[UNOPTIMISED]
    jax.config.update(UNOPTIMISED, True)
    try:
        yield
    finally:
        jax.config.update(UNOPTIMISED, before)
