"""What a person sees of a campaign: a live bar on a terminal, plain lines elsewhere, a summary."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import rich.console
import rich.progress

from jaxnas.hardware import device as hardware
from jaxnas.run.progress import EVERY_S, duration, print_line

# `moved(done, left_s, words)` tells how far a stage is.
Moved = Callable[[int, float | None, str], None]


@contextlib.contextmanager
def stage(title: str, total: int, console: rich.console.Console) -> Iterator[Moved]:
    """One stage of `total` steps: a bar on a terminal; elsewhere a line each ten seconds, and
    one at the end."""
    if not console.is_terminal:
        last_s = time.monotonic()

        def line(done, left_s, words):
            nonlocal last_s
            if time.monotonic() - last_s >= EVERY_S or done == total:
                last_s = time.monotonic()
                print_line(console, f"{title}: {done}/{total}  {_after(left_s, words)}".rstrip())

        yield line
        return
    bar = (
        rich.progress.TextColumn("{task.description}", markup=False),
        rich.progress.BarColumn(bar_width=20),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeElapsedColumn(),
        rich.progress.TextColumn("{task.fields[words]}", markup=False),
    )
    with rich.progress.Progress(*bar, console=console) as bars:
        task = bars.add_task(title, total=total, words="")
        yield lambda done, left_s, words: bars.update(
            task, completed=done, words=_after(left_s, words)
        )


def _after(left_s: float | None, words: str) -> str:
    eta = [] if left_s is None else [f"ETA {duration(left_s)}"]
    return "  ".join([*([words] if words else []), *eta])


def lines(result: Mapping[str, Any]) -> list[str]:
    """The result of a campaign, as `campaign.measure` gives it, a line a figure."""
    low, middle, high = (result["latency_ms"][k] for k in ("least", "median", "most"))
    made, rounds = result["programs"], result["rounds"]
    noise, ceiling = result["noise"], result["ceiling"]
    kinds = ", ".join(f"{count} {kind}{'s' * (count != 1)}" for kind, count in made.items())
    found = [
        f"device    {hardware.description(result['device'])}; jax {result['device']['jax']}; "
        f"XLA_FLAGS {result['device']['XLA_FLAGS'] or 'none'}",
        f"programs  {kinds}: {low:.3g} to {high:.3g} ms, median {middle:.3g} ms",
        f"rounds    {rounds['taken']} in {rounds['sessions']} "
        f"session{'s' * (rounds['sessions'] != 1)}, {rounds['left_out']} left out as slow, "
        f"{rounds['missing_samples']} samples missing",
    ]
    if noise["twins"] is not None:
        pairs = "1 pair differs" if noise["pairs"] == 1 else f"{noise['pairs']} pairs differ"
        found.append(f"twins     {pairs} by {noise['twins']:.1%} (median)")
    if noise["retest"] is not None:
        found.append(
            f"retest    {noise['retest']:.0%} within 5 %, one half of the rounds against the other"
        )
    if ceiling is not None:
        found.append(
            f"ceiling   no model can score above Spearman {ceiling['spearman']:.3f}, "
            f"{ceiling['within5']:.0%} within 5 %, {ceiling['within10']:.0%} within 10 %"
        )
    if noise["noisy"]:
        found.append(
            f"NOISY: {'; '.join(noise['reasons'])}. Stop other programs and run the same command "
            "again with more --rounds, or judge models by the ceiling."
        )
    return found
