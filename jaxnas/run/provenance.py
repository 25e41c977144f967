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

from jaxnas.run import files
from jaxnas.run.step_runner import Execution

FINGERPRINT = "fingerprint.json"
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
    return _sha(_fingerprinted(record))


def _sha(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def parts(record: Mapping[str, Any], program: tuple[int, str]) -> dict[str, Any]:
    """What determines a run's bytes, part by part: written as `fingerprint.json`.

    `program`: (steps, SHA-256) of the first that is run, lowered. `sha256` is that of all parts.
    """
    environment = record["environment"]
    named = {
        "settings": _sha(record["settings"]),
        "data": record["data"],
        "execution": record["execution"],
        "program": {"steps": program[0], "sha256": program[1]},
        "versions": environment["versions"],
        "device": {name: environment[name] for name in ("device", "backend", "cpu_count")},
        "flags": {name: environment[name] for name in ("XLA_FLAGS", "x64", "matmul_precision")},
    }
    return {"sha256": _sha(named), **named}


def write_parts(folder: Path, record: Mapping[str, Any], program: tuple[int, str]) -> bool:
    """Writes `fingerprint.json` unless it is there; False if it is there of another program."""
    path, (steps, sha) = folder / FINGERPRINT, program
    if path.exists():
        old = (read_parts(folder) or {}).get("program", {})
        return old.get("steps") != steps or old.get("sha256") == sha
    files.write_text(path, json.dumps(parts(record, program), indent=2) + "\n")
    return True


def read_parts(folder: Path) -> dict[str, Any] | None:
    """The `fingerprint.json` of a run folder; None where there is none, or a damaged one."""
    try:
        read = json.loads((folder / FINGERPRINT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return read if isinstance(read, dict) else None


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The settings in which two records differ, as `name (OLD there, NEW now)`."""
    return _differences(_fingerprinted(old), _fingerprinted(new))


def environment_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The versions, devices and flags in which two records differ, named as `differences` does."""
    return _differences(old.get("environment") or {}, new.get("environment") or {})


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    old, new = _flat(old), _flat(new)
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
