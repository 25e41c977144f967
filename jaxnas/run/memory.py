"""Whether a compiled program fits: predicted peak memory against what is free."""

from pathlib import Path

import jax

GIB = 2**30


def needed_bytes(compiled: jax.stages.Compiled) -> int | None:
    """Bytes the program takes beyond its arguments, which are there already.

    XLA's plan: outputs that reuse no argument, and temporaries. None if the backend has none.
    """
    plan = compiled.memory_analysis()
    if plan is None:
        return None
    new_outputs = plan.output_size_in_bytes - plan.alias_size_in_bytes
    return plan.temp_size_in_bytes + max(new_outputs, 0)


def free_bytes(device: jax.Device | None = None) -> int | None:
    """Bytes free on the device, or for the CPU what the machine or its container has left."""
    device = device or jax.devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        if "bytes_limit" not in stats:
            return None
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    left = [value for value in (_host(), _container()) if value is not None]
    return min(left, default=None)


def advice(needed_bytes: int | None, free_bytes: int | None) -> str:
    """One line for a person: the prediction, and what to do where it will not fit."""
    if needed_bytes is None:
        return "predicted peak memory: unknown on this device"
    line = f"predicted peak memory: {needed_bytes / GIB:.2f} GiB above what is loaded"
    if free_bytes is None:
        return line
    line += f", {free_bytes / GIB:.2f} GiB free"
    if fits(needed_bytes, free_bytes):
        return line
    return (
        f"WARNING: {line}: this will probably not fit. Take a smaller batch or fewer channels, "
        "turn rematerialisation on, or use the first-order rule."
    )


def fits(needed_bytes: int | None, free_bytes: int | None) -> bool:
    """False only where the prediction is known to exceed what is free."""
    return needed_bytes is None or free_bytes is None or needed_bytes <= free_bytes


def _host() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(fields["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in fields else None


def _container() -> int | None:
    """What the control group still allows (version 2, then 1)."""
    groups = Path("/sys/fs/cgroup")
    pairs = (
        (groups / "memory.max", groups / "memory.current"),
        (
            groups / "memory" / "memory.limit_in_bytes",
            groups / "memory" / "memory.usage_in_bytes",
        ),
    )
    for limit, usage in pairs:
        try:
            return max(int(limit.read_text()) - int(usage.read_text()), 0)
        except (OSError, ValueError):  # "max" says that there is no limit
            continue
    return None
