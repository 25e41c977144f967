"""Networks compiled in a thread of their own while a search runs, which leaves a core idle."""

import concurrent.futures
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import jax

from jaxnas.pipelines import retrain
from jaxnas.run import step_runner


class Ahead(NamedTuple):
    """`begun(name)` gives a network of `names`, once; `wait()` waits for all."""

    names: frozenset[str]
    begun: Callable[[str], retrain.Begun]
    wait: Callable[[], None]


@contextlib.contextmanager
def compiling(tasks: Mapping[str, retrain.TrainingTask], mode: str | None) -> Iterator[Ahead]:
    """Begins the trainings of `tasks` and compiles their steps, one after another.

    The programs are those that would be compiled later, so that no result depends on it. What fails
    raises at `begun`. On an accelerator nothing is compiled ahead: compilers measure there. Leaving
    the context cancels what has not started and waits for the one that has.
    """
    with concurrent.futures.ThreadPoolExecutor(1, "compile") as threads:
        is_measured = jax.default_backend() != "cpu"
        futures = {
            name: threads.submit(_compiled, task, mode)
            for name, task in tasks.items()
            if not is_measured
        }
        begun = lambda name: futures.pop(name).result()
        try:
            yield Ahead(
                frozenset(futures), begun, lambda: concurrent.futures.wait(list(futures.values()))
            )
        finally:
            threads.shutdown(cancel_futures=True)


def _compiled(task: retrain.TrainingTask, mode: str | None) -> retrain.Begun:
    begun = retrain.begin(task, mode)
    if begun.plan.execution.mode == "step":  # one program for any number of steps
        begun.runner.compile(step_runner.own_copy(begun.state), 1)
    return begun
