"""A campaign: programs timed in interleaved rounds until the times hold, kept as they come."""

import contextlib
import datetime
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rich.console

from jaxnas import run
from jaxnas.latency import device as hardware
from jaxnas.latency import files, measure, programs, rounds, telling
from jaxnas.latency.files import Raw
from jaxnas.latency.measure import Ready
from jaxnas.latency.programs import Program
from jaxnas.run import progress, signals

SAVE_ROUNDS, SAVE_S = 5, 20.0  # the file is written after so many rounds or seconds
ERROR_LIMIT = 0.01  # of a median, relative: below it no further round is needed
FEWEST = 8  # programs that a budget of minutes leaves, however slowly they compile
FEWEST_ROUNDS = 4  # and rounds: two halves of two


class CampaignError(ValueError):
    """A campaign that cannot begin or go on: the message is one line."""


class Protocol(NamedTuple):
    """When a campaign is enough. `minutes` count compilation, and all sessions."""

    least_rounds: int = 20
    most_rounds: int = 100
    minutes: float | None = None
    seed: int = 0
    warm_up: bool = True  # first sample the first program until it is steady


def measure_all(
    found: Sequence[Program],
    folder: Path,
    prepare: Callable[[Program, int | None], Ready],
    *,
    device: Mapping[str, Any],
    settings: Mapping[str, Any],
    protocol: Protocol,
    console: rich.console.Console | None = None,
) -> dict[str, Any]:
    """Measures programs, from wherever `folder` was left; gives what `result.json` holds.

    `prepare(program, calls)` makes a program ready, with so many calls a sample unless None.
    Every round visits every program once, in an order drawn from the seed and the round's
    number. The campaign ends when twins agree, the halves of the rounds agree and the medians
    are known to 1 %; after `most_rounds` it ends whatever they do, and says so. `settings` are
    all that decides what is measured, as JSON values. With `minutes`, programs are prepared in
    their order until half of them are spent, and the others left out. SIGINT and SIGTERM end a
    campaign after its round, all saved.

    Raises CampaignError on another device than the campaign began on, RunError for a folder of
    other settings or in use, FileError for a broken file, Interrupted, and what `prepare` and
    the samples raise; whatever was measured by then is in the folder.
    """
    programs.refuse(found)
    _refuse(protocol)
    console = console or rich.console.Console()
    note = lambda text: progress.say(console, text)
    record = {"settings": json.loads(json.dumps(dict(settings))), "environment": {}}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(run.claim(folder, record, note))
        asked = stack.enter_context(signals.stop_requests(note))
        path = folder / files.RAW
        raw = _begun(path, device)
        if raw is not None:
            found = _same(path, raw, found)
            note(f"measure: goes on after round {len(raw.rounds_ms)}")
        if raw is None or not enough(raw, protocol):
            began = time.monotonic()
            spent_s = 0.0 if raw is None else raw.header["spent_s"]
            passed = lambda: spent_s + time.monotonic() - began
            ready = _prepared(found, prepare, asked, protocol, raw, console)
            found = found[: len(ready)]
            raw = raw or _empty(found, ready, device, settings)
            if protocol.warm_up and not measure.steady(ready[0]):
                note(f"measure: {found[0].label} does not settle within 1 %: the device is busy")
            raw = _rounds(raw, path, ready, asked, protocol, passed, console)
        return _written(folder, raw)


def enough(raw: Raw, protocol: Protocol) -> bool:
    """Whether a campaign is at its end: its times hold, or its rounds or minutes are used up."""
    taken = len(raw.rounds_ms)
    late = protocol.minutes is not None and raw.header["spent_s"] >= 60 * protocol.minutes
    if taken >= protocol.most_rounds or (late and taken >= FEWEST_ROUNDS):
        return True
    if taken < protocol.least_rounds or taken % SAVE_ROUNDS:
        return False
    summary = rounds.summarise(raw.rounds_ms)
    noise = rounds.noise(raw.rounds_ms, files.pairs(raw))
    return not noise.reasons and rounds.relative_error(summary) <= ERROR_LIMIT


