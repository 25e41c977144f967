"""A child of a bench does not outlive it."""

import os
import signal
import subprocess
import sys
import time

from tests import paths

PARENT = """
import multiprocessing, os, time
from tools import child_process

def child():
    os.close(1)
    child_process.end_with_parent()
    time.sleep(600)

if __name__ == "__main__":
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    print(process.pid, flush=True)
    time.sleep(600)
"""


def test_a_child_ends_when_its_parent_is_killed():
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        env=os.environ | {"PYTHONPATH": str(paths.ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    until_s = time.monotonic() + 60
    while is_running(child) and time.monotonic() < until_s:
        time.sleep(0.1)
    assert not is_running(child)


def is_running(number: int) -> bool:
    """Whether a process is there, and neither a zombie (Z) nor about to vanish (X)."""
    try:
        with open(f"/proc/{number}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
