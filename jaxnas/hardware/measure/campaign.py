"""A measurement campaign: programs timed in interleaved rounds until converged, resumable."""

import contextlib
import datetime
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rich.console

from jaxnas import run
from jaxnas.hardware import device as hardware
from jaxnas.hardware import programs as known
from jaxnas.hardware import timing
from jaxnas.hardware.measure import campaign_file, session, summary
from jaxnas.hardware.measure import stopping as protocols
from jaxnas.hardware.measure.campaign_file import CampaignError, Raw
from jaxnas.hardware.measure.stopping import Protocol
from jaxnas.hardware.programs import Program, check_programs
from jaxnas.hardware.timing import TimedProgram
from jaxnas.run import progress, signals


def measure_all(
    programs: Sequence[Program],
    folder: Path,
    prepare: Callable[[Program, int | None], TimedProgram],
    *,
    device: Mapping[str, Any],
    settings: Mapping[str, Any],
    protocol: Protocol,
    console: rich.console.Console | None = None,
) -> dict[str, Any]:
    """Measures programs, resuming the campaign in `folder`; returns the content of `result.json`.

    `prepare(program, calls)` compiles a program; `calls` in a sample, or None to choose. Every
    round visits every program once, in an order drawn from the seed and the round's number (and
    from the session's number in a resumed campaign). The campaign converges when twins agree, the
    two halves of the rounds agree and the medians are known to 1 %; it ends after `max_rounds` in
    any case, and reports it. `settings`: all that decides what is measured, as JSON values.
    With `minutes`, programs are prepared in order until half of the budget is spent; the others
    are left out. SIGINT and SIGTERM end a session after the current program, with all samples
    saved; the next session continues the round.

    Raises CampaignError on another device than the campaign began on and for a program without a
    valid sample, RunError for a folder of other settings or in use, Interrupted, and what `prepare`
    and the samples raise; the samples so far are in the folder.
    """
    check_programs(programs)
    protocols.check(protocol)
    console = console or rich.console.Console()
    log = lambda text: progress.print_line(console, text)
    record = {"settings": json.loads(json.dumps(dict(settings))), "environment": {}}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(run.claim(folder, record, log))
        stop_requested = stack.enter_context(signals.stop_requests(log))
        path = folder / campaign_file.RAW
        raw = _existing(path, device)
        if raw is not None:
            programs = _in_campaign_order(path, raw, programs)
            log(f"measure: goes on {session.progress_text(raw)}")
        if raw is None or not protocols.is_converged(raw, protocol):
            started_s = time.monotonic()
            earlier_s = 0.0 if raw is None else raw.header["spent_s"]
            elapsed_s = lambda: earlier_s + time.monotonic() - started_s
            ready = _prepare_all(programs, prepare, stop_requested, protocol, raw, console)
            programs = programs[: len(ready)]
            raw = raw or _new_campaign(programs, ready, device, settings)
            if protocol.warm_up and not timing.warm_up(ready[0]):
                log(f"measure: {programs[0].label} does not settle within 1 %: the device is busy")
            raw = session.run_rounds(raw, path, ready, stop_requested, protocol, elapsed_s, console)
        return _write_result(folder, raw)


def _existing(path: Path, device: Mapping[str, Any]) -> Raw | None:
    """The campaign in a file, or None. Raises CampaignError if another device measured it."""
    if not path.exists():
        return None
    raw = campaign_file.read(path)
    if changed := hardware.differences(raw.header["device"], device):
        raise CampaignError(
            f"{path} was measured elsewhere: {'; '.join(changed)}. Go on where it began, or "
            "give this campaign another --name; what is there stays."
        )
    return raw


def _in_campaign_order(path: Path, raw: Raw, programs: Sequence[Program]) -> list[Program]:
    """The programs of an existing campaign, in its order."""
    by_label = {p.label: p for p in programs}
    missing = [name for name in raw.labels if name not in by_label]
    if missing:
        raise CampaignError(
            f"{path} has {missing[0]!r}, which these settings no longer make: give this campaign "
            "another --name."
        )
    return [by_label[name] for name in raw.labels]


def _prepare_all(
    programs: Sequence[Program],
    prepare: Callable[[Program, int | None], TimedProgram],
    stop_requested: Callable[[], int | None],
    protocol: Protocol,
    raw: Raw | None,
    console: rich.console.Console,
) -> list[TimedProgram]:
    """All programs compiled for timing; in a new campaign with `minutes`, as many as fit."""
    started_s, ready = time.monotonic(), []
    counted = lambda part: known.counted(
        [p.kind for p in part], [p.twin_of is not None for p in part]
    )
    total, noun = counted(programs)
    with progress.bar("compile", total or len(programs), console) as update:
        for program in programs:
            elapsed_s = time.monotonic() - started_s
            out_of_time = (
                raw is None and protocol.minutes is not None and elapsed_s >= 30 * protocol.minutes
            )
            if out_of_time and len(ready) >= protocols.MIN_PROGRAMS:
                break
            if (number := stop_requested()) is not None:
                done, _ = counted(programs[: len(ready)])
                raise run.Interrupted(
                    f"Stopped after {done} of {total} {noun} were prepared. Run the same command "
                    "again.",
                    number,
                )
            # Twins take equal samples; a resumed campaign keeps its numbers of calls.
            calls = next((r.calls for r in ready if r.label == program.twin_of), None)
            calls = calls if raw is None else int(raw.calls[len(ready)])
            ready.append(prepare(program, calls))
            remaining_s = (time.monotonic() - started_s) / len(ready) * (len(programs) - len(ready))
            if program.twin_of is None:  # a twin comes with its network
                done, _ = counted(programs[: len(ready)])
                left = progress.duration(remaining_s)
                update(done if total else len(ready), None, f"{noun}; {left} minutes left")
    if len(ready) < len(programs):
        done, _ = counted(programs[: len(ready)])
        progress.print_line(console, f"compile: half the minutes are spent: {done} {noun} it is")
    return ready


def _new_campaign(
    programs: Sequence[Program], ready: Sequence[TimedProgram], device: Mapping, settings: Mapping
) -> Raw:
    labels = tuple(p.label for p in programs)
    chains = len(programs) if any(r.loops is not None for r in ready) else 0
    header = {
        "device": dict(device),
        "settings": dict(settings),
        "begun": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "spent_s": 0.0,
        "load": [hardware.load(), None],
    }
    twins = [labels.index(p.twin_of) if p.twin_of in labels else -1 for p in programs]
    return Raw(
        header,
        labels,
        tuple(p.kind for p in programs),
        tuple(p.architecture for p in programs),
        np.array(twins, np.int32),
        np.array([r.calls for r in ready], np.int32),
        np.array([[r.facts[name] for name in timing.FACTS] for r in ready]),
        np.empty((0, len(programs))),
        np.empty((0, chains, 2)),
        np.empty(0),
        np.empty(0, np.int32),
    )


def _write_result(folder: Path, raw: Raw) -> dict[str, Any]:
    if missing := campaign_file.unsampled(raw):
        raise CampaignError(
            f"{folder / campaign_file.RAW} has no valid sample of "
            f"{campaign_file.first_and_count(missing)}: "
            "go on with more --rounds or --budget-minutes; `jaxnas latency fit` leaves out what "
            "has none."
        )
    result = summary.as_json(raw)
    campaign_file.write_table(folder / campaign_file.TABLE, raw)
    run.write_text(folder / campaign_file.RESULT, json.dumps(result, indent=2) + "\n")
    return result
