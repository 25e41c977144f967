"""Networks compiled in a thread of their own while a search runs, which leaves a core idle."""

import concurrent.futures
import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import jax

from jaxnas.pipelines import retrain
from jaxnas.run import step_runner


class Ahead(NamedTuple):
    """`start()` begins to compile, the first time; `begun(name)` gives one of `names`, once."""

    names: frozenset[str]
    start: Callable[[], None]
    wait: Callable[[], None]  # for all that was started
    begun: Callable[[str], retrain.Begun]


@contextlib.contextmanager
def compiling(tasks: Mapping[str, retrain.TrainingTask], mode: str | None) -> Iterator[Ahead]:
    """Begins the trainings of `tasks` and compiles their steps, one after another, from `start` on.

    The programs are those that would be compiled later, so that no result depends on it. What fails
    raises at `begun`. On an accelerator there are no `names`: compilers measure there. Leaving
    the context cancels what has not begun and waits for the one that has.
    """
    names = frozenset(tasks) if jax.default_backend() == "cpu" else frozenset()
    futures: dict[str, concurrent.futures.Future] = {}
    with concurrent.futures.ThreadPoolExecutor(1, "compile") as threads:

        @functools.cache
        def start() -> None:
            futures.update(
                {
                    name: threads.submit(_compiled, tasks[name], mode)
                    for name in tasks
                    if name in names
                }
            )

        def begun(name: str) -> retrain.Begun:
            start()
            return futures.pop(name).result()

        try:
            wait = lambda: concurrent.futures.wait(list(futures.values()))
            yield Ahead(names, start, wait, begun)
        finally:
            threads.shutdown(cancel_futures=True)


def _compiled(task: retrain.TrainingTask, mode: str | None) -> retrain.Begun:
    begun = retrain.begin(task, mode)
    if begun.plan.execution.mode == "step":  # one program for any number of steps
        begun.runner.compile(step_runner.own_copy(begun.state), 1)
    return begun
