"""Provenance of a run: settings, data, execution, and the environment it was run in."""

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from jaxnas.run.step_runner import Execution

PACKAGES = ("jaxnas", "jax", "jaxlib", "flax", "optax", "numpy", "orbax-checkpoint")


def record(
    settings: Mapping[str, Any], execution: Execution, data_digest: str | None = None
) -> dict[str, Any]:
    """The record of a run, written as `settings.json`.

    `settings` are all settings that change the result (no output folder, no verbosity), as JSON
    values; the seed is one of them. Raises ValueError for values that JSON does not have.
    """
    try:
        settings = json.loads(json.dumps(settings, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"Settings must be finite JSON values: {error}.") from error
    return {
        "settings": settings,
        "seed": settings.get("seed"),
        "data": data_digest,
        "execution": execution._asdict(),
        "environment": _environment(),
    }


def fingerprint(record: Mapping[str, Any]) -> str:
    """SHA-256 of what determines the result on one machine: all of a record but the environment."""
    return hashlib.sha256(json.dumps(_fingerprinted(record), sort_keys=True).encode()).hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The settings in which two records differ, as `name (OLD there, NEW now)`."""
    old, new = (_flat(_fingerprinted(record)) for record in (old, new))
    absent = "absent"
    return [
        f"{name} ({old.get(name, absent)} there, {new.get(name, absent)} now)"
        for name in sorted(old.keys() | new.keys())
        if old.get(name, absent) != new.get(name, absent)
    ]


def _fingerprinted(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: record.get(name) for name in ("settings", "data", "execution")}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat = {}
    for name, value in tree.items():
        # Settings are named as their flags.
        path = prefix if name == "settings" and not prefix else f"{prefix}{name}"
        if isinstance(value, Mapping):
            flat |= _flat(value, path and f"{path}.")
        else:
            flat[path] = json.dumps(value)
    return flat


def _environment() -> dict[str, Any]:
    devices = jax.devices()
    return {
        "versions": {"python": platform.python_version()}
        | {name: version for name in PACKAGES if (version := _version(name))},
        "device": {"kind": devices[0].device_kind, "count": len(devices)},
        "backend": jax.default_backend(),
        "cpu_count": len(os.sched_getaffinity(0)),
        "x64": bool(jax.config.jax_enable_x64),
        "matmul_precision": jax.config.jax_default_matmul_precision,
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        "commit": _commit(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the checkout this file is tracked in, `+changes` if it was edited."""
    source = Path(__file__).resolve()

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(source.parent), *arguments]
        try:
            ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return ran.stdout.strip() if ran.returncode == 0 else None

    if git("ls-files", "--error-unmatch", source.name) is None:
        return None
    commit = git("rev-parse", "HEAD")
    return commit and commit + ("+changes" if git("status", "--porcelain", "-uno") else "")
