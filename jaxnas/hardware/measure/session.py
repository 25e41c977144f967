"""A session of a campaign: rounds until there are enough, kept as they come."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import rich.console

from jaxnas import run
from jaxnas.hardware import device as hardware
from jaxnas.hardware import timing
from jaxnas.hardware.measure import campaign_file
from jaxnas.hardware.measure import stopping as protocols
from jaxnas.hardware.measure.campaign_file import Raw
from jaxnas.hardware.measure.stopping import Protocol
from jaxnas.hardware.timing import TimedProgram
from jaxnas.run import progress

SAVE_S = 5.0  # the file is written after so long as well
TELL_S = 1.0  # within a round that takes longer, progress is told program by program


def run_rounds(
    raw: Raw,
    path: Path,
    ready: Sequence[TimedProgram],
    asked: Callable[[], int | None],
    protocol: Protocol,
    passed: Callable[[], float],
    console: rich.console.Console,
) -> Raw:
    """Rounds until there are enough, written every few rounds or seconds, and when cut short."""
    # Said by the file, since a session may end before its first row.
    session = raw.header.get("sessions", int(raw.session.max(initial=-1)) + 1)
    raw = raw._replace(header=dict(raw.header) | {"sessions": session + 1})
    first, began = visits(raw), time.monotonic()
    saved_s = told_s = began
    so_far = lambda: raw

    def save(now: Raw) -> None:
        nonlocal saved_s
        campaign_file.write(path, now)
        saved_s = time.monotonic()

    def tell(now: Raw, words: str = "") -> None:
        nonlocal told_s
        told_s = time.monotonic()
        one_s = (told_s - began) / (visits(now) - first)
        words = words or f"{1e3 * one_s * len(ready):.0f} ms a round"
        update(campaign_file.taken(now), _left_s(now, one_s, protocol), f"{words}, at most")

    with progress.bar("measure", protocol.most_rounds, console) as update:
        try:
            while not protocols.is_converged(raw, protocol):
                with contextlib.closing(_round(raw, ready, protocol, session, passed)) as round_:
                    for so_far in round_:
                        _stop(so_far, path, asked)
                        if time.monotonic() - saved_s > SAVE_S:
                            save(so_far())
                        if time.monotonic() - told_s > TELL_S:
                            tell(now := so_far(), progress_text(now))
                raw = so_far()
                tell(raw)
                if campaign_file.taken(raw) % protocols.SAVE_ROUNDS == 0:
                    save(raw)
        except Exception as error:
            now = so_far()
            now = now._replace(header=dict(now.header) | {"spent_s": passed()})
            failed = not isinstance(error, run.Interrupted)
            save(_given_up(now) if failed and 0 < visits(now) == first else now)
            raise
        except BaseException:
            save(so_far())
            raise
    save(raw)
    return raw


def _given_up(raw: Raw) -> Raw:
    """The campaign after a session that failed at once. What its round has left fails always, or
    so it seems: the round counts without, else no other program would have a turn again."""
    if len(campaign_file.left(raw)) == len(raw.labels):
        return raw
    return raw._replace(
        header=dict(raw.header) | {"rounds": campaign_file.taken(raw) + 1, "left": []}
    )


def _round(
    raw: Raw,
    ready: Sequence[TimedProgram],
    protocol: Protocol,
    session: int,
    passed: Callable[[], float],
) -> Iterator[Callable[[], Raw]]:
    """One round, or what an earlier session has left of it: after each program, what gives the
    campaign as it is then, since most of the time nobody asks."""
    order = _order(raw, protocol.seed, session)
    row = np.full(len(ready), np.nan), np.full(raw.chains_ms.shape[1:], np.nan)
    started_s = time.time()
    for done, _ in enumerate(timing.sample_each(ready, order, *row), 1):
        yield functools.partial(_with, raw, row, order[done:], started_s, session, passed())


def _order(raw: Raw, seed: int, session: int) -> np.ndarray:
    """What a round has left, in an order of its number's own, and of the session's from the
    second on: a program that fails must not keep the same others from their turn."""
    left, drawn = campaign_file.left(raw), [seed, campaign_file.taken(raw)]
    random = np.random.default_rng([*drawn, session] if session else drawn)
    return np.array(left)[random.permutation(len(left))]


def _stop(so_far: Callable[[], Raw], path: Path, asked: Callable[[], int | None]) -> None:
    if (number := asked()) is not None:
        raise run.Interrupted(
            f"Stopped {progress_text(so_far())}: all is saved in {path.parent}. Run the same "
            "command again to go on.",
            number,
        )


def progress_text(raw: Raw) -> str:
    """How far the campaign is, in words."""
    taken, left = campaign_file.taken(raw), len(campaign_file.left(raw))
    if left == len(raw.labels):
        return f"after round {taken}"
    return f"in round {taken + 1}, after {len(raw.labels) - left} of {len(raw.labels)} programs"


def visits(raw: Raw) -> int:
    """How often a program was visited, all programs together."""
    return (campaign_file.taken(raw) + 1) * len(raw.labels) - len(campaign_file.left(raw))


def _left_s(raw: Raw, one_s: float, protocol: Protocol) -> float:
    """Seconds until the last round, or the last minute, of visits that take `one_s` each."""
    rounds_s = one_s * (protocol.most_rounds * len(raw.labels) - visits(raw))
    if protocol.minutes is None:
        return rounds_s
    return min(rounds_s, max(60 * protocol.minutes - raw.header["spent_s"], 0))


def _with(
    raw: Raw, row: tuple, left: Sequence[int], started_s: float, session: int, spent_s: float
) -> Raw:
    """The campaign with one row more, after which its round has these programs left."""
    far = {
        "rounds": campaign_file.taken(raw) + (not len(left)),
        "left": [raw.labels[i] for i in left],
    }
    load = [raw.header["load"][0], hardware.load()]
    return raw._replace(
        header=dict(raw.header) | {"spent_s": spent_s, "load": load} | far,
        rounds_ms=np.concatenate([raw.rounds_ms, row[0][None]]),
        chains_ms=np.concatenate([raw.chains_ms, row[1][None]]),
        started_s=np.append(raw.started_s, started_s),
        session=np.append(raw.session, np.int32(session)),
    )
