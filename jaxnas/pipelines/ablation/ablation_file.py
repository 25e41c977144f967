"""The file of an ablation: methods, settings, a grid and seeds, in TOML."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from jaxnas.core import names
from jaxnas.methods import registry
from jaxnas.pipelines import study
from jaxnas.pipelines.settings import SearchSettings, flat
from jaxnas.run import files

# Of the file's top; of a method's own table also `grid`.
KEYS = ("methods", "seeds", "settings", "grid", "method", "trainings", "by", "baseline")
# Decided by the ablation: its seeds and methods, a folder for each row.
RESERVED = {"seed": "seeds", "method": "methods", "out": "--out", "name": None, "resume": None}
SET = "set."
METRICS = ("accuracy", "truth")

Values = Mapping[str, Any]  # flat name of a setting -> value
Grid = Mapping[str, Sequence[Any]]


class AblationFile(NamedTuple):
    """A file that was read; settings by the names of the flags of `jaxnas search`."""

    path: Path
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    settings: Values  # of all rows
    grid: Grid  # every combination is run
    own: Mapping[str, Values]  # of a method's rows alone
    own_grid: Mapping[str, Grid]
    trainings: int  # of each found cell
    by: str  # the figure that is compared
    baseline: str | None  # of the paired tests; None: all pairs
    text: str  # of the file


def read(path: Path) -> AblationFile:
    """Reads the file. Raises ValueError for an unknown key or a value of the wrong kind."""
    try:
        text = files.decode(path.read_bytes())
        table = tomllib.loads(text)
    except OSError as error:
        _fail(path, f"it cannot be read ({error.strerror or error})")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        _fail(path, f"it is not TOML: {error}")
    return parse(path, table, text)


def parse(path: Path, table: Mapping[str, Any], text: str) -> AblationFile:
    """A table of what a file has; `path` is its name in messages. Raises ValueError as `read`."""
    fail = lambda cause: _fail(path, cause)
    for key in table:
        if key not in KEYS:
            fail(f"unknown key {key!r}: {names.hint(key, KEYS)}there are {', '.join(KEYS)}")
    methods = _each_once(table.get("methods"), str, "methods", fail)
    own, own_grid = {}, {}
    for name, values in _table(table, "method", fail).items():
        if name not in methods:
            fail(f"[method.{name}] has no effect: methods does not have it")
        values = dict(values) if isinstance(values, dict) else fail(f"[method.{name}] is no table")
        own_grid[name] = _grid(values.pop("grid", {}), f"method.{name}.grid", fail)
        own[name] = _values(values, f"method.{name}", fail, allowed=("method",))
    for name in methods:
        known = (*registry.names(), *study.VARIANTS)
        if name not in known and "method" not in own.get(name, {}):
            fail(
                f"no method is called {name!r}: {names.hint(name, known)}there are "
                f"{', '.join(known)}; or say what it is by `method` in [method.{name}]"
            )
    settings = _values(_table(table, "settings", fail), "settings", fail)
    grid = _grid(_table(table, "grid", fail), "grid", fail)
    for where, given in {"settings": settings, **{f"method.{n}": own[n] for n in own}}.items():
        own_axes = own_grid.get(where.partition(".")[2], {})
        for key in given:
            if key in grid or key in own_axes:
                fail(f"{key} of [{where}] has no effect: a grid has it, too")
    trainings = table.get("trainings", 1)
    if not isinstance(trainings, int) or isinstance(trainings, bool) or trainings < 1:
        fail(f"trainings is {trainings!r}: give 1 or more")
    by = table.get("by", METRICS[0])
    if by not in METRICS:
        fail(f"by is {by!r}: give one of {', '.join(METRICS)}")
    baseline = table.get("baseline")
    if baseline is not None and baseline not in methods:
        fail(f"baseline is {baseline!r}: give one of methods")
    seeds = _seeds(table.get("seeds"), fail)
    return AblationFile(
        path, methods, seeds, settings, grid, own, own_grid, trainings, by, baseline, text
    )


def _fail(path: Path, text: str) -> NoReturn:
    raise ValueError(f"{path}: {text}.")


def _table(table: Mapping[str, Any], key: str, fail) -> Mapping[str, Any]:
    value = table.get(key, {})
    return value if isinstance(value, dict) else fail(f"[{key}] is no table")


def _seeds(value: Any, fail) -> tuple[int, ...]:
    """A list, or "FIRST..LAST"."""
    ends = re.fullmatch(r"(\d+)\.\.(\d+)", value) if isinstance(value, str) else None
    if ends:
        value = list(range(int(ends[1]), int(ends[2]) + 1))
    return _each_once(value, int, "seeds", fail)


def _each_once(value: Any, kind: type, key: str, fail) -> tuple[Any, ...]:
    example = '["darts", "random"]' if kind is str else '[0, 1, 2] or "0..7"'
    is_list = isinstance(value, list) and value
    if not is_list or any(type(one) is not kind for one in value):
        fail(f"{key} is {value!r}: give a list, such as {example}")
    twice = [one for one in value if value.count(one) > 1]
    if twice:
        fail(f"{key} has {twice[0]!r} twice, which would be the same rows: leave one out")
    return tuple(value)


def _values(
    table: Mapping[str, Any], where: str, fail, allowed: Sequence[str] = ()
) -> dict[str, Any]:
    """Settings by their flat names: `[settings.retrain] epochs = 8` is `retrain.epochs`."""
    known = [name for name in flat(SearchSettings()) if name != "set"]
    values = {}
    for key, value in _flat(table).items():
        if key in RESERVED and key not in allowed:
            instead = RESERVED[key]
            cure = f"say it by {instead}" if instead else "each row has its own"
            fail(f"{key} in [{where}] is decided by the ablation: {cure}")
        if key not in known and not key.startswith(SET):
            fail(
                f"unknown setting {key!r} in [{where}]: {names.hint(key, known)}"
                "`jaxnas search --help` lists all"
            )
        values[key] = value
    return values


def _grid(table: Mapping[str, Any], where: str, fail) -> dict[str, Sequence[Any]]:
    axes = _values(table, where, fail)
    for key, values in axes.items():
        if not isinstance(values, list) or not values:
            fail(f"{key} in [{where}] is {values!r}: give a list of values")
        if len({repr(value) for value in values}) < len(values):
            fail(f"{key} in [{where}] has a value twice, which would be the same rows")
    return axes


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    values = {}
    for key, value in table.items():
        name = f"{prefix}{key}".replace("-", "_")
        values |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return values
