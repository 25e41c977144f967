"""What a person sees of a run: a live bar on a terminal, plain lines elsewhere."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple

import rich.console
import rich.progress

EVERY_S = 10.0  # a plain line at least so often
EPOCHS_S = 1.0  # and at most so often for epochs

# (label, metric, format), in the order they are shown where they are known.
SHOWN = (
    ("loss", "loss/train", ".3f"),
    ("valid loss", "loss/valid", ".3f"),
    ("valid acc", "accuracy/valid", ".1%"),
    ("entropy", "gates/entropy", ".3f"),
    ("skips", "gates/skips", "g"),
)


class Progress(NamedTuple):
    """`note` says one line; `compiling` wraps a compilation; `moved` tells how far it is.

    `moved(rows, epoch_line, left_s)` is given the steps' metric lines and, at the end of an
    epoch, the epoch's; it shows the epoch's means, and what was last measured at an epoch's end.
    """

    note: Callable[[str], None]
    compiling: Callable[[], AbstractContextManager[None]]
    moved: Callable[[list[Mapping], Mapping | None, float], None]


@contextlib.contextmanager
def show(
    title: str,
    step: int,
    total_steps: int,
    steps_per_epoch: int,
    figures: tuple[tuple[str, str, str], ...] = SHOWN,
    console: rich.console.Console | None = None,
) -> Iterator[Progress]:
    """Shows a run from `step` on, on standard output unless a console is given."""
    console = console or rich.console.Console()
    epochs = -(-total_steps // steps_per_epoch)
    kind = _live if console.is_terminal else _plain
    with kind(title, step, total_steps, console) as (compiling, put):
        means, at_epoch_end = _Means({}, {}), {}

        def moved(rows, epoch_line, left_s):
            _add(means, rows)
            at_epoch_end.update(epoch_line or {})
            known = {name: means.sums[name] / means.counts[name] for name in means.sums}
            known |= at_epoch_end
            parts = [f"epoch {rows[-1]['epoch']}/{epochs}"]
            parts += [
                f"{word} {known[name]:{form}}" for word, name, form in figures if name in known
            ]
            parts += [f"{rows[-1]['time/step_ms']:.1f} ms/step", f"ETA {duration(left_s)}"]
            put(rows[-1]["step"], "  ".join(parts), epoch_line is not None)
            if epoch_line is not None:
                means.sums.clear()
                means.counts.clear()

        yield Progress(lambda text: print_line(console, text), compiling, moved)


def duration(seconds: float) -> str:
    """`m:ss`, or `h:mm:ss` from an hour on."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def print_line(console: rich.console.Console, text: str) -> None:
    """One plain line, neither wrapped nor coloured."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


class _Means(NamedTuple):
    sums: dict[str, float]
    counts: dict[str, int]


def _add(means: _Means, rows: list[Mapping]) -> None:
    for row in rows:
        for name, value in row.items():
            means.sums[name] = means.sums.get(name, 0.0) + value
            means.counts[name] = means.counts.get(name, 0) + 1


@contextlib.contextmanager
def _live(title, step, total_steps, console):
    columns = (
        rich.progress.TextColumn("{task.description}", markup=False),
        rich.progress.BarColumn(bar_width=20),
        rich.progress.TimeElapsedColumn(),
        rich.progress.TextColumn("{task.fields[words]}", markup=False),
    )
    with rich.progress.Progress(*columns, console=console) as bars:
        bar = bars.add_task(title, total=total_steps, completed=step, words="")

        @contextlib.contextmanager
        def compiling():
            began = time.monotonic()
            task = bars.add_task("compiling", total=None, words="the next step waits for this")
            try:
                yield
            finally:
                bars.remove_task(task)
            print_line(console, f"{title}: compiled in {time.monotonic() - began:.1f} s")

        yield compiling, lambda step, words, _: bars.update(bar, completed=step, words=words)


@contextlib.contextmanager
def _plain(title, step, total_steps, console):
    last_s = time.monotonic()

    @contextlib.contextmanager
    def compiling():
        began = time.monotonic()
        print_line(console, f"{title}: compiling (the next step waits for this) ...")
        yield
        print_line(console, f"{title}: compiled in {time.monotonic() - began:.1f} s")

    def put(step, words, ends_epoch):
        nonlocal last_s
        silent_s = time.monotonic() - last_s
        if silent_s >= EVERY_S or (ends_epoch and silent_s >= EPOCHS_S) or step == total_steps:
            last_s = time.monotonic()
            print_line(console, f"{title}: step {step}/{total_steps}  {words}")

    yield compiling, put
