"""The rows of an ablation: methods x settings x seeds, each a search of its own."""

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxnas.methods import overrides
from jaxnas.pipelines import command_line, study
from jaxnas.pipelines.ablation import comparable
from jaxnas.pipelines.ablation.ablation_file import SET, AblationFile
from jaxnas.pipelines.settings import RunSettings, SearchSettings, command, flags

RUNS = "runs"  # the folder of the rows' own folders


class PlannedRow(NamedTuple):
    """A row that is to be run."""

    name: str  # the method, and its values of the grid
    seed: int
    settings: SearchSettings
    varied: Mapping[str, Any]  # settings that the file has, by their flat names

    @property
    def key(self) -> tuple[str, int]:
        return self.name, self.seed

    @property
    def command(self) -> str:
        """The command of the same search in a folder of its own name."""
        return command("jaxnas search", _nowhere(self.settings), SearchSettings())


def rows(file: AblationFile, folder: Path) -> list[PlannedRow]:
    """All rows, seed by seed, into a folder.

    Raises ValueError for settings that `jaxnas search` does not take, and for a row twice.
    """
    variants = [
        (_label(method, chosen), method, chosen)
        for method in file.methods
        for chosen in _combinations({**file.grid, **file.own_grid.get(method, {})})
    ]
    stems = _stems([name for name, *_ in variants])
    planned = []
    for (name, method, chosen), stem in zip(variants, stems, strict=True):
        values = {**file.settings, **file.own.get(method, {}), **chosen}
        settings = _settings(file, name, method, values)
        for seed in file.seeds:
            place = dataclasses.replace(
                settings.place, out=str(folder / RUNS), name=f"{stem}-seed{seed}"
            )
            own = dataclasses.replace(settings, seed=seed, place=place)
            planned.append(PlannedRow(name, seed, own, values))
    _check_twice(file, planned)
    order = {seed: number for number, seed in enumerate(file.seeds)}
    return sorted(planned, key=lambda row: order[row.seed])


def _combinations(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _label(method: str, chosen: Mapping[str, Any]) -> str:
    parts = [f"{name}={comparable.value_text(value)}" for name, value in chosen.items()]
    return " ".join([method, *parts])


def _stems(labels: Sequence[str]) -> list[str]:
    """Names of folders, one for each label."""
    stems = [re.sub(r"[^A-Za-z0-9_.=,+-]+", "-", label).strip("-.") for label in labels]
    return [
        stem if stems.count(stem) == 1 else f"{stem}-{number}" for number, stem in enumerate(stems)
    ]


def _settings(
    file: AblationFile, name: str, method: str, values: Mapping[str, Any]
) -> SearchSettings:
    """The search of a row, without its seed and folder, by the parser of the command line."""
    own_method = file.own.get(method, {}).get("method")
    variant = dict(study.VARIANTS.get(method, {"method": method}))
    if own_method is not None:
        variant = dict(study.VARIANTS.get(own_method, {"method": own_method}))
    words_of_method = (
        *variant.pop("set", ()),
        *(overrides.as_word(k[len(SET) :], v) for k, v in values.items() if k.startswith(SET)),
    )
    plain = {k: v for k, v in values.items() if not k.startswith(SET) and k != "method"}
    merged = {**plain, **variant} if own_method is None else {**variant, **plain}
    merged["method"] = variant["method"]
    if merged["method"] == "random":
        words_of_method = study.divisible(
            merged.get("preset", "quick"), merged.get("epochs"), words_of_method
        )
    if words_of_method:
        merged["set"] = words_of_method
    words = [word for k, v in merged.items() for word in flags.as_words(k, v)]
    try:
        return command_line.parse(SearchSettings, words, "jaxnas search", "")
    except command_line.UsageError as error:
        raise ValueError(f"{file.path}, {name}: {error}") from error


def _check_twice(file: AblationFile, planned: Sequence[PlannedRow]) -> None:
    seen: dict[SearchSettings, PlannedRow] = {}
    for row in planned:
        other = seen.setdefault(_nowhere(row.settings), row)
        if other is not row:
            raise ValueError(
                f"{file.path}: {other.name} and {row.name} are the same search with seed "
                f"{row.seed}: leave one out, or say in what they differ."
            )


def _nowhere(settings: SearchSettings) -> SearchSettings:
    """Settings without those that do not change the result."""
    return dataclasses.replace(settings, place=RunSettings())
