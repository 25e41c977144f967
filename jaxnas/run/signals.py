"""How a run is asked to stop: once, and it saves; twice, and it is gone."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

STOPS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """A run that was asked to stop, and saved; `signal` is 2 (SIGINT) or 15 (SIGTERM)."""

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.signal = signal


@contextlib.contextmanager
def stop_requests(say: Callable[[str], None]) -> Iterator[Callable[[], int | None]]:
    """A function that tells the signal by which this process was asked to stop, if it was.

    The second signal ends the process at once with code 128 + signal, even inside a compiled
    program, where Python's own handlers do not get to run: a thread listens instead. Outside
    the main thread no signal can be caught, and none is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    asked: list[int] = []
    ear, mouth = socket.socketpair()
    mouth.setblocking(False)

    def listen() -> None:
        while heard := ear.recv(1):
            number = heard[0]
            if number not in STOPS:
                continue
            asked.append(number)
            if len(asked) > 1:
                # 25h: the cursor, which a progress bar hides.
                os.write(2, b"\x1b[?25h\n" if os.isatty(2) else b"\n")
                os._exit(128 + number)
            say("Stopping after this chunk, then saving; once more aborts at once.")

    old = {number: signal.signal(number, lambda *_: None) for number in STOPS}
    old_mouth = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    listener = threading.Thread(target=listen, name="stop-requests", daemon=True)
    listener.start()
    try:
        yield lambda: asked[0] if asked else None
    finally:
        signal.set_wakeup_fd(old_mouth)
        for number, handler in old.items():
            signal.signal(number, handler)
        mouth.close()  # the listener reads its end
        listener.join()
        ear.close()
