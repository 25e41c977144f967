"""Processes of a bench that end with it, however that ends."""

import multiprocessing
import os
import threading
import time

ASKED_EVERY_S = 0.5


def end_with_parent() -> None:
    """Ends this process soon after the one that started it, even if that was killed."""
    # It may be gone already, and this process another's child.
    starter = multiprocessing.parent_process()
    parent = os.getppid() if starter is None else starter.pid

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(ASKED_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
