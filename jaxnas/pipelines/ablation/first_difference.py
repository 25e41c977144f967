"""The first thing in which two runs differ, from their settings to their results."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxnas.report import run_reader
from jaxnas.run import provenance

# Of a run's bytes only these do not depend on it.
CLOCK = "time/"
PARTS = ("settings", "data", "execution", "program", "versions", "device", "flags")


def described(folder: Path) -> list[str]:
    """The fingerprint of a run, a line a part."""
    parts = provenance.read_parts(folder)
    if parts is None:
        return [
            f"{folder} has no {provenance.FINGERPRINT}: no step of it was run, or by an older "
            "jaxnas."
        ]
    lines = [f"fingerprint  {parts.get('sha256')}"]
    for name in PARTS:
        value = parts.get(name)
        text = value if isinstance(value, str) else json.dumps(value)
        lines.append(f"  {name:10} {text}")
    return lines


def between(first: Path, second: Path) -> str | None:
    """What differs first, in words; None if nothing does. Raises ValueError for no run folder.

    In the order of cause and effect: settings, data and mode; versions, device, flags and the
    lowered program; metrics step by step, gates and cells; results. Times are left out.
    """
    runs = [run_reader.read(folder) for folder in (first, second)]
    for folder, contents in zip((first, second), runs, strict=True):
        run_reader.check_run(folder)
        if not isinstance(contents.settings.get("settings"), dict):
            raise ValueError(f"{folder} holds no settings.json of a run: give a folder of one.")
    a, b = runs
    if changed := provenance.differences(a.settings, b.settings):
        return _named("its settings", changed)
    if changed := provenance.environment_differences(a.settings, b.settings):
        return _named("its environment", changed)
    programs = [(provenance.read_parts(folder) or {}).get("program") for folder in (first, second)]
    if None not in programs and programs[0] != programs[1]:
        shown = [f"{p['sha256'][:12]} of {p['steps']} steps" for p in programs]
        return f"the lowered program of a step ({shown[0]} and {shown[1]})"
    if difference := of_metrics(a.metrics, b.metrics):
        return _of_two(difference)
    if difference := of_metrics(a.gates, b.gates, "gates.jsonl"):
        return _of_two(difference)
    if a.genotype != b.genotype:
        return "the cells that were found, though all metrics are the same"
    return _results(a.summary, b.summary)


def of_metrics(
    old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]], file: str = "metrics.jsonl"
) -> str | None:
    """The first value of lines of metrics that differs, clocks left out; None if none does."""
    for one, other in zip(old, new, strict=False):
        names = [name for name in (*one, *(n for n in other if n not in one))]
        for name in names:
            if not name.startswith(CLOCK) and one.get(name) != other.get(name):
                return (
                    f"{name} of step {one.get('step')} in {file} ({json.dumps(one.get(name))} "
                    f"there, {json.dumps(other.get(name))} now)"
                )
    if len(old) != len(new):
        return f"the lines of {file} ({len(old)} there, {len(new)} now)"
    return None


def _results(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """Of summary.json: the digests and scores of all trained networks."""
    networks = lambda summary: [summary.get("found") or {}, *(summary.get("random") or [])]
    for one, other in zip(networks(old), networks(new), strict=False):
        for name in one:
            if name != "latency_ms" and one[name] != other.get(name):
                return f"a result of the trained networks, {name}"
    if len(networks(old)) != len(networks(new)) or bool(old) != bool(new):
        return "their results: one of them is not finished"
    return None


def _named(what: str, changed: Sequence[str]) -> str:
    more = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"{what}: {_of_two(changed[0])}{more}"


def _of_two(difference: str) -> str:
    """A difference of two runs, not of one run before and now."""
    return difference.replace(" there, ", " and ").replace(" now)", ")")
