"""Networks timed elsewhere: a user's command gets an exported network and prints milliseconds.

docs/measuring.md describes the folder that the command is given and the lines it prints.
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

PLACE = "{network}"
EXPORT, STABLEHLO, ARGUMENTS, ABOUT = (
    "network.jaxexport", "network.stablehlo", "arguments.npz", "network.json",
)  # fmt: skip


class RemoteError(ValueError):
    """A command that gives no time: the message is one line."""


def command(text: str) -> list[str]:
    """The words of a command; {network} stands for the exported folder. No shell reads it.

    Raises RemoteError for words without it, and for quotes that do not close.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise RemoteError(f"--command {text!r} cannot be read: {error}.") from None
    if not any(PLACE in word for word in words):
        raise RemoteError(
            f"--command {text!r} does not say {PLACE}: write it where the command takes the "
            "folder of the network."
        )
    return words


def export(program: Program, where: Path, platform: str = "cpu") -> Path:
    """Writes a program into a folder of its own name; gives that folder.

    `network.jaxexport` (for `jax.export.deserialize(...).call(*arrays)`), `network.stablehlo`
    (the same as portable StableHLO bytes), `arguments.npz` (`a0000`, `a0001`, ... in the order
    in which both take them), `network.json`. Weights are ordinary numbers of the right shapes,
    not trained ones.
    """
    leaves, tree = jax.tree.flatten(filled(program.arguments))

    def flat(*leaves):
        return program.function(*jax.tree.unflatten(tree, leaves))

    exported = jax.export.export(jax.jit(flat), platforms=[platform])(*leaves)
    name = re.sub(r"[^A-Za-z0-9_.]+", "-", program.label).strip("-.")[:60]
    target = where / f"{name}-{hashlib.sha256(program.label.encode()).hexdigest()[:8]}"
    with files.as_run_error(target):
        target.mkdir(parents=True, exist_ok=True)
        (target / EXPORT).write_bytes(exported.serialize())
        (target / STABLEHLO).write_bytes(exported.mlir_module_serialized)
        arrays = {f"a{i:04}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        np.savez(target / ARGUMENTS, **arrays)
    said = {
        "format": "jaxnas exported network", "version": 1, "network": program.label,
        "kind": program.kind, "platform": platform,
        "arguments": [[str(a.dtype), list(a.shape)] for a in arrays.values()],
        "architecture": json.loads(program.architecture),
    }  # fmt: skip
    files.write_text(target / ABOUT, json.dumps(said, indent=2) + "\n")
    return target


def prepare(
    program: Program,
    calls: int | None,
    words: Sequence[str],
    where: Path,
    *,
    timeout_s: float,
    platform: str = "cpu",
) -> TimedProgram:
    """A program that the command times: a sample is the median of what one call of it prints.

    How often the network runs for that is the command's own affair: `calls` is None or 1.
    """
    if calls not in (None, 1):
        raise ValueError(f"A command times by itself: {calls} calls a sample have no effect.")
    target = export(program, where, platform)
    line = [word.replace(PLACE, str(target)) for word in words]

    def sample() -> float:
        return statistics.median(times(line, program.label, timeout_s))

    return TimedProgram(program.label, sample, None, 1, dict.fromkeys(FACTS, math.nan))


def times(words: Sequence[str], label: str, timeout_s: float) -> list[float]:
    """Milliseconds that the command prints for one network, at least one.

    Raises RemoteError where it cannot be started, hangs, fails, or prints anything else.
    """
    said = f"The command for {label!r}"
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
            _end(process)
            raise RemoteError(
                f"{said} did not finish within {timeout_s:g} s: give a longer --timeout-s, or see "
                "what it waits for."
            ) from None
        except BaseException:
            _end(process)
            raise
    if process.returncode:
        last = err.decode(errors="replace").strip().splitlines()[-1:] or ["nothing on stderr"]
        raise RemoteError(f"{said} failed with exit code {process.returncode}: {last[0][:200]}")
    return parsed(out.decode(errors="replace"), said)


def parsed(text: str, said: str = "The command") -> list[float]:
    """The milliseconds in what a command printed. Raises RemoteError for anything else."""
    found: list[float] = []
    cure = 'print lines such as {"latency_ms": [1.25, 1.24]} on stdout, all else on stderr'
    for line in filter(None, map(str.strip, text.splitlines())):
        try:
            value = json.loads(line)["latency_ms"]
            found += map(_positive, value if isinstance(value, list) else [value])
        except (ValueError, TypeError, KeyError, RecursionError, IndexError):
            raise RemoteError(f"{said} printed {line[:80]!r}: {cure}.") from None
    if not found:
        raise RemoteError(f"{said} printed no time: {cure}.")
    return found


def _positive(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    if not (math.isfinite(value) and value > 0):
        raise ValueError
    return float(value)


def _end(process: subprocess.Popen) -> None:
    """Ends the command with all that it has started, as far as it stayed in its session."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()
    # Whoever still holds its pipes must not hold us.
    for pipe in (process.stdout, process.stderr):
        pipe.close()
