"""Runs that may be compared: of the same data and space, in groups of the same settings."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from jaxnas.pipelines.ablation.finished_run import FinishedRun

# Of no effect on what is compared: where the images lie, and what the groups are made over.
NOT_IN_LABELS = ("seed", "data_dir")
METHOD, GENOTYPE = "method", "genotype"

Groups = Mapping[str, Sequence[FinishedRun]]


def check(runs: Sequence[FinishedRun]) -> None:
    """Raises ValueError unless all runs are of the same command, data and space."""
    first = runs[0]
    for other in runs[1:]:
        if other.is_search != first.is_search:
            raise ValueError(
                f"{first.folder} and {other.folder} are a search and the training of a given "
                "genotype: compare those of one kind."
            )
        if other.data != first.data:
            raise ValueError(
                f"{other.folder} is of other data than {first.folder} "
                f"({data(other)} and {data(first)}): accuracies on different images say nothing "
                "of each other. Compare runs of one data set."
            )
        if space(other) != space(first):
            raise ValueError(
                f"{other.folder} is of another space than {first.folder} ({space(other)[0]} and "
                f"{space(first)[0]}): compare runs of one space."
            )


def space(run: FinishedRun) -> tuple[str, str | None]:
    """The name of a run's space, and the SHA-256 of a user's file."""
    genotype = run.settings.get(GENOTYPE) or {}
    name = run.settings.get("space") or genotype.get("space") or "unknown"
    return str(name), run.settings.get("space_sha256")


def data(run: FinishedRun) -> str:
    """The name of a run's images, with their limit."""
    limit = run.settings.get("limit")
    name = str(run.settings.get("data"))
    return f"{name} --limit {limit}" if limit else name


def grouped(runs: Sequence[FinishedRun]) -> Groups:
    """Runs by label: the method, and those settings in which its runs differ.

    Raises ValueError for two runs of one label and seed.
    """
    groups: dict[str, list[FinishedRun]] = {}
    for run, label in zip(runs, labels([run.settings for run in runs]), strict=True):
        same = [other for other in groups.get(label, []) if other.seed == run.seed]
        if same:
            raise ValueError(
                f"{same[0].folder} and {run.folder} are the same run, {label} with seed "
                f"{run.seed}: give one of them."
            )
        groups.setdefault(label, []).append(run)
    return groups


def labels(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """A label for each: its method, and settings in which others of that method differ."""
    made = []
    for own in settings:
        method = own.get(METHOD)
        of_method = [other for other in settings if other.get(METHOD) == method]
        parts = [f"{name}={value_text(own.get(name))}" for name in differing(of_method)]
        made.append(" ".join([*([str(method)] if method else []), *parts]) or "training")
    return made


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of settings that are not equal in all, in their order."""
    names = dict.fromkeys(name for one in settings for name in one)
    values = lambda name: {value_text(one.get(name)) for one in settings}
    return [name for name in names if name not in NOT_IN_LABELS and len(values(name)) > 1]


def value_text(value: Any) -> str:
    """A value as on a command line; the first letters of a SHA-256 for a genotype."""
    if isinstance(value, Mapping):
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:7]
    if isinstance(value, list | tuple):
        return ",".join(map(value_text, value))
    return "none" if value is None else str(value)
