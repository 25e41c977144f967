"""The identity of a measuring device: hardware, threads, compiler versions and flags."""

import importlib.metadata
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

# A campaign continues only where all of these are equal: others mean other programs or devices.
IDENTITY = ("platform", "kind", "host_cpu", "jax", "jaxlib", "XLA_FLAGS", "threads", "precision")


def this_device() -> dict[str, Any]:
    """The default device as JSON values; `threads` are those of XLA's CPU operations."""
    device = jax.devices()[0]
    return {
        "platform": device.platform,
        "kind": device.device_kind,
        "host_cpu": _cpu_model(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "jax": importlib.metadata.version("jax"),
        "jaxlib": importlib.metadata.version("jaxlib"),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        "compiler_options": "XLA's defaults",
        "threads": threads() if device.platform == "cpu" else None,
        "precision": str(jax.config.jax_default_matmul_precision or "default"),
    }


def description(device: Mapping[str, Any]) -> str:
    """The device in a few words: its name, and the threads of a CPU."""
    name = device["host_cpu"] if device["platform"] == "cpu" else device["kind"]
    count = device.get("threads")
    return f"{name}, {count} thread{'s' * (count != 1)}" if count else str(name)


def threads() -> int:
    """How many threads XLA's CPU operations may use: the CPUs that this process may run on.

    XLA takes NPROC instead where it is set; `--xla_cpu_multi_thread_eigen=false` leaves one.
    """
    if re.search(r"--xla_cpu_multi_thread_eigen=(false|0)\b", os.environ.get("XLA_FLAGS", "")):
        return 1
    nproc = os.environ.get("NPROC", "")
    if nproc.isdecimal() and int(nproc) > 0:
        return int(nproc)
    return len(_affinity())


def host_cpu() -> str:
    """This machine's CPU, and how many of its cores this process may use, in a few words."""
    count = len(_affinity())
    return f"{_cpu_model()}, {count} core{'s' * (count != 1)}"


def pin(count: int) -> None:
    """Restricts this process to its first `count` CPUs.

    Call it before JAX opens its devices, which is when XLA counts CPUs. Raises ValueError for more
    CPUs than available, and where the affinity cannot be set.
    """
    cpus = sorted(_affinity())
    if not 1 <= count <= len(cpus):
        raise ValueError(f"--threads is {count}: this process may use 1 to {len(cpus)} CPUs.")
    if not hasattr(os, "sched_setaffinity"):
        raise ValueError("--threads cannot be set on this system: leave it out.")
    if os.environ.get("NPROC"):
        raise ValueError("--threads has no effect while NPROC is set: unset it.")
    os.sched_setaffinity(0, cpus[:count])


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The IDENTITY fields that differ, as `name (OLD there, NEW now)`."""
    return [
        f"{name} ({old.get(name)} there, {new.get(name)} now)"
        for name in IDENTITY
        if old.get(name) != new.get(name)
    ]


def load() -> float | None:
    """The load average of the last minute; None where the system does not report it."""
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):
        return None


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
