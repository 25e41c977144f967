"""Progress on a console: a live bar on a terminal, plain lines elsewhere."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import rich.console
import rich.progress

LINE_INTERVAL_S = 10.0  # a plain line at least so often
EPOCH_INTERVAL_S = 1.0  # and at most so often at the ends of epochs

# (label, metric, format), in the order they are shown, those without a value left out.
METRICS = (
    ("loss", "loss/train", ".3f"),
    ("valid loss", "loss/valid", ".3f"),
    ("valid acc", "accuracy/valid", ".1%"),
    ("entropy", "gates/entropy", ".3f"),
    ("skips", "gates/skips", "g"),
)

# `update(done, remaining_s, text)`: `done` of the total, an ETA or None, and what goes before it.
Update = Callable[[int, float | None, str], None]


class RunProgress(NamedTuple):
    """The progress of a run: `compiling` wraps a compilation, `update` follows each chunk.

    `update(rows, epoch_line, remaining_s)` takes the metric lines of the chunk's steps and, at
    the end of an epoch, the epoch's line. It shows the means of the epoch so far, and the last
    values measured at an epoch's end.
    """

    compiling: Callable[[], AbstractContextManager[None]]
    update: Callable[[Sequence[Mapping], Mapping | None, float], None]


@contextlib.contextmanager
def run_bar(
    title: str,
    step: int,
    total_steps: int,
    steps_per_epoch: int,
    console: rich.console.Console,
    metrics: tuple[tuple[str, str, str], ...] = METRICS,
) -> Iterator[RunProgress]:
    """The progress of a run that starts after `step`."""
    epochs = -(-total_steps // steps_per_epoch)
    kind = _live if console.is_terminal else _plain
    with kind(title, total_steps, console, done=step, unit="step ") as (put, compiling):
        means, at_epoch_end = _Means({}, {}), {}

        def update(rows, epoch_line, remaining_s):
            _add(means, rows)
            at_epoch_end.update(epoch_line or {})
            values = {name: means.sums[name] / means.counts[name] for name in means.sums}
            values |= at_epoch_end
            parts = [f"epoch {rows[-1]['epoch']}/{epochs}"]
            parts += [
                f"{label} {values[name]:{form}}" for label, name, form in metrics if name in values
            ]
            parts += [f"{rows[-1]['time/step_ms']:.1f} ms/step", f"ETA {duration(remaining_s)}"]
            put(rows[-1]["step"], "  ".join(parts), epoch_line is not None)
            if epoch_line is not None:
                means.sums.clear()
                means.counts.clear()

        yield RunProgress(compiling, update)


@contextlib.contextmanager
def bar(title: str, total: int, console: rich.console.Console) -> Iterator[Update]:
    """The progress of a stage of `total` steps."""
    kind = _live if console.is_terminal else _plain
    with kind(title, total, console, columns=(rich.progress.MofNCompleteColumn(),)) as (put, _):

        def update(done, remaining_s, text):
            eta = "" if remaining_s is None else f"ETA {duration(remaining_s)}"
            put(done, "  ".join(part for part in (text, eta) if part), False)

        yield update


def duration(seconds: float) -> str:
    """`m:ss`, or `h:mm:ss` from an hour on."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def print_line(console: rich.console.Console, text: str) -> None:
    """Prints one plain line, neither wrapped nor coloured."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


class _Means(NamedTuple):
    sums: dict[str, float]
    counts: dict[str, int]


def _add(means: _Means, rows: Sequence[Mapping]) -> None:
    for row in rows:
        for name, value in row.items():
            means.sums[name] = means.sums.get(name, 0.0) + value
            means.counts[name] = means.counts.get(name, 0) + 1


# Both kinds of bar yield (put, compiling); `put(done, text, ends_epoch)` moves the bar.


@contextlib.contextmanager
def _live(title, total, console, *, done=0, unit="", columns=()):
    """A bar that is redrawn in place, followed by `columns`."""
    columns = (
        rich.progress.TextColumn("{task.description}", markup=False),
        rich.progress.BarColumn(bar_width=20),
        *columns,
        rich.progress.TimeElapsedColumn(),
        rich.progress.TextColumn("{task.fields[text]}", markup=False),
    )
    with rich.progress.Progress(*columns, console=console) as bars:
        bar = bars.add_task(title, total=total, completed=done, text="")

        @contextlib.contextmanager
        def compiling():
            start_s = time.monotonic()
            task = bars.add_task("compiling", total=None, text="the next step waits for this")
            try:
                yield
            finally:
                bars.remove_task(task)
            print_line(console, f"{title}: compiled in {time.monotonic() - start_s:.1f} s")

        yield lambda done, text, _: bars.update(bar, completed=done, text=text), compiling


@contextlib.contextmanager
def _plain(title, total, console, *, done=0, unit="", columns=()):
    """A line every LINE_INTERVAL_S, at the ends of epochs, and at the end."""
    last_s = time.monotonic()

    @contextlib.contextmanager
    def compiling():
        start_s = time.monotonic()
        print_line(console, f"{title}: compiling (the next step waits for this) ...")
        yield
        print_line(console, f"{title}: compiled in {time.monotonic() - start_s:.1f} s")

    def put(done, text, ends_epoch):
        nonlocal last_s
        silent_s = time.monotonic() - last_s
        epoch_is_due = ends_epoch and silent_s >= EPOCH_INTERVAL_S
        if silent_s >= LINE_INTERVAL_S or epoch_is_due or done == total:
            last_s = time.monotonic()
            print_line(console, f"{title}: {unit}{done}/{total}  {text}".rstrip())

    yield put, compiling
