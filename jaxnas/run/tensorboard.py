"""Metric lines as TensorBoard event files."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxnas.run import files


@contextlib.contextmanager
def open_writer(folder: Path, step: int) -> Iterator[Callable[[Sequence[Mapping[str, Any]]], None]]:
    """A function that writes metric lines as scalars; readers drop earlier ones beyond `step`.

    It writes by tensorboardX's EventsWriter and not its SummaryWriter, whose thread dies on a full
    disk and then blocks the run. Raises RunError, also from the function, if the files cannot be
    written.
    """
    # Imported here since it takes a second where torch is installed, which it imports.
    from tensorboardX import event_file_writer
    from tensorboardX.proto import event_pb2, summary_pb2

    def event(**fields):
        return event_pb2.Event(wall_time=time.time(), **fields)

    prefix = str(folder / "events")
    with files.as_run_error(folder):
        folder.mkdir(exist_ok=True)
        # File names have seconds: two starts within one second must not share a file.
        file = event_file_writer.EventsWriter(prefix, f".{time.time_ns()}")
        started = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        file.write_event(event(step=step + 1, session_log=started))

    def write(lines: Sequence[Mapping[str, Any]]) -> None:
        with files.as_run_error(folder):
            for line in lines:
                values = [
                    summary_pb2.Summary.Value(tag=name, simple_value=value)
                    for name, value in line.items()
                    if name not in ("step", "epoch") and isinstance(value, int | float)
                ]
                file.write_event(
                    event(step=line["step"], summary=summary_pb2.Summary(value=values))
                )
            file.flush()

    try:
        yield write
    finally:
        with files.as_run_error(folder):
            file.close()