def result(raw: Raw) -> dict[str, Any]:
    """What a campaign says of its device and of itself, as JSON values; times in milliseconds."""
    summary = rounds.summarise(raw.rounds_ms)
    noise = rounds.noise(raw.rounds_ms, files.pairs(raw))
    away = rounds.differences(summary.latency_ms, files.pairs(raw))
    ceiling = rounds.ceiling(summary.latency_ms, away)
    networks = np.array([kind == programs.NETWORK for kind in raw.kinds])
    times = summary.latency_ms[networks] if networks.any() else summary.latency_ms
    return {
        **{name: raw.header[name] for name in ("device", "settings", "begun", "spent_s", "load")},
        "programs": {kind: raw.kinds.count(kind) for kind in dict.fromkeys(raw.kinds)},
        "latency_ms": {
            "least": float(times.min()),
            "median": float(np.median(times)),
            "most": float(times.max()),
        },
        "spread": float(np.median(summary.spread_ms / summary.latency_ms)),
        "rounds": {
            "taken": len(raw.rounds_ms),
            "sessions": len(np.unique(raw.session)),
            "left_out": int((~summary.kept).sum()),
            "missing_samples": int(np.isnan(raw.rounds_ms).sum()),
            "slowest_over_fastest": float(
                summary.factors[summary.kept].max() / summary.factors[summary.kept].min()
            ),
        },
        "noise": {"noisy": bool(noise.reasons), **noise._asdict(), "reasons": [*noise.reasons]},
        "ceiling": None if ceiling is None else ceiling._asdict(),
    }


def _refuse(protocol: Protocol) -> None:
    least, most = protocol.least_rounds, protocol.most_rounds
    if not FEWEST_ROUNDS <= least <= most:
        raise ValueError(
            f"A campaign of {least} to {most} rounds cannot be: give {FEWEST_ROUNDS} or more, "
            "and no more at least than at most."
        )
    if protocol.minutes is not None and not 0 < protocol.minutes < np.inf:
        raise ValueError(f"A budget of {protocol.minutes} minutes is none: give more than 0.")


def _begun(path: Path, device: Mapping[str, Any]) -> Raw | None:
    """The rounds that are there. Raises CampaignError if another device took them."""
    if not path.exists():
        return None
    raw = files.read(path)
    if changed := hardware.differences(raw.header["device"], device):
        raise CampaignError(
            f"{path} was measured elsewhere: {'; '.join(changed)}. Go on where it began, or "
            "give this campaign another --name; what is there stays."
        )
    return raw


def _same(path: Path, raw: Raw, found: Sequence[Program]) -> list[Program]:
    """The programs of a campaign that is there, in its order."""
    by_label = {p.label: p for p in found}
    missing = [name for name in raw.labels if name not in by_label]
    if missing:
        raise CampaignError(
            f"{path} has {missing[0]!r}, which these settings no longer make: give this campaign "
            "another --name."
        )
    return [by_label[name] for name in raw.labels]


def _prepared(
    found: Sequence[Program],
    prepare: Callable[[Program, int | None], Ready],
    asked: Callable[[], int | None],
    protocol: Protocol,
    raw: Raw | None,
    console: rich.console.Console,
) -> list[Ready]:
    """Every program ready to be timed; of a new campaign of few minutes, the first of them."""
    began, ready = time.monotonic(), []
    with telling.stage("prepare", len(found), console) as moved:
        for program in found:
            spent_s = time.monotonic() - began
            short = (
                raw is None and protocol.minutes is not None and spent_s >= 30 * protocol.minutes
            )
            if short and len(ready) >= FEWEST:
                break
            if (number := asked()) is not None:
                raise run.Interrupted(
                    f"Stopped after {len(ready)} of {len(found)} programs were prepared. Run the "
                    "same command again.",
                    number,
                )
            # Equal programs are sampled equally, and as they were when the campaign began.
            calls = next((r.calls for r in ready if r.label == program.twin_of), None)
            calls = calls if raw is None else int(raw.calls[len(ready)])
            ready.append(prepare(program, calls))
            left_s = (time.monotonic() - began) / len(ready) * (len(found) - len(ready))
            moved(len(ready), left_s, program.kind)
    if len(ready) < len(found):
        progress.say(console, f"prepare: half the minutes are spent: {len(ready)} programs it is")
    return ready


