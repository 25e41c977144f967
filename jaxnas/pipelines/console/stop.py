"""Signals that end a program, as an exception, while no loop of `jaxnas.run` listens to them."""

import contextlib
import signal
import threading
from collections.abc import Iterator

# Those of `run.signals.STOP_SIGNALS` but Ctrl-C, which is Python's own exception already.
# That module is not imported for the help alone, since it imports JAX.
NUMBERS = (
    signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU,
)  # fmt: skip


class Terminated(KeyboardInterrupt):
    """A signal of NUMBERS outside the steps of a run."""

    def __init__(self, number: int):
        super().__init__()
        self.signal = number


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Turns stop signals into an exception, so that partly written files are removed.

    Signals that the process was told to ignore, as by `nohup`, stay ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [number for number in NUMBERS if signal.getsignal(number) != signal.SIG_IGN]
    old = {number: signal.signal(number, _stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _stop(number: int, _: object) -> None:
    if number == signal.SIGHUP:
        from jaxnas.run import signals

        signals.leave_closed_terminal()
    raise Terminated(number)
