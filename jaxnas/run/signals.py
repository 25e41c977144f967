"""Signals that end a program: the first lets a run save and stop, the second ends it at once."""

import contextlib
import errno
import os
import signal
import socket
import termios
import threading
from collections.abc import Callable, Iterator

# Of terminals (Ctrl-C, Ctrl-\\, closing one), of containers, and of batch systems before a limit.
STOP_SIGNALS = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGXCPU,
)  # fmt: skip


class Interrupted(Exception):
    """A run was stopped by `signal`, the number of one of STOP_SIGNALS, after saving."""

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.signal = signal


def heeded() -> list[signal.Signals]:
    """Those of STOP_SIGNALS that this process was not told to ignore, as `nohup` does."""
    return [number for number in STOP_SIGNALS if signal.getsignal(number) != signal.SIG_IGN]


def leave_closed_terminal() -> None:
    """Lets output to a terminal that was closed go nowhere, where it would be an error."""
    for descriptor in (1, 2):
        try:
            termios.tcgetattr(descriptor)
        except termios.error as error:
            if error.args[0] == errno.EIO:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)


@contextlib.contextmanager
def stop_requests(log: Callable[[str], None]) -> Iterator[Callable[[], int | None]]:
    """A function that returns the signal this process has received, or None.

    The second signal ends the process at once with code 128 + signal, even inside a compiled
    program, where Python's own handlers do not run: a thread listens instead. Outside the main
    thread signals cannot be caught, and the function always returns None.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    received: list[int] = []
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def listen() -> None:
        while byte := reader.recv(1):
            number = byte[0]
            if number not in STOP_SIGNALS:
                continue
            if number == signal.SIGHUP:
                leave_closed_terminal()
            received.append(number)
            if len(received) > 1:
                # 25h shows the cursor, which a progress bar hides.
                os.write(2, b"\x1b[?25h\n" if os.isatty(2) else b"\n")
                os._exit(128 + number)
            log("Stopping after this chunk, then saving; once more aborts at once.")

    old_handlers = {number: signal.signal(number, lambda *_: None) for number in heeded()}
    old_wakeup_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    listener = threading.Thread(target=listen, name="stop-requests", daemon=True)
    listener.start()
    try:
        yield lambda: received[0] if received else None
    finally:
        signal.set_wakeup_fd(old_wakeup_fd)
        for number, handler in old_handlers.items():
            signal.signal(number, handler)
        writer.close()  # ends the listener's loop
        listener.join()
        reader.close()
