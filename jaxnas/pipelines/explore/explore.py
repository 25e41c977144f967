"""`jaxnas explore`: a search strategy that evaluates designs, to a front of networks."""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rich.console

from jaxnas import run
from jaxnas.methods import overrides
from jaxnas.pipelines import genotypes, setup
from jaxnas.pipelines.explore import page, problem
from jaxnas.pipelines.explore.problem import Exploration
from jaxnas.pipelines.settings import command, flat
from jaxnas.pipelines.settings import explore as explore_settings
from jaxnas.pipelines.settings.explore import ExploreSettings
from jaxnas.pipelines.settings.limits import fail
from jaxnas.run import compilation_cache, progress
from jaxnas.spaces import genotype as genotype_text
from jaxnas.spaces import registry as spaces
from jaxnas.strategies import cluster_workers, evaluation_log, loop, registry, workers
from jaxnas.strategies import goals as goal_words
from jaxnas.strategies.designs import design_space
from jaxnas.strategies.loop import Budget, Hooks, Outcome, SearchProblem
from jaxnas.strategies.random_search import random_search
from jaxnas.strategies.strategy import Strategy
from jaxnas.strategies.workers import Workers

GENOTYPE, FRONT, SUMMARY, RANDOM = "genotype.json", "front.json", "summary.json", "random"
# Settings that do not change what an evaluation gives, or what is asked next.
NOT_FINGERPRINTED = (
    "evaluations", "seconds", "workers", "cluster", "time_limit_s", "random_designs", "from_run",
    "retry_failed", "out", "name", "resume", "table", "latency",
)  # fmt: skip


def main(settings: ExploreSettings, console: rich.console.Console | None = None) -> Path:
    """Runs the command, or resumes it from its folder; returns the folder.

    Raises ValueError for settings that are invalid or have no effect, and as `loop.run`.
    """
    console = console or rich.console.Console()
    log = lambda text="": progress.print_line(console, text)
    explore_settings.check(settings)
    entry = registry.get(settings.strategy)
    words = overrides.parse(f"the strategy {settings.strategy}", entry.settings, {}, settings.set)
    compilation_cache.enable()
    exploration = problem.resolve(settings)
    searcher = registry.make(settings.strategy, exploration.designs, exploration.goals, words)
    folder = _folder(settings)
    record = run.record(_fingerprinted(settings, words), run.execution(1), exploration.digest)
    given = _given(settings, exploration)
    _announce(settings, exploration, folder, log)
    with run.claim(folder, record, log) as folder, _workers(settings, exploration) as staff:
        outcome = _run(searcher, settings, exploration, folder, staff, console, given=given)
        count = settings.random_designs
        if count is None:
            count = settings.evaluations if exploration.is_cheap else 0
        baseline = None
        if count:
            (folder / RANDOM).mkdir(exist_ok=True)
            baseline = _run(
                random_search(exploration.designs, exploration.goals),
                dataclasses.replace(settings, evaluations=count),
                exploration,
                folder / RANDOM,
                staff,
                console,
                title="random",
            )
        _write(settings, exploration, outcome, baseline, folder, log)
    return folder


def _run(
    searcher: Strategy,
    settings: ExploreSettings,
    exploration: Exploration,
    folder: Path,
    staff: Workers,
    console: rich.console.Console,
    *,
    title: str = "explore",
    given: Any = None,
) -> Outcome:
    """A search in a folder, with its progress."""
    log = lambda text: progress.print_line(console, text)
    budget = Budget(settings.evaluations, settings.seconds or float("inf"))
    with progress.bar(title, settings.evaluations, console) as update:

        def report(state: loop.Progress) -> None:
            text = best_text(exploration, state.designs, state.values)
            failed = f"  {state.failures} failed" if state.failures else ""
            update(state.evaluations, state.remaining_s, f"{text}{failed}")

        return loop.run(
            searcher,
            SearchProblem(exploration.designs, exploration.goals, settings.seed),
            budget,
            folder,
            staff,
            Hooks(report, log),
            given=given,
            retry_failed=settings.retry_failed,
        )


@contextlib.contextmanager
def _workers(settings: ExploreSettings, exploration: Exploration) -> Iterator[Workers]:
    build = functools.partial(problem.task, settings)
    if settings.cluster is not None:
        with cluster_workers.cluster(settings.cluster, build) as staff:
            yield staff
        return
    if not settings.workers:
        task = workers.Task(exploration.designs, exploration.evaluator, settings.seed)
        yield workers.here(task)
        return
    with workers.processes(settings.workers, build, settings.time_limit_s) as staff:
        yield staff


def best_text(exploration: Exploration, designs: np.ndarray, values: np.ndarray) -> str:
    """The best figures so far, or the size of the front."""
    rows = goal_words.front(exploration.goals, values)
    objectives = [goal for goal in exploration.goals if goal.sign]
    if not len(rows):
        return "nothing keeps the limits yet" if len(designs) else ""
    if len(objectives) == 1:
        column = exploration.goals.index(objectives[0])
        return f"best {objectives[0].figure} {values[rows[0], column]:.4g}"
    return f"front of {len(rows)}"


