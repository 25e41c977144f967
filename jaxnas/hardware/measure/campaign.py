"""A campaign: programs timed in interleaved rounds until the times hold, kept as they come."""

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
from jaxnas.hardware import programs, timing
from jaxnas.hardware.measure import campaign_file, session, summary
from jaxnas.hardware.measure import stopping as protocols
from jaxnas.hardware.measure.campaign_file import CampaignError, Raw
from jaxnas.hardware.measure.stopping import Protocol
from jaxnas.hardware.programs import Program
from jaxnas.hardware.timing import TimedProgram
from jaxnas.run import progress, signals


def measure_all(
    found: Sequence[Program],
    folder: Path,
    prepare: Callable[[Program, int | None], TimedProgram],
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
    every sample the clock spoilt, RunError for a folder of other settings or in use,
    Interrupted, and what `prepare` and the samples raise; whatever was
    measured by then is in the folder.
    """
    programs.check(found)
    protocols.check(protocol)
    console = console or rich.console.Console()
    note = lambda text: progress.print_line(console, text)
    record = {"settings": json.loads(json.dumps(dict(settings))), "environment": {}}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(run.claim(folder, record, note))
        asked = stack.enter_context(signals.stop_requests(note))
        path = folder / campaign_file.RAW
        raw = _begun(path, device)
        if raw is not None:
            found = _same(path, raw, found)
            note(f"measure: goes on {session.progress_text(raw)}")
        if raw is None or not protocols.is_converged(raw, protocol):
            began = time.monotonic()
            spent_s = 0.0 if raw is None else raw.header["spent_s"]
            passed = lambda: spent_s + time.monotonic() - began
            ready = _prepared(found, prepare, asked, protocol, raw, console)
            found = found[: len(ready)]
            raw = raw or _empty(found, ready, device, settings)
            if protocol.warm_up and not timing.warm_up(ready[0]):
                note(f"measure: {found[0].label} does not settle within 1 %: the device is busy")
            raw = session.run_rounds(raw, path, ready, asked, protocol, passed, console)
        return _written(folder, raw)


def _begun(path: Path, device: Mapping[str, Any]) -> Raw | None:
    """The rounds that are there. Raises CampaignError if another device took them."""
    if not path.exists():
        return None
    raw = campaign_file.read(path)
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
    prepare: Callable[[Program, int | None], TimedProgram],
    asked: Callable[[], int | None],
    protocol: Protocol,
    raw: Raw | None,
    console: rich.console.Console,
) -> list[TimedProgram]:
    """Every program ready to be timed; of a new campaign of few minutes, the first of them."""
    began, ready = time.monotonic(), []
    with progress.bar("prepare", len(found), console) as update:
        for program in found:
            spent_s = time.monotonic() - began
            short = (
                raw is None and protocol.minutes is not None and spent_s >= 30 * protocol.minutes
            )
            if short and len(ready) >= protocols.FEWEST:
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
            update(len(ready), left_s, program.kind)
    if len(ready) < len(found):
        progress.print_line(
            console, f"prepare: half the minutes are spent: {len(ready)} programs it is"
        )
    return ready


def _empty(
    found: Sequence[Program], ready: Sequence[TimedProgram], device: Mapping, settings: Mapping
) -> Raw:
    labels = tuple(p.label for p in found)
    chains = len(found) if any(r.loops is not None for r in ready) else 0
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
        np.array([[r.facts[name] for name in timing.FACTS] for r in ready]),
        np.empty((0, len(found))),
        np.empty((0, chains, 2)),
        np.empty(0),
        np.empty(0, np.int32),
    )


def _written(folder: Path, raw: Raw) -> dict[str, Any]:
    if missing := campaign_file.unsampled(raw):
        raise CampaignError(
            f"{folder / campaign_file.RAW} has no valid sample of "
            f"{campaign_file.some(missing)}: "
            "go on with more --rounds or --budget-minutes; `jaxnas latency fit` leaves out what "
            "has none."
        )
    found = summary.of(raw)
    campaign_file.write_table(folder / campaign_file.TABLE, raw)
    run.write_text(folder / campaign_file.RESULT, json.dumps(found, indent=2) + "\n")
    return found
