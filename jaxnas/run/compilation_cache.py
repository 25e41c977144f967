"""Compiled programs kept between processes, in the user's cache folder."""

import hashlib
import os
import platform
import warnings
from pathlib import Path

import jax


def enable() -> Path | None:
    """Switches JAX's persistent compilation cache on for this process; gives its folder.

    The folder is `JAX_COMPILATION_CACHE_DIR` if that is set (set but empty: no cache), else
    `jaxnas/xla-...` in `XDG_CACHE_HOME` or `~/.cache`. None where it cannot be written: the run
    then only compiles for longer. JAX's warnings of broken entries are no longer shown.
    """
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if chosen == "":
        return None
    folder = Path(chosen) if chosen else _default()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(folder, os.W_OK):
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # By default programs that compile within a second are not kept, and we have many.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # JAX writes them in place: what is not whole yet is compiled, as is what a kill cut off, every
    # time (JAX does not replace it). The result is the same, and nobody can do a thing about it.
    warnings.filterwarnings("ignore", "Error reading persistent compilation cache entry")
    return folder


def _default() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "jaxnas" / f"xla-{platform.machine()}-{_cpu()}"


def _cpu() -> str:
    """Eight hex digits of the CPU's features: a home may be shared by unlike machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = [platform.processor()]
    features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(features.encode()).hexdigest()[:8]
