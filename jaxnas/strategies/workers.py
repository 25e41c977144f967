"""Where evaluations run: in this process, or in processes of their own."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pebble

from jaxnas.evaluators.evaluator import Evaluator
from jaxnas.strategies import evaluation
from jaxnas.strategies.designs.design_space import Designs, DesignSpace
from jaxnas.strategies.evaluation_log import Result

ATTEMPTS = 2  # of an evaluation whose worker dies


class Task(NamedTuple):
    """What a worker needs: how designs are evaluated."""

    space: DesignSpace
    evaluator: Evaluator
    seed: int


class Workers(NamedTuple):
    """`run(designs)` yields (row, its result) as they come."""

    count: int  # evaluations at once
    run: Callable[[Designs], Iterator[tuple[int, Result]]]


def here(task: Task) -> Workers:
    """This process, `evaluator.at_once` designs a call."""

    def run(designs: Designs) -> Iterator[tuple[int, Result]]:
        for start in range(0, len(designs), task.evaluator.at_once):
            part = designs[start : start + task.evaluator.at_once]
            yield from enumerate(results(task, part), start)

    return Workers(1, run)


def results(task: Task, designs: Designs) -> list[Result]:
    """The results of designs that are evaluated together; each has its share of the seconds."""
    start_s = time.monotonic()
    evaluated = evaluation.evaluate(task.space, task.evaluator, designs, task.seed)
    seconds = (time.monotonic() - start_s) / max(len(designs), 1)
    return [
        Result(None, failure_text(figures), seconds)
        if isinstance(figures, Exception)
        else Result(figures, None, seconds)
        for figures in evaluated
    ]


def failure_text(error: BaseException) -> str:
    """An error as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextlib.contextmanager
def processes(
    count: int, build: Callable[[], Task], time_limit_s: float | None = None
) -> Iterator[Workers]:
    """`count` processes, each with its share of the processor's cores.

    `build`, which must be picklable, makes the task in each process. An evaluation whose process
    dies is tried once more; one that takes longer than `time_limit_s` fails, and its process is
    replaced. Raises ValueError for less than one process.
    """
    if count < 1:
        raise ValueError(f"There are {count} workers: give 1 or more.")
    context = multiprocessing.get_context("spawn")
    taken = context.Value("i", 0)
    with pebble.ProcessPool(
        max_workers=count, context=context, initializer=_begin, initargs=(build, count, taken)
    ) as pool:

        def run(designs: Designs) -> Iterator[tuple[int, Result]]:
            attempts = dict.fromkeys(range(len(designs)), 0)
            waiting: dict[concurrent.futures.Future, int] = {}

            def submit(row: int) -> None:
                attempts[row] += 1
                arguments = [designs[row : row + 1]]
                waiting[pool.schedule(_evaluate, args=arguments, timeout=time_limit_s)] = row

            for row in range(len(designs)):
                submit(row)
            while waiting:
                done, _ = concurrent.futures.wait(
                    waiting, return_when=concurrent.futures.FIRST_COMPLETED
                )
                for future in done:
                    row = waiting.pop(future)
                    result = _outcome(future, time_limit_s)
                    if result is None and attempts[row] < ATTEMPTS:
                        submit(row)
                    else:
                        died = Result(None, "WorkerError: its process died twice", 0.0)
                        yield row, died if result is None else result

        try:
            yield Workers(count, run)
        except BaseException:
            pool.stop()
            raise
        finally:
            pool.close()
            pool.join()


def _outcome(future: concurrent.futures.Future, time_limit_s: float | None) -> Result | None:
    """The result; None if the process died."""
    try:
        return future.result()
    except pebble.ProcessExpired:
        return None
    except TimeoutError:
        text = f"TimeoutError: it took more than {time_limit_s:g} s"
        return Result(None, text, float(time_limit_s or 0))


_task: list[Task] = []  # of a worker's process: what its initialiser made


def _begin(build: Callable[[], Task], count: int, taken) -> None:
    """Gives the process its cores, then makes its task."""
    cores = sorted(os.sched_getaffinity(0))
    with taken.get_lock():
        number = taken.value
        taken.value += 1
    _pin(cores, count, number)
    _task.append(build())


def _pin(cores: Sequence[int], count: int, number: int) -> None:
    share = np.array_split(cores, count)[number % count].tolist()
    if share:
        os.sched_setaffinity(0, share)


def _evaluate(designs: Designs) -> Result:
    return results(_task[0], designs)[0]
