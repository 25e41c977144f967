"""A campaign: programs timed in interleaved rounds until the times hold, kept as they come."""

import contextlib
import datetime
import functools
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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

SAVE_ROUNDS, SAVE_S = 5, 5.0  # the file is written after so many rounds or seconds
TELL_S = 1.0  # within a round that takes longer, progress is told program by program
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
    number (of a campaign that goes on, the session's as well). The campaign ends when twins
    agree, the halves of the rounds agree and the medians are known to 1 %; after `most_rounds`
    it ends whatever they do, and says so. `settings` are
    all that decides what is measured, as JSON values. With `minutes`, programs are prepared in
    their order until half of them are spent, and the others left out. SIGINT and SIGTERM end a
    campaign after the program it is at, all saved; the next session visits what the round has
    left.

    Raises CampaignError on another device than the campaign began on and for a program whose
    every sample the clock spoilt, RunError for a folder of other settings or in use, FileError
    for a broken file, Interrupted, and what `prepare` and the samples raise; whatever was
    measured by then is in the folder.
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
            note(f"measure: goes on {_where(raw)}")
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
    taken = files.taken(raw)
    late = protocol.minutes is not None and raw.header["spent_s"] >= 60 * protocol.minutes
    if taken >= protocol.most_rounds or (late and taken >= FEWEST_ROUNDS):
        return True
    if taken < protocol.least_rounds or taken % SAVE_ROUNDS or files.unsampled(raw):
        return False
    summary = rounds.summarise(raw.rounds_ms)
    noise = rounds.noise(raw.rounds_ms, files.pairs(raw))
    return not noise.reasons and rounds.relative_error(summary) <= ERROR_LIMIT


def result(raw: Raw) -> dict[str, Any]:
    """What a campaign says of its device and of itself, as JSON values; times in milliseconds.

    Every program has a valid sample.
    """
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
            "median": statistics.median_high(times.tolist()),  # what a network takes
            "most": float(times.max()),
        },
        "spread": float(np.median(summary.spread_ms / summary.latency_ms)),
        "rounds": {
            "taken": files.taken(raw),
            "sessions": len(np.unique(raw.session)),
            "left_out": int((~summary.kept).sum()),
            "missing_samples": _visits(raw) - int(np.isfinite(raw.rounds_ms).sum()),
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
    """Rounds until there are enough, written every few rounds or seconds, and when cut short."""
    # Said by the file, since a session may end before its first row.
    session = raw.header.get("sessions", int(raw.session.max(initial=-1)) + 1)
    raw = raw._replace(header=dict(raw.header) | {"sessions": session + 1})
    first, began = _visits(raw), time.monotonic()
    saved_s = told_s = began
    so_far = lambda: raw

    def save(now: Raw) -> None:
        nonlocal saved_s
        files.write(path, now)
        saved_s = time.monotonic()

    def tell(now: Raw, words: str = "") -> None:
        nonlocal told_s
        told_s = time.monotonic()
        one_s = (told_s - began) / (_visits(now) - first)
        words = words or f"{1e3 * one_s * len(ready):.0f} ms a round"
        moved(files.taken(now), _left_s(now, one_s, protocol), f"{words}, at most")

    with telling.stage("measure", protocol.most_rounds, console) as moved:
        try:
            while not enough(raw, protocol):
                with contextlib.closing(_round(raw, ready, protocol, session, passed)) as visits:
                    for so_far in visits:
                        _stop(so_far, path, asked)
                        if time.monotonic() - saved_s > SAVE_S:
                            save(so_far())
                        if time.monotonic() - told_s > TELL_S:
                            tell(now := so_far(), _where(now))
                raw = so_far()
                tell(raw)
                if files.taken(raw) % SAVE_ROUNDS == 0:
                    save(raw)
        except Exception as error:
            now = so_far()
            now = now._replace(header=dict(now.header) | {"spent_s": passed()})
            failed = not isinstance(error, run.Interrupted)
            save(_given_up(now) if failed and 0 < _visits(now) == first else now)
            raise
        except BaseException:
            save(so_far())
            raise
    save(raw)
    return raw


def _given_up(raw: Raw) -> Raw:
    """The campaign after a session that failed at once. What its round has left fails always, or
    so it seems: the round counts without, else no other program would have a turn again."""
    if len(files.left(raw)) == len(raw.labels):
        return raw
    return raw._replace(header=dict(raw.header) | {"rounds": files.taken(raw) + 1, "left": []})


def _round(
    raw: Raw,
    ready: Sequence[Ready],
    protocol: Protocol,
    session: int,
    passed: Callable[[], float],
) -> Iterator[Callable[[], Raw]]:
    """One round, or what an earlier session has left of it: after each program, what gives the
    campaign as it is then, since most of the time nobody asks."""
    order = _order(raw, protocol.seed, session)
    row = np.full(len(ready), np.nan), np.full(raw.chains_ms.shape[1:], np.nan)
    started_s = time.time()
    for done, _ in enumerate(measure.visits(ready, order, *row), 1):
        yield functools.partial(_with, raw, row, order[done:], started_s, session, passed())


def _order(raw: Raw, seed: int, session: int) -> np.ndarray:
    """What a round has left, in an order of its number's own, and of the session's from the
    second on: a program that fails must not keep the same others from their turn."""
    left, drawn = files.left(raw), [seed, files.taken(raw)]
    random = np.random.default_rng([*drawn, session] if session else drawn)
    return np.array(left)[random.permutation(len(left))]


def _stop(so_far: Callable[[], Raw], path: Path, asked: Callable[[], int | None]) -> None:
    if (number := asked()) is not None:
        raise run.Interrupted(
            f"Stopped {_where(so_far())}: all is saved in {path.parent}. Run the same command "
            "again to go on.",
            number,
        )


def _where(raw: Raw) -> str:
    taken, left = files.taken(raw), len(files.left(raw))
    if left == len(raw.labels):
        return f"after round {taken}"
    return f"in round {taken + 1}, after {len(raw.labels) - left} of {len(raw.labels)} programs"


def _visits(raw: Raw) -> int:
    """How often a program was visited, all programs together."""
    return (files.taken(raw) + 1) * len(raw.labels) - len(files.left(raw))


def _left_s(raw: Raw, one_s: float, protocol: Protocol) -> float:
    """Seconds until the last round, or the last minute, of visits that take `one_s` each."""
    rounds_s = one_s * (protocol.most_rounds * len(raw.labels) - _visits(raw))
    if protocol.minutes is None:
        return rounds_s
    return min(rounds_s, max(60 * protocol.minutes - raw.header["spent_s"], 0))


def _with(
    raw: Raw, row: tuple, left: Sequence[int], started_s: float, session: int, spent_s: float
) -> Raw:
    """The campaign with one row more, after which its round has these programs left."""
    far = {"rounds": files.taken(raw) + (not len(left)), "left": [raw.labels[i] for i in left]}
    load = [raw.header["load"][0], hardware.load()]
    return raw._replace(
        header=dict(raw.header) | {"spent_s": spent_s, "load": load} | far,
        rounds_ms=np.concatenate([raw.rounds_ms, row[0][None]]),
        chains_ms=np.concatenate([raw.chains_ms, row[1][None]]),
        started_s=np.append(raw.started_s, started_s),
        session=np.append(raw.session, np.int32(session)),
    )


def _written(folder: Path, raw: Raw) -> dict[str, Any]:
    if missing := files.unsampled(raw):
        raise CampaignError(
            f"{folder / files.RAW} has no valid sample of {files.some(missing)}: go on with more "
            "--rounds or --budget-minutes; `jaxnas latency fit` leaves out what has none."
        )
    found = result(raw)
    files.write_table(folder / files.TABLE, raw)
    run.write_text(folder / files.RESULT, json.dumps(found, indent=2) + "\n")
    return found
