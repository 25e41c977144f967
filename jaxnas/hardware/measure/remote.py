"""Remote measurement: a user's command takes an exported network and prints milliseconds.

docs/measuring.md describes the exported folder and the lines that the command prints.
"""

import hashlib
import json
import math
import os
import re
import shlex
import signal
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnas.hardware.programs import Program, filled
from jaxnas.hardware.timing import FACTS, TimedProgram
from jaxnas.run import files

PLACEHOLDER = "{network}"
EXPORT, STABLEHLO, ARGUMENTS, METADATA = (
    "network.jaxexport", "network.stablehlo", "arguments.npz", "network.json",
)  # fmt: skip


class RemoteError(ValueError):
    """A command that fails to give a time: the message is one line."""


def parse_command(text: str) -> list[str]:
    """The words of a command, split without a shell; {network} stands for the exported folder.

    Raises RemoteError for a command without {network}, and for unclosed quotes.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise RemoteError(f"--command {text!r} cannot be read: {error}.") from None
    if not any(PLACEHOLDER in word for word in words):
        raise RemoteError(
            f"--command {text!r} does not say {PLACEHOLDER}: write it where the command takes the "
            "folder of the network."
        )
    return words


def export(program: Program, folder: Path, platform: str = "cpu") -> Path:
    """Exports a program into a subfolder of its own name; returns the subfolder.

    `network.jaxexport` (for `jax.export.deserialize(...).call(*arrays)`), `network.stablehlo`
    (the same as portable StableHLO bytes), `arguments.npz` (`a0000`, `a0001`, ... in the order of
    both programs' arguments), `network.json`. Weights are random numbers, not trained ones.
    """
    leaves, tree = jax.tree.flatten(filled(program.arguments))

    def flat(*leaves):
        return program.function(*jax.tree.unflatten(tree, leaves))

    exported = jax.export.export(jax.jit(flat), platforms=[platform])(*leaves)
    name = re.sub(r"[^A-Za-z0-9_.]+", "-", program.label).strip("-.")[:60]
    target = folder / f"{name}-{hashlib.sha256(program.label.encode()).hexdigest()[:8]}"
    with files.as_run_error(target):
        target.mkdir(parents=True, exist_ok=True)
        (target / EXPORT).write_bytes(exported.serialize())
        (target / STABLEHLO).write_bytes(exported.mlir_module_serialized)
        arrays = {f"a{i:04}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        np.savez(target / ARGUMENTS, **arrays)
    record = {
        "format": "jaxnas exported network", "version": 1, "network": program.label,
        "kind": program.kind, "platform": platform,
        "arguments": [[str(a.dtype), list(a.shape)] for a in arrays.values()],
        "architecture": json.loads(program.architecture),
    }  # fmt: skip
    files.write_text(target / METADATA, json.dumps(record, indent=2) + "\n")
    return target


def prepare(
    program: Program,
    calls: int | None,
    words: Sequence[str],
    folder: Path,
    *,
    timeout_s: float,
    platform: str = "cpu",
) -> TimedProgram:
    """A program timed by the command: a sample is the median of the times that one call prints.

    The command itself decides how often the network runs: `calls` is None or 1.
    """
    if calls not in (None, 1):
        raise ValueError(f"A command times by itself: {calls} calls a sample have no effect.")
    target = export(program, folder, platform)
    line = [word.replace(PLACEHOLDER, str(target)) for word in words]

    def sample() -> float:
        return statistics.median(times(line, program.label, timeout_s))

    return TimedProgram(program.label, sample, None, 1, dict.fromkeys(FACTS, math.nan))


def times(words: Sequence[str], label: str, timeout_s: float) -> list[float]:
    """Runs the command once and returns the milliseconds it prints, at least one.

    Raises RemoteError where it cannot be started, times out, fails, or prints anything else.
    """
    subject = f"The command for {label!r}"
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise RemoteError(
            f"Cannot start {words[0]!r}: {error.strerror or error}. Give --command a program that "
            "can be run."
        ) from None
    with process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise RemoteError(
                f"{subject} did not finish within {timeout_s:g} s: give a longer --timeout-s, or "
                "see what it waits for."
            ) from None
        except BaseException:
            _kill(process)
            raise
    if process.returncode:
        last = err.decode(errors="replace").strip().splitlines()[-1:] or ["nothing on stderr"]
        raise RemoteError(f"{subject} failed with exit code {process.returncode}: {last[0][:200]}")
    return parse_output(out.decode(errors="replace"), subject)


def parse_output(text: str, subject: str = "The command") -> list[float]:
    """The milliseconds in a command's output. Raises RemoteError for anything else."""
    latency_ms: list[float] = []
    cure = 'print lines such as {"latency_ms": [1.25, 1.24]} on stdout, all else on stderr'
    for line in filter(None, map(str.strip, text.splitlines())):
        try:
            value = json.loads(line)["latency_ms"]
            latency_ms += map(_positive, value if isinstance(value, list) else [value])
        except (ValueError, TypeError, KeyError, RecursionError, IndexError):
            raise RemoteError(f"{subject} printed {line[:80]!r}: {cure}.") from None
    if not latency_ms:
        raise RemoteError(f"{subject} printed no time: {cure}.")
    return latency_ms


def _positive(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    if not (math.isfinite(value) and value > 0):
        raise ValueError
    return float(value)


def _kill(process: subprocess.Popen) -> None:
    """Kills the command and its children, unless they left its session."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()
    # A child that still holds the pipes must not block us.
    for pipe in (process.stdout, process.stderr):
        pipe.close()