def _empty(
    found: Sequence[Program], ready: Sequence[Ready], device: Mapping, settings: Mapping
) -> Raw:
    labels = tuple(p.label for p in found)
    chains = len(found) if any(r.chain is not None for r in ready) else 0
    header = {
        "device": dict(device),
        "settings": dict(settings),
        "begun": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "spent_s": 0.0,
        "load": [hardware.load(), None],
    }
    twins = [labels.index(p.twin_of) if p.twin_of in labels else -1 for p in found]
    return Raw(
        header,
        labels,
        tuple(p.kind for p in found),
        tuple(p.architecture for p in found),
        np.array(twins, np.int32),
        np.array([r.calls for r in ready], np.int32),
        np.array([[r.facts[name] for name in measure.FACTS] for r in ready]),
        np.empty((0, len(found))),
        np.empty((0, chains, 2)),
        np.empty(0),
        np.empty(0, np.int32),
    )


def _rounds(
    raw: Raw,
    path: Path,
    ready: Sequence[Ready],
    asked: Callable[[], int | None],
    protocol: Protocol,
    passed: Callable[[], float],
    console: rich.console.Console,
) -> Raw:
    """Rounds until there are enough, written every few; a round cut short is kept as well."""
    session = int(raw.session.max(initial=-1)) + 1
    first, began, saved_s = len(raw.rounds_ms), time.monotonic(), time.monotonic()
    with telling.stage("measure", protocol.most_rounds, console) as moved:
        while not enough(raw, protocol):
            taken = len(raw.rounds_ms)
            if (number := asked()) is not None:
                files.write(path, raw)
                raise run.Interrupted(
                    f"Stopped after round {taken}, which is saved in {path.parent}. Run the same "
                    "command again to go on.",
                    number,
                )
            order = np.random.default_rng([protocol.seed, taken]).permutation(len(ready))
            row = np.full(len(ready), np.nan), np.full(raw.chains_ms.shape[1:], np.nan)
            started_s = time.time()
            try:
                measure.one_round(ready, order, *row)
            except BaseException:
                if np.isfinite(row[0]).any():
                    files.write(path, _with(raw, row, started_s, session, passed()))
                raise
            raw = _with(raw, row, started_s, session, passed())
            taken += 1
            if taken % SAVE_ROUNDS == 0 or time.monotonic() - saved_s > SAVE_S:
                files.write(path, raw)
                saved_s = time.monotonic()
            one_s = (time.monotonic() - began) / (taken - first)
            left_s = one_s * (protocol.most_rounds - taken)
            if protocol.minutes is not None:
                left_s = min(left_s, max(60 * protocol.minutes - raw.header["spent_s"], 0))
            moved(taken, left_s, f"{1e3 * one_s:.0f} ms a round, at most")
    files.write(path, raw)
    return raw


def _with(raw: Raw, row: tuple, started_s: float, session: int, spent_s: float) -> Raw:
    """The campaign with one round more."""
    load = [raw.header["load"][0], hardware.load()]
    return raw._replace(
        header=dict(raw.header) | {"spent_s": spent_s, "load": load},
        rounds_ms=np.concatenate([raw.rounds_ms, row[0][None]]),
        chains_ms=np.concatenate([raw.chains_ms, row[1][None]]),
        started_s=np.append(raw.started_s, started_s),
        session=np.append(raw.session, np.int32(session)),
    )


def _written(folder: Path, raw: Raw) -> dict[str, Any]:
    found = result(raw)
    files.write_table(folder / files.TABLE, raw)
    run.write_text(folder / files.RESULT, json.dumps(found, indent=2) + "\n")
    return found
