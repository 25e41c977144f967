"""JAX's persistent compilation cache, in the user's cache folder."""

import hashlib
import os
import platform
import warnings
from pathlib import Path

import jax


def enable() -> Path | None:
    """Enables the cache for this process; returns its folder.

    The folder is `JAX_COMPILATION_CACHE_DIR` if that is set (set but empty: no cache), else
    `jaxnas/xla-...` in `XDG_CACHE_HOME` or `~/.cache`. None where it cannot be written or there is
    no home: the run then only compiles for longer. JAX's warnings of broken entries are filtered
    out.
    """
    from_environment = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if from_environment == "":
        return None
    try:
        folder = Path(from_environment) if from_environment else _default_folder()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # no home folder is a RuntimeError
        return None
    if not os.access(folder, os.W_OK):
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # By default programs that compile within a second are not kept, and there are many.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # JAX writes entries in place, so that another process may see a part, and a kill leaves one,
    # which JAX never replaces. It then compiles: the result is the same, the warning of no use.
    warnings.filterwarnings("ignore", "Error reading persistent compilation cache entry")
    return folder


def _default_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "jaxnas" / f"xla-{platform.machine()}-{_cpu_digest()}"


def _cpu_digest() -> str:
    """Eight hex digits of the CPU's features: unlike machines may share a home."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = [platform.processor()]
    features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(features.encode()).hexdigest()[:8]
