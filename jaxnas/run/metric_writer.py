"""All that a run writes of its steps and epochs, as lines and as TensorBoard events."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxnas.run import metrics
from jaxnas.run import tensorboard as run_tensorboard

Line = Mapping[str, Any]


class MetricWriter(NamedTuple):
    """`measured(lines)` takes metric lines, `gates(line)` one of gates; `sync` before a save."""

    measured: Callable[[list[Line]], None]
    gates: Callable[[Line], None]
    sync: Callable[[], None]


@contextlib.contextmanager
def open_writer(folder: Path, step: int, tensorboard: bool) -> Iterator[MetricWriter]:
    """The journal of a run that goes on after `step`: what was written beyond it is cut off.

    Files: `metrics.jsonl`, `gates.jsonl`, `tensorboard/`. Raises RunError, also from its
    functions, if the disk refuses.
    """
    with contextlib.ExitStack() as stack:
        lines = stack.enter_context(metrics.open_lines(folder / "metrics.jsonl", step))
        gates = stack.enter_context(metrics.open_lines(folder / "gates.jsonl", step))
        draw = None
        if tensorboard:
            draw = stack.enter_context(run_tensorboard.open_writer(folder / "tensorboard", step))

        def measured(new: list[Line]) -> None:
            lines.write(new)
            if draw is not None:
                draw(new)

        def sync() -> None:
            lines.sync()
            gates.sync()

        yield MetricWriter(measured, lambda line: gates.write([line]), sync)


def step_lines(
    measured: Mapping[str, np.ndarray], first: int, done: int, steps_per_epoch: int, step_ms: float
) -> list[dict[str, float]]:
    """A line a step of a chunk; `first` steps were done before it.

    Where `arch/active` is 0 the names that end in `/valid` mean nothing and are left out.
    """
    lines = []
    for row in range(done):
        line = {"step": first + row + 1, "epoch": (first + row) // steps_per_epoch + 1}
        values = {name: column[row].item() for name, column in measured.items()}
        if not values.get("arch/active", 1):
            values = {n: value for n, value in values.items() if not n.endswith("/valid")}
        lines.append(line | values | {"time/step_ms": round(step_ms, 3)})
    return lines
