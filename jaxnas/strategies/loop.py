"""A search by evaluations that can be stopped anywhere: asks, evaluations, tells, by its log.

What was asked and told is on disk before anything follows from it. A search goes on by telling the
strategy the log again, so that the log of a run that was killed is, but for seconds, that of one
that was not.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from jaxnas.run import files, signals
from jaxnas.run.files import RunError
from jaxnas.strategies import evaluation_log, goals, strategy
from jaxnas.strategies.designs import design_space
from jaxnas.strategies.designs.design_space import Designs, DesignSpace
from jaxnas.strategies.evaluation_log import Ask, Result
from jaxnas.strategies.goals import Goals
from jaxnas.strategies.strategy import MAX_REPEATS, Strategy
from jaxnas.strategies.workers import Workers

MAX_FAILURES = 5  # in a row, after which a search stops


class Budget(NamedTuple):
    """What a search may cost, over all its sessions."""

    evaluations: int  # of different designs, failed ones included
    seconds: float = math.inf  # of evaluations


class SearchProblem(NamedTuple):
    """What is searched for."""

    space: DesignSpace
    goals: Goals
    seed: int


class Progress(NamedTuple):
    """After an evaluation."""

    evaluations: int  # charged
    failures: int
    remaining_s: float | None  # of evaluations, on these workers
    designs: Designs  # all that were evaluated
    values: np.ndarray  # f64[N, goals]


class Hooks(NamedTuple):
    """What is told of a search while it runs."""

    report: Callable[[Progress], None] = lambda progress: None  # after each evaluation
    log: Callable[[str], None] = lambda line: None


SILENT = Hooks()


class Outcome(NamedTuple):
    """The end of a search."""

    designs: Designs  # i64[N, variables], in the order in which they were evaluated
    values: np.ndarray  # f64[N, goals]; NaN: failed
    results: tuple[Result, ...]
    seconds: float  # of charged evaluations
    strategy_s: float  # of asks and tells in this session
    reason: str  # why it ended


class _Records(NamedTuple):
    """The log of a search, in memory and open."""

    file: IO[bytes]
    results: dict[bytes, Result]
    free: frozenset[bytes]  # not charged


def run(
    searcher: Strategy,
    problem: SearchProblem,
    budget: Budget,
    folder: Path,
    workers: Workers,
    hooks: Hooks = SILENT,
    *,
    given: tuple[str, Mapping[bytes, Result]] | None = None,
    retry_failed: bool = False,
) -> Outcome:
    """Runs a search, or goes on with the one in `folder`, to the end of its budget.

    `given`: (name, results) of another run, told first in a new run and not charged.
    `retry_failed`: designs that failed in earlier sessions are evaluated again. Raises RunError for
    a log of another space or one that cannot be written, and after five failures in a row;
    ValueError for a budget below 1; Interrupted after a stop signal.
    """
    if budget.evaluations < 1 or not budget.seconds > 0:
        raise ValueError(
            f"The budget is {budget.evaluations} evaluations in {budget.seconds:g} s: give 1 or "
            "more, in more than 0 seconds."
        )
    path = Path(folder) / evaluation_log.FILE
    known = evaluation_log.read(path, problem.space)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(files.open_unbuffered(path, "ab"))
        stop_signal = stack.enter_context(signals.stop_requests(hooks.log))
        asks = list(known.asks)
        results = dict(known.results)
        if given is not None and not asks:
            asks.append(_write_given(file, *given))
            results |= given[1]
        if retry_failed:
            results = {key: r for key, r in results.items() if r.figures is not None}
        free = {k for ask in asks if ask.source is not None for k in design_space.keys(ask.designs)}
        records = _Records(file, results, frozenset(free))
        session = _Session(problem, budget, workers, hooks.report, stop_signal)
        reason, strategy_s = _search(searcher, session, records, asks)
    return _outcome(problem, records, reason, strategy_s)


class _Session(NamedTuple):
    problem: SearchProblem
    budget: Budget
    workers: Workers
    report: Callable[[Progress], None]
    stop_signal: Callable[[], int | None]


def _search(
    searcher: Strategy, session: _Session, records: _Records, asks: list[Ask]
) -> tuple[str, float]:
    """(why the search ended, seconds of asks and tells)."""
    problem, budget = session.problem, session.budget
    state, spent_s, repeats = searcher.init(), 0.0, 0
    first_new = 1 if asks and asks[0].source is not None else 0
    number = 0
    while True:
        if number < len(asks):
            ask = asks[number]
        else:
            left = budget.evaluations - _charged(records)
            if left <= 0:
                return "the budget is used up", spent_s
            if repeats >= MAX_REPEATS:
                return f"{MAX_REPEATS} asks gave no new design", spent_s
            if _seconds(records) >= budget.seconds:
                return "the seconds are used up", spent_s
            count = min(max(searcher.batch, session.workers.count), left)
            start_s = time.monotonic()
            random = strategy.random_of_ask(problem.seed, number - first_new)
            ask = Ask(searcher.ask(state, random, count))
            spent_s += time.monotonic() - start_s
            if not len(ask.designs):
                return "the strategy knows no other design", spent_s
            evaluation_log.write_ask(records.file, number, ask)
        before = len(records.results)
        if not _evaluate(session, records, ask.designs):
            return "the seconds are used up", spent_s
        repeats = 0 if len(records.results) > before else repeats + 1
        start_s = time.monotonic()
        state = searcher.tell(state, ask.designs, _values(problem, records, ask.designs))
        spent_s += time.monotonic() - start_s
        number += 1


def _evaluate(session: _Session, records: _Records, designs: Designs) -> bool:
    """Evaluates those of an ask that have no result; False if the seconds run out before."""
    keys = design_space.keys(designs)
    first = {key: row for row, key in reversed(list(enumerate(keys)))}
    rows = sorted(row for key, row in first.items() if key not in records.results)
    if not rows:
        return True
    in_a_row = 0
    for index, result in session.workers.run(designs[rows]):
        row = rows[index]
        records.results[keys[row]] = result
        evaluation_log.write_result(records.file, designs[row], result)
        in_a_row = 0 if result.figures is not None else _failures_at_the_end(records)
        session.report(_progress(session, records))
        if in_a_row >= MAX_FAILURES:
            raise RunError(
                f"{MAX_FAILURES} evaluations failed one after another, the last with "
                f"{result.failure}. Mend that, then run the same command with --retry-failed; all "
                "results are kept."
            )
        if (signal := session.stop_signal()) is not None:
            raise signals.Interrupted(
                f"Stopped after {_charged(records)} evaluations, which are saved. Run the same "
                "command again to go on.",
                signal,
            )
        if _seconds(records) >= session.budget.seconds:
            return all(key in records.results for key in keys)
    return True


def _failures_at_the_end(records: _Records) -> int:
    count = 0
    for result in reversed(records.results.values()):
        if result.figures is not None:
            break
        count += 1
    return count


def _write_given(file: IO[bytes], name: str, results: Mapping[bytes, Result]) -> Ask:
    """Writes results of another run as the first ask."""
    designs = np.stack([np.frombuffer(key, np.int64) for key in results])
    ask = Ask(designs, name)
    evaluation_log.write_ask(file, 0, ask)
    for row, result in zip(designs, results.values(), strict=True):
        evaluation_log.write_result(file, row, result)
    return ask


def _values(problem: SearchProblem, records: _Records, designs: Designs) -> np.ndarray:
    """f64[n, goals] of designs that have results."""
    figures = [records.results[key].figures or {} for key in design_space.keys(designs)]
    rows = [goals.values_of(problem.goals, of_design) for of_design in figures]
    return np.array(rows).reshape(len(designs), len(problem.goals))


def _charged_results(records: _Records) -> Iterator[Result]:
    return (result for key, result in records.results.items() if key not in records.free)


def _charged(records: _Records) -> int:
    return sum(1 for _ in _charged_results(records))


def _seconds(records: _Records) -> float:
    return sum(result.seconds for result in _charged_results(records))


def _progress(session: _Session, records: _Records) -> Progress:
    count = _charged(records)
    left = session.budget.evaluations - count
    remaining_s = _seconds(records) / count * left / session.workers.count if count else None
    designs = _designs(session.problem, records)
    failures = sum(result.figures is None for result in records.results.values())
    values = _values(session.problem, records, designs)
    return Progress(count, failures, remaining_s, designs, values)


def _designs(problem: SearchProblem, records: _Records) -> Designs:
    rows = [np.frombuffer(key, np.int64) for key in records.results]
    return np.array(rows, np.int64).reshape(len(rows), len(problem.space.variables))


def _outcome(problem: SearchProblem, records: _Records, reason: str, strategy_s: float) -> Outcome:
    designs = _designs(problem, records)
    values = _values(problem, records, designs)
    results = tuple(records.results.values())
    return Outcome(designs, values, results, _seconds(records), strategy_s, reason)
