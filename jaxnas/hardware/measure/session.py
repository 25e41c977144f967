"""A session of a campaign: rounds until converged, saved as they come."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import rich.console

from jaxnas import run
from jaxnas.hardware import device as hardware
from jaxnas.hardware import programs, timing
from jaxnas.hardware.measure import campaign_file
from jaxnas.hardware.measure import stopping as protocols
from jaxnas.hardware.measure.campaign_file import Raw
from jaxnas.hardware.measure.stopping import Protocol
from jaxnas.hardware.timing import TimedProgram
from jaxnas.run import progress

SAVE_S = 5.0  # the file is also written after so many seconds
PROGRESS_S = 1.0  # in longer rounds, progress is shown program by program


def run_rounds(
    raw: Raw,
    path: Path,
    ready: Sequence[TimedProgram],
    stop_requested: Callable[[], int | None],
    protocol: Protocol,
    elapsed_s: Callable[[], float],
    console: rich.console.Console,
) -> Raw:
    """Runs rounds until converged; saves every few rounds or seconds, and when interrupted."""
    # Counted in the header, since a session may end before its first row.
    session = raw.header.get("sessions", int(raw.session.max(initial=-1)) + 1)
    raw = raw._replace(header=dict(raw.header) | {"sessions": session + 1})
    first_visit, started_s = visits(raw), time.monotonic()
    saved_s = shown_s = started_s
    current = lambda: raw

    def save(snapshot: Raw) -> None:
        nonlocal saved_s
        campaign_file.write(path, snapshot)
        saved_s = time.monotonic()

    def show(snapshot: Raw) -> None:
        nonlocal shown_s
        shown_s = time.monotonic()
        visit_s = (shown_s - started_s) / (visits(snapshot) - first_visit)
        left = progress.duration(_remaining_s(snapshot, visit_s, protocol))
        text = f"times each of {_subject(snapshot)}; at most {left} minutes left"
        update(campaign_file.rounds_done(snapshot), None, text)

    with progress.bar("measure", protocol.max_rounds, console) as update:
        try:
            while not protocols.is_converged(raw, protocol):
                with contextlib.closing(_round(raw, ready, protocol, session, elapsed_s)) as round_:
                    for current in round_:
                        _stop_if_requested(current, path, stop_requested)
                        if time.monotonic() - saved_s > SAVE_S:
                            save(current())
                        if time.monotonic() - shown_s > PROGRESS_S:
                            show(current())
                raw = current()
                show(raw)
                if campaign_file.rounds_done(raw) % protocols.SAVE_ROUNDS == 0:
                    save(raw)
        except Exception as error:
            snapshot = current()
            snapshot = snapshot._replace(header=dict(snapshot.header) | {"spent_s": elapsed_s()})
            failed = not isinstance(error, run.Interrupted)
            failed_at_once = failed and 0 < visits(snapshot) == first_visit
            save(_skip_unvisited(snapshot) if failed_at_once else snapshot)
            raise
        except BaseException:
            save(current())
            raise
    save(raw)
    return raw


def _skip_unvisited(raw: Raw) -> Raw:
    """The campaign after a session that failed on its first program.

    The unvisited programs of its round probably always fail: the round counts as complete without
    them, or else no other program would be visited again.
    """
    if len(campaign_file.remaining(raw)) == len(raw.labels):
        return raw
    return raw._replace(
        header=dict(raw.header) | {"rounds": campaign_file.rounds_done(raw) + 1, "left": []}
    )


def _round(
    raw: Raw,
    ready: Sequence[TimedProgram],
    protocol: Protocol,
    session: int,
    elapsed_s: Callable[[], float],
) -> Iterator[Callable[[], Raw]]:
    """Runs one round, or the rest of an interrupted one.

    Yields after each program a function that builds the campaign so far: lazily, since it is
    rarely needed.
    """
    order = _order(raw, protocol.seed, session)
    row = np.full(len(ready), np.nan), np.full(raw.chains_ms.shape[1:], np.nan)
    started_s = time.time()
    for done, _ in enumerate(timing.sample_each(ready, order, *row), 1):
        yield functools.partial(_with_row, raw, row, order[done:], started_s, session, elapsed_s())


def _order(raw: Raw, seed: int, session: int) -> np.ndarray:
    """The unvisited programs of a round in random order, seeded by the round's number.

    From the second session on also by the session's: a program that fails must not always come
    before the same others.
    """
    unvisited, entropy = campaign_file.remaining(raw), [seed, campaign_file.rounds_done(raw)]
    random = np.random.default_rng([*entropy, session] if session else entropy)
    return np.array(unvisited)[random.permutation(len(unvisited))]


def _stop_if_requested(
    current: Callable[[], Raw], path: Path, stop_requested: Callable[[], int | None]
) -> None:
    if (number := stop_requested()) is not None:
        raise run.Interrupted(
            f"Stopped {progress_text(current())}: all is saved in {path.parent}. Run the same "
            "command again to go on.",
            number,
        )


def progress_text(raw: Raw) -> str:
    """The progress of the campaign, in words."""
    done, (seen, count, noun) = campaign_file.rounds_done(raw), _visited(raw)
    if len(campaign_file.remaining(raw)) == len(raw.labels):
        return f"after round {done}"
    return f"in round {done + 1}, after {seen} of {count} {noun}"


def _subject(raw: Raw) -> str:
    """What is timed, and during a round how much of it has been: `3 networks, 2 once more`."""
    seen, count, noun = _visited(raw)
    if len(campaign_file.remaining(raw)) == len(raw.labels):
        return f"{count} {noun}"
    return f"{count} {noun}, {seen} of them once more"


def _visited(raw: Raw) -> tuple[int, int, str]:
    """(visited in the current round, number of all, noun), without twins and the reference."""
    is_twin = [int(j) >= 0 for j in raw.twin_of]
    unvisited = set(campaign_file.remaining(raw))
    visited = [i for i in range(len(raw.labels)) if i not in unvisited]
    seen, _ = programs.counted([raw.kinds[i] for i in visited], [is_twin[i] for i in visited])
    return seen, *programs.counted(raw.kinds, is_twin)


def visits(raw: Raw) -> int:
    """Number of visits, over all programs."""
    unvisited = len(campaign_file.remaining(raw))
    return (campaign_file.rounds_done(raw) + 1) * len(raw.labels) - unvisited


def _remaining_s(raw: Raw, visit_s: float, protocol: Protocol) -> float:
    """Upper bound of the seconds to go: until the last round or the end of the minutes."""
    rounds_s = visit_s * (protocol.max_rounds * len(raw.labels) - visits(raw))
    if protocol.minutes is None:
        return rounds_s
    return min(rounds_s, max(60 * protocol.minutes - raw.header["spent_s"], 0))


def _with_row(
    raw: Raw, row: tuple, unvisited: Sequence[int], started_s: float, session: int, spent_s: float
) -> Raw:
    """The campaign with one more row; `unvisited`: programs its round has yet to visit."""
    position = {
        "rounds": campaign_file.rounds_done(raw) + (not len(unvisited)),
        "left": [raw.labels[i] for i in unvisited],
    }
    load = [raw.header["load"][0], hardware.load()]
    return raw._replace(
        header=dict(raw.header) | {"spent_s": spent_s, "load": load} | position,
        rounds_ms=np.concatenate([raw.rounds_ms, row[0][None]]),
        chains_ms=np.concatenate([raw.chains_ms, row[1][None]]),
        started_s=np.append(raw.started_s, started_s),
        session=np.append(raw.session, np.int32(session)),
    )
