"""Evaluations on the machines of a Ray cluster; `pip install "jaxnas[sweep]"`."""

import contextlib
import socket
import uuid
from collections.abc import Callable, Iterator

from jaxnas.strategies import workers
from jaxnas.strategies.designs.design_space import Designs
from jaxnas.strategies.evaluation_log import Result
from jaxnas.strategies.workers import ATTEMPTS, Task, Workers


@contextlib.contextmanager
def cluster(address: str, build: Callable[[], Task]) -> Iterator[Workers]:
    """A worker a processor of a cluster; `local`: of a new one on this machine.

    `build`, which must be picklable, makes the task once in each process. An evaluation whose
    process or machine dies is tried once more, elsewhere. Raises ValueError where Ray is missing
    or nothing answers at the address.
    """
    try:
        import ray
    except ImportError:
        raise ValueError(
            'A cluster needs Ray: pip install "jaxnas[sweep]", or use --workers here.'
        ) from None
    try:
        _check_answers(address)
        ray.init(address=None if address == "local" else address, log_to_driver=False)
    except (OSError, RuntimeError, ValueError) as error:
        cause = " ".join(str(error).split())[:200]
        raise ValueError(
            f"No cluster at {address!r} ({cause}): start one with `ray start --head`, give its "
            "address, or `local`."
        ) from None
    try:
        evaluate = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(_evaluate)
        count = max(1, int(ray.cluster_resources().get("CPU", 1)))
        token = uuid.uuid4().hex  # by which a process knows that it has made the task

        def run(designs: Designs) -> Iterator[tuple[int, Result]]:
            waiting = {
                evaluate.remote(token, build, designs[row : row + 1]): row
                for row in range(len(designs))
            }
            while waiting:
                for done in ray.wait(list(waiting), num_returns=1)[0]:
                    row = waiting.pop(done)
                    try:
                        yield row, ray.get(done)
                    except ray.exceptions.RayError as error:
                        yield row, Result(None, workers.failure_text(error), 0.0)

        yield Workers(count, run)
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Raises OSError where nothing listens at HOST:PORT, for which Ray waits minutes."""
    host, separator, port = address.rpartition(":")
    if separator and port.isdigit() and "//" not in host:
        socket.create_connection((host, int(port)), timeout=5).close()


_tasks: dict[str, Task] = {}  # of a worker's process


def _evaluate(token: str, build: Callable[[], Task], designs: Designs) -> Result:
    if token not in _tasks:
        _tasks[token] = build()
    return workers.results(_tasks[token], designs)[0]
