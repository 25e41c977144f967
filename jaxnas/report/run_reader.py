"""Reader of a run folder: its contents, and sentences on what is missing or damaged."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxnas.run import files, provenance
from jaxnas.spaces import genotype, registry

WRITTEN = ("settings.json", "metrics.jsonl", "gates.jsonl")  # from the start of every run


class RunContents(NamedTuple):
    """The contents of a run folder; empty fields for missing files."""

    name: str
    settings: Mapping[str, Any]
    metrics: tuple[Mapping[str, Any], ...]  # the lines of metrics.jsonl
    gates: tuple[Mapping[str, Any], ...]  # the lines of gates.jsonl
    space: Mapping[str, Any]  # cell -> {"edges", "candidates"}
    genotype: genotype.Genotype | None
    summary: Mapping[str, Any]
    missing: tuple[str, ...]  # a sentence each
    is_search: bool  # else the training of a genotype, which has neither gates nor a space
    fingerprint: Mapping[str, Any] = {}  # of `provenance.parts`


def check_run(folder: Path) -> None:
    """Raises ValueError for a folder that no run has written."""
    if folder.is_dir() and not any((folder / name).exists() for name in WRITTEN):
        raise ValueError(
            f"{folder} is no run folder: it has no settings.json. Give the folder that jaxnas "
            "search or jaxnas retrain wrote."
        )


def read(folder: Path) -> RunContents:
    """Reads a run folder. Raises ValueError only if there is no such folder.

    An incomplete last line of a .jsonl file, as a killed process leaves it, is skipped.
    """
    if not folder.is_dir():
        raise ValueError(f"No run folder at {folder}: give the folder a run has written.")
    missing: list[str] = []
    settings = _table(folder / "settings.json", "the settings", missing)
    metrics = _lines(folder / "metrics.jsonl", "the curves", missing)
    run_settings = settings.get("settings")
    is_search = not (isinstance(run_settings, dict) and "genotype" in run_settings)
    gates, space = (), {}
    if is_search:
        gates = _lines(folder / "gates.jsonl", "the gates over time", missing)
        space = _table(folder / "space.json", "the names of edges and candidates", missing)
    cells = _genotype(folder / "genotype.json", missing)
    summary = _table(folder / "summary.json", "the test results", missing)
    name = folder.resolve().name
    fingerprint = provenance.read_parts(folder) or {}
    return RunContents(
        name, settings, metrics, gates, space, cells, summary, tuple(missing), is_search,
        fingerprint,
    )  # fmt: skip


def read_genotype(path: Path) -> genotype.Genotype:
    """The genotype in a file. Raises OSError and `genotype.GenotypeError`."""
    with path.open("rb") as file:
        return registry.parse_genotype(files.decode(file.read(genotype.LIMIT + 1), "replace"))


def _text(path: Path, content: str, missing: list[str]) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        missing.append(f"{path.name} is not there: {content} cannot be shown.")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        missing.append(f"{path.name} cannot be read ({reason}): {content} cannot be shown.")
    return None


def _table(path: Path, content: str, missing: list[str]) -> Mapping[str, Any]:
    text = _text(path, content, missing)
    if text is None:
        return {}
    try:
        table = json.loads(text)
    except (ValueError, RecursionError):
        table = None
    if isinstance(table, dict):
        return table
    missing.append(f"{path.name} is damaged (no JSON object): {content} cannot be shown.")
    return {}


def _lines(path: Path, content: str, missing: list[str]) -> tuple[Mapping[str, Any], ...]:
    text = _text(path, content, missing)
    if text is None:
        return ()
    records, damaged = [], 0
    lines = text.split("\n")
    for index, line in enumerate(lines):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            records.append(record)
        elif line.strip() and index < len(lines) - 1:
            damaged += 1
    if damaged:
        missing.append(f"{path.name} has {damaged} damaged line(s), left out.")
    if not records:
        missing.append(f"{path.name} has no entry yet: {content} cannot be shown.")
    return tuple(records)


def _genotype(path: Path, missing: list[str]) -> genotype.Genotype | None:
    try:
        return read_genotype(path)
    except FileNotFoundError:
        missing.append(f"{path.name} is not there: the cells cannot be shown.")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        missing.append(f"{path.name} cannot be read ({reason}): the cells cannot be shown.")
    except ValueError as error:
        missing.append(f"{path.name}: {error}")
    return None
