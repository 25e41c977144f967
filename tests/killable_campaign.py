"""A campaign of three programs in a process of its own; prints a line when it may be hit."""

import sys
import time
from pathlib import Path

import numpy as np
import rich.console

from jaxnas.hardware import timing
from jaxnas.hardware.measure import campaign
from jaxnas.hardware.programs import Program

DEVICE = {"platform": "remote", "kind": "stand-in", "jax": "0", "jaxlib": "0", "XLA_FLAGS": ""}


def program(label: str, twin_of: str | None = None, kind: str = "network") -> Program:
    return Program(label, kind, "{}", lambda x: x, (np.zeros(1),), twin_of)


def found() -> list[Program]:
    return [program("reference", kind="reference"), program("a"), program("b", "a")]


def ready(sample):
    """`prepare` of a program that `sample(label)` times."""
    return lambda program, calls: timing.TimedProgram(
        program.label, lambda: sample(program.label), None, 1, dict.fromkeys(timing.FACTS, 1.0)
    )


def slow(label: str) -> float:
    print("sampling", flush=True)
    time.sleep(0.02)
    return {"reference": 1.0}.get(label, 2.0)


if __name__ == "__main__":
    campaign.measure_all(
        found(),
        Path(sys.argv[1]),
        ready(slow),
        device=DEVICE,
        settings={"batch": 1},
        protocol=campaign.Protocol(4, 10_000, minutes=10.0, warm_up=False)._replace(
            min_rounds=10_000
        ),
        console=rich.console.Console(file=sys.stderr),
    )
