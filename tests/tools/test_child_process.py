"""A child of a bench does not outlive it."""

import os
import signal
import subprocess
import sys
import time

from tests import paths

PARENT = """
import multiprocessing, time
from tools import child_process

def child():
    child_process.end_with_parent()
    time.sleep(600)

if __name__ == "__main__":
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    print(process.pid, flush=True)
    time.sleep(600)
"""


def test_a_child_ends_when_its_parent_is_killed():
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        env=os.environ | {"PYTHONPATH": str(paths.ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until_s = time.monotonic() + 60
    while is_running(child) and time.monotonic() < until_s:
        time.sleep(0.1)
    assert not is_running(child)


def is_running(number: int) -> bool:
    """Whether a process is there and no zombie, which nobody may have waited for."""
    try:
        with open(f"/proc/{number}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
