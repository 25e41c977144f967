"""Memory: the predicted peak of a compiled program, and the free memory."""

from pathlib import Path

import jax

GIB = 2**30


def needed_bytes(compiled: jax.stages.Compiled) -> int | None:
    """Bytes that a program needs beyond its arguments, which are in memory already.

    By XLA's plan: outputs that reuse no argument, and temporaries. None if the backend has none.
    """
    plan = compiled.memory_analysis()
    if plan is None:
        return None
    new_outputs = plan.output_size_in_bytes - plan.alias_size_in_bytes
    return plan.temp_size_in_bytes + max(new_outputs, 0)


def free_bytes(device: jax.Device | None = None) -> int | None:
    """Bytes free on the device, for the CPU in the machine or its container; None if unknown."""
    device = device or jax.devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        if "bytes_limit" not in stats:
            return None
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    free = [value for value in (_free_on_host(), _free_in_container()) if value is not None]
    return min(free, default=None)


def advice(needed_bytes: int | None, free_bytes: int | None) -> str:
    """One line for the user: the prediction, and a cure if it exceeds the free memory."""
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
    """False only if both numbers are known and the program needs more than is free."""
    return needed_bytes is None or free_bytes is None or needed_bytes <= free_bytes


def _free_on_host() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(fields["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in fields else None


def _free_in_container() -> int | None:
    """The free bytes of the control group (version 2, then 1)."""
    v2 = Path("/sys/fs/cgroup")
    v1 = v2 / "memory"
    pairs = (
        (v2 / "memory.max", v2 / "memory.current"),
        (v1 / "memory.limit_in_bytes", v1 / "memory.usage_in_bytes"),
    )
    for limit, usage in pairs:
        try:
            return max(int(limit.read_text()) - int(usage.read_text()), 0)
        except (OSError, ValueError):  # "max": no limit
            continue
    return None
