"""A finished run as figures: its accuracies, those of random cells, sizes, seconds, provenance."""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxnas.pipelines import study
from jaxnas.report import formatting, run_reader
from jaxnas.report.statistics import relative
from jaxnas.run import provenance
from jaxnas.spaces import genotype as genotypes

REPEATS = "retrain/found-*/result.json"  # further trainings of the found cell


class FinishedRun(NamedTuple):
    """What a run folder says once it is finished; accuracies in per cent."""

    folder: Path
    is_search: bool  # else the training of a given genotype
    settings: Mapping[str, Any]  # by the names of their flags
    seed: int
    data: str | None  # SHA-256 of the images
    fingerprint: str | None  # of everything that determines its bytes
    environment: Mapping[str, Any]
    accuracies: tuple[float, ...]  # on the test images: of each training of the cell
    random: tuple[float, ...]  # of the random cells
    figures: Mapping[str, float | bool | None]


def read(folder: Path) -> FinishedRun:
    """Reads a run folder. Raises ValueError for one of no run, or of one that is not finished."""
    if not folder.is_dir():
        raise ValueError(f"No run folder at {folder}: give folders that jaxnas search wrote.")
    run_reader.check_run(folder)
    contents = run_reader.read(folder)
    record, summary = contents.settings, contents.summary
    settings, found = record.get("settings"), summary.get("found")
    if not isinstance(settings, dict) or not isinstance(record.get("environment"), dict):
        raise ValueError(f"{folder}/settings.json is missing or damaged: it says of no run.")
    if not isinstance(found, dict) or formatting.fraction(found.get("top1")) is None:
        raise ValueError(
            f"{folder} is not finished: it has no summary.json with a test accuracy. Run its "
            "command again, which goes on, or leave it out."
        )
    random = tuple(100 * result["top1"] for result in summary.get("random") or [])
    accuracies = (100 * found["top1"], *_repeats(folder))
    return FinishedRun(
        folder,
        contents.is_search,
        settings,
        int(record.get("seed") or 0),
        record.get("data"),
        (provenance.read_parts(folder) or {}).get("sha256"),
        record["environment"],
        accuracies,
        random,
        _figures(contents, accuracies, random, folder),
    )


def _repeats(folder: Path) -> list[float]:
    """Accuracies of further trainings of the found cell."""
    number = lambda path: int(path.parent.name.rpartition("-")[2])
    paths = sorted(folder.glob(REPEATS), key=number)
    return [100 * json.loads(path.read_text(encoding="utf-8"))["top1"] for path in paths]


def _figures(
    contents: run_reader.RunContents,
    accuracies: tuple[float, ...],
    random: tuple[float, ...],
    folder: Path,
) -> dict[str, float | bool | None]:
    found, summary = contents.summary["found"], contents.summary
    accuracy = statistics.fmean(accuracies)
    improvement = relative.improvement(accuracy, random)
    truth = (summary.get("truth") or {}).get("sets", {})
    target = (summary.get("target") or {}).get("targets", {}).get("ms", {})
    trained = [folder / "retrain" / "found", *sorted(folder.glob("retrain/found-*"))]
    steps = lambda path: study.steps_s(path) if (path / "metrics.jsonl").exists() else 0.0
    return {
        "accuracy": accuracy,
        "trainings": len(accuracies),
        "random_accuracy": statistics.fmean(random) if random else None,
        "random_cells": len(random),
        "relative_improvement": None if improvement is None else 100 * improvement,
        # Of the first data set of a tabular benchmark, which is the one it was searched for.
        "truth": next((scores["test_200"] for scores in truth.values()), None),
        "top5": 100 * found["top5"],
        "loss": found["loss"],
        "ece": found["ece"],
        "parameters": found["parameters"],
        "macs": found["macs"],
        "latency_ms": found.get("latency_ms"),
        "measured_ms": target.get("measured"),
        "holds": target.get("holds"),
        "skips": None if contents.genotype is None else _skips(contents.genotype),
        "search_s": steps(folder) if contents.is_search else None,
        "retrain_s": sum(map(steps, trained)) if contents.is_search else steps(folder),
    }


def _skips(genotype: genotypes.Genotype) -> int:
    return sum(genotypes.skips(genotype).values())
