"""`jaxnas verify`: steps of a search run again and compared byte by byte; two runs compared."""

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import rich.console

from jaxnas import data, run
from jaxnas.pipelines import diagnose, retrain, search, search_stages, study
from jaxnas.pipelines.ablation import first_difference
from jaxnas.pipelines.search import SearchRun
from jaxnas.pipelines.settings import RunSettings
from jaxnas.pipelines.settings.ablation import VerifySettings
from jaxnas.pipelines.settings.limits import fail, require
from jaxnas.report import run_reader
from jaxnas.run import checkpoint, progress, provenance, step_runner

DIFFERS = 1  # exit code
CHECKPOINTS = "checkpoints"


class Repetition(NamedTuple):
    """Steps that were run again."""

    start: int
    end: int
    lines: Sequence[Mapping[str, Any]]  # of metrics.jsonl, now
    state: Any


def main(settings: VerifySettings, console: rich.console.Console | None = None) -> int:
    """Verifies one run, or compares two; 0 if nothing differs, else 1.

    Raises ValueError for a folder of no search, and where data, space or code are no longer those
    of the run, so that its steps cannot be run again.
    """
    console = console or rich.console.Console()
    log = lambda text: progress.print_line(console, text)
    require("--steps", settings.steps, minimum=1)
    folders = [Path(word).expanduser() for word in settings.runs]
    if len(folders) == 2:
        return _two(*folders, log)
    if len(folders) != 1:
        fail("Give one run, of which steps are run again, or two to be compared.")
    return _one(folders[0], settings.steps, console, log)


def _two(first: Path, second: Path, log) -> int:
    difference = first_difference.between(first, second)
    if difference is None:
        log(f"{first} and {second} do not differ: settings, program, metrics, cells, results.")
        return 0
    log(f"{first} and {second} first differ in {difference}")
    return DIFFERS


def _one(folder: Path, steps: int, console: rich.console.Console, log) -> int:
    if (folder / study.ROWS).exists():
        fail(f"{folder} is an ablation: give the folder of one of its rows, in {folder}/runs.")
    record = diagnose.load_record(folder)
    task = _resolved(folder, record, console)
    for line in first_difference.described(folder):
        log(line)
    for line in provenance.environment_differences(record, task.job.record):
        log(f"here it is not as it was: {line}")
    again = _repeat(folder, task, steps)
    log(f"steps {again.start + 1} to {again.end} were run again")
    difference = _metrics_difference(folder, again)
    if difference is not None:
        log(f"DIFFERENT: {difference}")
        return DIFFERS
    count = len(again.lines)
    log(f"the same to the byte: all metrics of {count} line{'s' * (count != 1)}")
    if again.end not in _steps(folder):
        log("no checkpoint was kept of that step: the state itself is not compared")
        return 0
    saved, _ = checkpoint.read(
        folder / CHECKPOINTS, again.state, run.fingerprint(record), step=again.end
    )
    different = _different_leaves(saved, again.state)
    leaves = len(jax.tree.leaves(saved))
    if different:
        log(f"DIFFERENT: {len(different)} of {leaves} arrays of the state, first {different[0]}")
        return DIFFERS
    log(f"the same to the byte: all {leaves} arrays of the state, against its checkpoint")
    return 0


def _resolved(folder: Path, record: Mapping[str, Any], console) -> SearchRun:
    """The search of a folder. Raises ValueError if it would not be the same search now."""
    flat = record["settings"]
    if flat.get("latency") or flat.get("target_models"):
        fail(
            f"{folder} was searched under predicted limits, and the paths of their files are not "
            "recorded: its steps cannot be run again."
        )
    settings, _ = diagnose.settings_of(flat, folder)
    mode = record["execution"]["mode"]
    settings = dataclasses.replace(
        settings, place=RunSettings(mode=mode), devices=flat.get("devices", 1)
    )
    task = search.resolve(settings, console)
    if changed := provenance.differences(record, task.job.record):
        fail(
            f"{folder} cannot be run again as it was: {'; '.join(changed[:3])}. Bring back what "
            "has changed since."
        )
    return task


def _steps(folder: Path) -> list[int]:
    """The steps of the first stage's checkpoints, ascending."""
    paths = (folder / CHECKPOINTS).glob("[0-9]*")
    return sorted(int(path.name) for path in paths if path.name.isdecimal())


def _repeat(folder: Path, task: SearchRun, steps: int) -> Repetition:
    """Runs steps again from the earliest checkpoint after which there are some, or from the start.

    As the search itself runs them, in a copy of its folder, up to the next checkpoint at most.
    """
    recorded = [line["step"] for line in run_reader.read(folder).metrics]
    last = max(recorded, default=0)
    saved = _steps(folder)
    start = next((step for step in saved if step < last), 0)
    end = end_of(task, start, min([start + steps, last, *(step for step in saved if step > start)]))
    if end <= start:
        fail(f"{folder} has no step to run again: its metrics.jsonl is empty.")
    with tempfile.TemporaryDirectory(prefix="jaxnas-") as name:
        copy = Path(name)
        if start:
            shutil.copytree(folder / CHECKPOINTS / str(start), copy / CHECKPOINTS / str(start))
        job = task.job._replace(folder=copy, console=rich.console.Console(quiet=True), pause_at=end)
        recipe = task.search.settings.retrain
        augment = retrain.augment(task.search.dataset, recipe.pad, recipe.flip, 0)
        try:
            search_stages.search(task.search, augment, job)
        except run.Paused as paused:
            state = paused.result.state
        return Repetition(start, end, run_reader.read(copy).metrics, state)


def end_of(task: SearchRun, start: int, end: int) -> int:
    """`end`, or the end of its chunk where a chunk is one program, which is run as a whole."""
    images, execution = len(task.search.dataset.train.labels), task.job.execution
    if execution.mode != "scan":
        return end
    per_epoch = data.steps_per_epoch(images, task.search.settings.batch_size)
    step = start
    while step < end:
        step += step_runner.chunk_length(step, 2**31, per_epoch, execution.chunk_steps)
    return step


def _metrics_difference(folder: Path, again: Repetition) -> str | None:
    kept = [
        line for line in run_reader.read(folder).metrics if again.start < line["step"] <= again.end
    ]
    return first_difference.of_metrics(kept, again.lines)


def _different_leaves(old: Any, new: Any) -> list[str]:
    """The paths of the arrays that differ in a byte."""
    return [
        jax.tree_util.keystr(path)
        for (path, a), b in zip(_leaves(old), [leaf for _, leaf in _leaves(new)], strict=True)
        if a.tobytes() != b.tobytes()
    ]


def _leaves(state: Any) -> Iterator[tuple[Any, np.ndarray]]:
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        yield path, np.asarray(jax.random.key_data(leaf) if is_key else leaf)
