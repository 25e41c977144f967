"""Studies of methods times seeds: one row of results each."""

import json
import math
import statistics
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import rich.console

from jaxnas import run
from jaxnas.methods import registry
from jaxnas.pipelines.settings import SearchSettings
from jaxnas.report.statistics import sample
from jaxnas.run import progress

spread = sample.spread  # in the tables of studies
ROWS = "rows.jsonl"
# Additional names of methods with settings.
VARIANTS = {
    "darts-exact": {"method": "darts", "order": "exact"},
    "darts-fd": {"method": "darts", "order": "finite-difference"},
    "darts-pt": {"method": "darts", "select": "perturbation"},
    "spos-evolution": {"method": "spos", "select": "evolution"},
    "fair-evolution": {"method": "spos", "select": "evolution", "set": ("sampling=fair",)},
}
METHODS = (
    "darts", "darts-exact", "pc-darts", "gdas", "dr-nas", "sd-darts", "beta-darts", "darts-pt",
    "rarts", "random",
)  # fmt: skip

Row = dict[str, Any]


def check(methods: Sequence[str], seeds: Sequence[int], words: Sequence[str]) -> None:
    """Raises ValueError for unknown methods, repetitions, and an invalid `--set`."""
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
        key, _, value = word.partition(".")[2].partition("=")
        if key == "epochs" and not value.isdecimal():
            raise ValueError(f"--set {word!r}: epochs are a whole number.")


def search_of(name: str, words: Sequence[str], **settings: Any) -> SearchSettings:
    """The search of a method, or variant.

    `words` are `METHOD.name=value`; those of other methods are ignored. `METHOD.epochs=N` is the
    method's own length. Random search trains as many cells as its preset has, or the next smaller
    number that divides the epochs.
    """
    overrides = tuple(word.partition(".")[2] for word in words if word.partition(".")[0] == name)
    lengths = [word.partition("=")[2] for word in overrides if word.startswith("epochs=")]
    overrides = tuple(word for word in overrides if not word.startswith("epochs="))
    if lengths:
        settings["epochs"] = int(lengths[-1])
    if name == "random":
        preset = settings.get("preset", "quick")
        overrides = divisible(preset, settings.get("epochs"), overrides)
    variant = VARIANTS.get(name, {"method": name})
    words = (*variant.get("set", ()), *overrides)
    return SearchSettings(**{**settings, **variant, "set": words})


def divisible(preset: str, epochs: int | None, words: tuple[str, ...]) -> tuple[str, ...]:
    """`words` of random search with as many cells as its preset has, or the next smaller number
    that divides the epochs, unless they say how many or the epochs are the preset's."""
    if not epochs or any(word.startswith("cells=") for word in words):
        return words
    cells = registry.resolve("random", preset, {}, words)["cells"]
    return (*words, f"cells={max(n for n in range(1, cells + 1) if epochs % n == 0)}")


def rows(folder: Path) -> list[Row]:
    """The rows of the study so far. Raises RunError for an invalid file."""
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


def complete(
    folder: Path,
    methods: Sequence[str],
    seeds: Sequence[int],
    make: Callable[[str, int], Row],
    describe: Callable[[Row], str],
    console: rich.console.Console,
    on_row: Callable[[list[Row]], None] = lambda rows: None,
) -> list[Row]:
    """All rows of a study: those that its folder has, and the others as `make` gives them.

    Each is added to the folder and described in a line as soon as it is there; then `on_row` is
    called with all that are there. `wall_s` of a row is
    its duration, None: unknown; the remaining time is estimated from it.
    """
    done = {(row["method"], row["seed"]): row for row in rows(folder)}
    seconds = lambda name: [
        row["wall_s"] for (method, _), row in done.items() if method == name and row["wall_s"]
    ]
    is_done = lambda name, seed: (name, seed) in done
    for name, seed in pairs(methods, seeds, is_done, console, seconds):
        done[name, seed] = row = make(name, seed)
        add(folder, row)
        progress.print_line(console, f"{name}, seed {seed}: {describe(row)}")
        on_row(list(done.values()))
    return list(done.values())


def pairs(
    methods: Sequence[str],
    seeds: Sequence[int],
    is_done: Callable[[str, int], bool],
    console: rich.console.Console,
    seconds: Callable[[str], Sequence[float]] = lambda name: (),
) -> Iterator[tuple[str, int]]:
    """Each (method, seed) that is not done, announced with its number and the remaining time.

    Seed by seed, so that an interrupted study has rows of every method. `seconds(method)`: the
    durations of its earlier rows.
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
        start_s = time.monotonic()
        yield name, seed
        durations[name].append(time.monotonic() - start_s)
        # A study compiles dozens of programs that no other row uses.
        jax.clear_caches()


def _eta(names: Sequence[str], durations: Mapping[str, Sequence[float]]) -> str:
    """The estimated time of rows, by the mean of the same method's rows or else of all rows."""
    all_seconds = [s for of_method in durations.values() for s in of_method]
    if not all_seconds:
        return "ETA unknown before the first row is done"
    seconds = sum(statistics.mean(durations[name] or all_seconds) for name in names)
    return f"ETA {progress.duration(seconds)}"


def add(folder: Path, row: Row) -> None:
    """Adds a row, atomically."""
    lines = [json.dumps(finite(other), allow_nan=False) for other in (*rows(folder), row)]
    run.write_text(folder / ROWS, "\n".join(lines) + "\n")


def remove(folder: Path, keys: Collection[tuple[str, int]]) -> None:
    """Removes rows by their (method, seed), atomically, so that they are run again."""
    kept = [row for row in rows(folder) if (row["method"], row["seed"]) not in keys]
    run.write_text(folder / ROWS, "".join(f"{json.dumps(row)}\n" for row in kept))


def finite(value: Any) -> Any:
    """`value` with None (JSON's null) for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {name: finite(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def steps_s(folder: Path) -> float:
    """Seconds of all steps of a search, in all its stages and sessions.

    Without compilation, validation between epochs, selection and saving.
    """
    total = 0.0
    for path in [folder / "metrics.jsonl", *sorted(folder.glob("stages/*/metrics.jsonl"))]:
        for line in path.read_text(encoding="utf-8").splitlines():
            total += json.loads(line).get("time/step_ms", 0.0)
    return total / 1e3
