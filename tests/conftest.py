"""Eight devices for every test, and compiled programs kept from run to run."""

import os
import pathlib

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)
if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    jax.config.update("jax_compilation_cache_dir", str(home / "jaxnas-tests"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
# Compiling is most of the suite's time. Programs as users compile them are those of test_golden, of
# the tests that start processes, and of the README.
jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def optimised():
    """Programs compiled as users compile them."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def x64():
    """Float64 within one test."""
    with jax.enable_x64(True):
        yield
