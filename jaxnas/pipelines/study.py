"""Methods times seeds, a row each: what the studies share."""

import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import rich.console

from jaxnas import run
from jaxnas.methods import registry
from jaxnas.pipelines.settings import SearchSettings
from jaxnas.run import progress

ROWS = "rows.jsonl"
# Methods of the registry under a name of their own, with what that name stands for.
VARIANTS = {
    "darts-exact": {"method": "darts", "order": "exact"},
    "darts-fd": {"method": "darts", "order": "finite-difference"},
    "darts-pt": {"method": "darts", "select": "perturbation"},
}
METHODS = (
    "darts", "darts-exact", "pc-darts", "gdas", "dr-nas", "sd-darts", "beta-darts", "darts-pt",
    "rarts", "random",
)  # fmt: skip

Row = dict[str, Any]


def check(methods: Sequence[str], seeds: Sequence[int], words: Sequence[str]) -> None:
    """Raises ValueError for a name that is no method, for repetitions, and for stray words."""
    names = (*registry.names(), *VARIANTS)
    for name in methods:
        if name not in names:
            raise ValueError(f"No method is called {name!r}; there are {', '.join(names)}.")
    for flag, values in (("--methods", methods), ("--seeds", seeds)):
        if not values or len(set(values)) < len(values):
            raise ValueError(f"{flag} says {list(values)}: give one or more, each once.")
    for word in words:
        if word.partition(".")[0] not in methods:
            raise ValueError(
                f"--set {word!r} has no effect: write METHOD.name=value, with one of --methods."
            )


def search_of(name: str, words: Sequence[str], **settings: Any) -> SearchSettings:
    """The search of a method, or variant.

    Of `words`, which are `METHOD.name=value`, it takes its own. Random search trains as many cells
    as its preset has, or, where that does not divide the epochs it is given, the next smaller
    number that does.
    """
    of_method = tuple(w.partition(".")[2] for w in words if w.partition(".")[0] == name)
    epochs = settings.get("epochs")
    if name == "random" and epochs and not any(word.startswith("cells=") for word in of_method):
        preset = settings.get("preset", "quick")
        cells = registry.resolve("random", preset, {}, of_method)["cells"]
        of_method += (f"cells={max(k for k in range(1, cells + 1) if epochs % k == 0)}",)
    return SearchSettings(**{**settings, **VARIANTS.get(name, {"method": name}), "set": of_method})


def rows(folder: Path) -> list[Row]:
    """The rows that are there. Raises RunError for a file that is none of ours."""
    path = folder / ROWS
    if not path.exists():
        return []
    try:
        table = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        keys = [(row["method"], row["seed"]) for row in table]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise run.RunError(
            f"Cannot read {path} ({error}): delete it, or take another --out."
        ) from (error)
    if len(set(keys)) < len(keys):
        raise run.RunError(f"{path} has a row twice: delete one of them.")
    return table


def pairs(
    methods: Sequence[str],
    seeds: Sequence[int],
    is_done: Callable[[str, int], bool],
    console: rich.console.Console,
    seconds: Callable[[str], Sequence[float]] = lambda name: (),
) -> Iterator[tuple[str, int]]:
    """Each (method, seed) that is not done, announced with its number and how long the rest takes.

    Seed by seed, so that a study that is stopped has seen every method. `seconds(method)` are
    those that its rows took before.
    """
    all_pairs = [(name, seed) for seed in seeds for name in methods]
    durations: dict[str, list[float]] = {name: list(seconds(name)) for name in methods}
    for number, (name, seed) in enumerate(all_pairs, 1):
        label = f"row {number} of {len(all_pairs)}: {name}, seed {seed}"
        if is_done(name, seed):
            progress.print_line(console, f"{label}: done before")
            continue
        remaining = [other for other, s in all_pairs[number - 1 :] if not is_done(other, s)]
        progress.print_line(console, f"{label}; {_eta(remaining, durations)}")
        began = time.monotonic()
        yield name, seed
        durations[name].append(time.monotonic() - began)
        # A study compiles dozens of programs that no other row uses.
        jax.clear_caches()


def _eta(names: Sequence[str], durations: Mapping[str, Sequence[float]]) -> str:
    """The time that rows will take, by rows of the same method or, where none ran, by all."""
    all_seconds = [s for of_method in durations.values() for s in of_method]
    if not all_seconds:
        return "ETA unknown before the first row is done"
    seconds = sum(statistics.mean(durations[name] or all_seconds) for name in names)
    return f"ETA {progress.duration(seconds)}"


def add(folder: Path, row: Row) -> None:
    """Adds a row; the file is there whole or as it was."""
    lines = [json.dumps(finite(other), allow_nan=False) for other in (*rows(folder), row)]
    run.write_text(folder / ROWS, "\n".join(lines) + "\n")


def finite(value: Any) -> Any:
    """JSON has no NaN: it becomes null."""
    if isinstance(value, Mapping):
        return {name: finite(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def steps_s(folder: Path) -> float:
    """Seconds of all steps of a search, in all its stages and however often it was stopped.

    Compilation, validation between epochs, selection and saving are not in it.
    """
    total = 0.0
    for path in [folder / "metrics.jsonl", *sorted(folder.glob("stages/*/metrics.jsonl"))]:
        for line in path.read_text(encoding="utf-8").splitlines():
            total += json.loads(line).get("time/step_ms", 0.0)
    return total / 1e3


def spread(values: Sequence[float | None], digits: int) -> str:
    """`mean ± standard deviation`, of those that are known; a dash where none is."""
    numbers = [value for value in values if value is not None]
    if not numbers:
        return "–"
    deviation = f" ± {statistics.stdev(numbers):.{digits}f}" if len(numbers) > 1 else ""
    return f"{statistics.mean(numbers):.{digits}f}{deviation}"