def _folder(settings: ExploreSettings) -> Path:
    kind, _, of = settings.evaluate.partition(":")
    data = setup.label(settings.source.data)
    source = {"training": data, "scores": f"{data}-scores", "table": "table"}.get(kind)
    parts = (source or setup.label(of), spaces.label(settings.space), settings.strategy)
    name = settings.name or f"{'-'.join(parts)}-seed{settings.seed}"
    path = Path(settings.out).expanduser() / name
    if settings.resume and not (path / "settings.json").exists():
        raise run.RunError(
            f"There is no run in {path} to go on with: leave --resume out, or give the --name "
            "and --out it was started with."
        )
    return path


def _fingerprinted(settings: ExploreSettings, words: dict[str, Any]) -> dict[str, Any]:
    recorded = {k: v for k, v in flat(settings).items() if k not in NOT_FINGERPRINTED}
    digest = spaces.get(settings.space, settings.cells).digest
    return recorded | {"set": words, "space_sha256": digest}


def _given(settings: ExploreSettings, exploration: Exploration):
    """(name, results) of another run. Raises ValueError for one of other designs or figures."""
    if settings.from_run is None:
        return None
    folder = Path(settings.from_run).expanduser()
    path = folder / evaluation_log.FILE
    if not path.exists():
        fail(f"--from-run: {folder} holds no {evaluation_log.FILE}: give a folder of an explore.")
    results = evaluation_log.read(path, exploration.designs).results
    needed = {goal.figure for goal in exploration.goals}
    missing = [figure for r in results.values() if r.figures for figure in needed - set(r.figures)]
    if missing:
        fail(f"--from-run: {folder} has no figure {missing[0]!r}: give a run with the same goals.")
    return (folder.resolve().name, results) if results else None


def _announce(
    settings: ExploreSettings, exploration: Exploration, folder: Path, log: Callable[[str], None]
) -> None:
    goals = ", ".join(goal_words.text(goal) for goal in exploration.goals)
    variables = exploration.designs.variables
    log(
        f"jaxnas explores {settings.space} by {settings.strategy}: {settings.evaluations} "
        f"evaluations by {settings.evaluate}; goals {goals}"
    )
    log(
        f"{len(variables)} variables, {_count_text(exploration)} rows; figures "
        f"{', '.join(exploration.evaluator.maximise)}"
    )
    log(f"everything goes to {folder}")


def _count_text(exploration: Exploration) -> str:
    count = design_space.count(exploration.designs)
    return f"{count:,}" if count < 10**9 else f"{count:.1e}"


def _write(
    settings: ExploreSettings,
    exploration: Exploration,
    outcome: Outcome,
    baseline: Outcome | None,
    folder: Path,
    log: Callable[[str], None],
) -> None:
    """Writes front, best genotype, summary and page; prints the end."""
    goals = exploration.goals
    front = goal_words.front(goals, outcome.values)
    failures = int(np.isnan(outcome.values).any(1).sum())
    entries = [page.entry(exploration, outcome, row) for row in _by_first_goal(front, outcome)]
    run.write_text(folder / FRONT, json.dumps(entries, indent=2) + "\n")
    command_text = command("jaxnas explore", settings, ExploreSettings())
    summary = {
        "strategy": settings.strategy,
        "goals": [goal_words.text(goal) for goal in goals],
        "evaluations": len(outcome.results),
        "failures": failures,
        "seconds": outcome.seconds,
        "strategy_s": outcome.strategy_s,
        "reason": outcome.reason,
        "front": entries,
        "random": None if baseline is None else page.comparison(exploration, outcome, baseline),
        "command": command_text,
        "resume": f"{command_text} --resume",
    }
    run.write_text(folder / SUMMARY, json.dumps(summary, indent=2) + "\n")
    log(
        f"{len(outcome.results)} evaluations, {failures} failed, in "
        f"{progress.duration(outcome.seconds)}; the strategy itself took {outcome.strategy_s:.1f} s"
        f" ({outcome.reason})"
    )
    if not len(front):
        log("no design keeps all limits: raise one of them, or evaluate more")
    else:
        best = goal_words.order(goals, outcome.values)[0]
        genotype = problem.network(exploration.designs.decode(outcome.designs[best]))
        run.write_text(folder / GENOTYPE, genotype_text.to_json(genotype))
        genotypes.pictures(genotype, folder)
        for line in page.lines(exploration, entries):
            log(line)
    if baseline is not None:
        log(page.comparison_text(exploration, summary["random"]))
    log(f"report: {page.write(folder, settings, exploration, outcome, baseline, summary)}")


def _by_first_goal(front: np.ndarray, outcome: Outcome) -> np.ndarray:
    return front[np.argsort(outcome.values[front, 0], kind="stable")] if len(front) else front
