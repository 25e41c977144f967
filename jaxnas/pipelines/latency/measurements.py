"""What `fit` and `report` are given: a campaign's folder, or a table."""

import contextlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnas.core.types import Space
from jaxnas.hardware.columns import column_table
from jaxnas.hardware.measure import campaign_file, dataset, round_statistics
from jaxnas.hardware.predict import validation
from jaxnas.hardware.predict.predictor import LATENCY
from jaxnas.hardware.tables import benchmarks, latency_table, network_table, work_table
from jaxnas.pipelines.settings import latency
from jaxnas.pipelines.settings.limits import fail
from jaxnas.spaces import registry
from jaxnas.spaces.search_space import NetworkSize, SearchSpace


class Measurements(NamedTuple):
    """Measured networks of a space."""

    space: Space
    device: str
    quantity: str
    networks: np.ndarray  # i64[N, positions]
    values: np.ndarray  # f64[N]
    work: np.ndarray | None  # of a chain of known sizes, as `SearchSpace.workload`
    ceiling: round_statistics.Ceiling | None = None
    noise: round_statistics.MeasurementNoise | None = None  # of a campaign
    unsampled: int = 0  # programs of the campaign that were never timed


def read(settings: latency.MeasurementsSettings) -> Measurements:
    """The measurements in a campaign's folder, or in a table.

    A table is of CSV with its space, or .npz, which may define its space itself. Raises ValueError
    for neither, and for flags without effect.
    """
    path = Path(settings.measured).expanduser()
    if not latency_table.is_table(path):
        return _of_campaign(settings, path)
    if settings.space is None and latency_table.is_npz(path):
        return _of_benchmark(settings, path)
    return _of_table(settings, path)


def table(path: Path) -> latency_table.LatencyTable:
    """The rows of a table, of text or of arrays. Raises TableError."""
    if not latency_table.is_npz(path):
        return latency_table.read(path)
    of_columns = column_table.of_arrays(benchmarks.read_arrays(path), path)
    return of_columns or benchmarks.as_table(path)


def column_rows(settings: latency.MeasurementsSettings) -> column_table.ColumnRows | None:
    """The rows of a table that columns of numbers describe; None: what is measured is no such.

    Raises ValueError for a table that cannot be used, and for flags without effect.
    """
    path = Path(settings.measured).expanduser()
    if settings.space is not None or not latency_table.is_table(path) or not path.is_file():
        return None
    if latency_table.is_npz(path):
        found = column_table.of_arrays(benchmarks.read_arrays(path), path)
    else:
        found = latency_table.read(path)
    if found is None or not column_table.is_one(found, settings.column):
        return None
    for flag in ("cells", "work", "sources"):
        if getattr(settings, flag, None):
            fail(f"--{flag} has no effect on {path}, whose rows columns describe: leave it out.")
    return column_table.read(found, device=settings.device, column=settings.column)


def space(name: str, cells: int | None) -> SearchSpace:
    """The space of that name. Raises ValueError for `cells` where they shape nothing."""
    found = registry.get(name, cells)
    if cells is not None and not found.shaped_by_cells:
        fail(f"--cells has no effect on {name}: leave it out.")
    return found


def folder(measured: str) -> Path:
    """The folder of a campaign, or that of a table."""
    path = Path(measured).expanduser()
    return path.parent if latency_table.is_table(path) else path


def model_path(settings: latency.FitSettings, quantity: str) -> Path:
    """Where a fitted model is written."""
    name = "model.json" if quantity == LATENCY else f"{quantity}.json"
    default = folder(settings.measured) / name
    return default if settings.out is None else Path(settings.out).expanduser()


def report_folder(settings: latency.ReportPredictorSettings) -> Path:
    """Where a report is written."""
    out = settings.out
    return folder(settings.measured) if out is None else Path(out).expanduser()


def _of_table(settings: latency.MeasurementsSettings, path: Path) -> Measurements:
    if settings.space is None:
        fail(_spaceless(path))
    found = space(settings.space, settings.cells)
    choices, work = found.genome.space, None
    measured = network_table.read_networks(
        table(path), choices, device=settings.device, column=settings.column
    )
    if settings.work is not None:
        work = work_table.read(Path(settings.work).expanduser(), choices)
    elif found.digest is not None and found.workload is not None:
        # Layers of a user's space are of one size; those of ours are not the table's.
        work = found.workload(NetworkSize())
    quantity = _quantity(settings)
    return Measurements(
        choices, measured.device, quantity, measured.networks, measured.latency_ms, work
    )


def _of_benchmark(settings: latency.MeasurementsSettings, path: Path) -> Measurements:
    for flag in ("cells", "column"):
        if getattr(settings, flag) is not None:
            fail(f"--{flag} has no effect on {path} without --space: leave it out.")
    found = benchmarks.read(path)
    if settings.device is None and len(found.devices) > 1:
        fail(
            f"{path} is of several devices ({', '.join(found.devices)}): choose one with --device."
        )
    device = found.devices[0] if settings.device is None else settings.device
    if device not in found.devices:
        fail(f"{path} is of {', '.join(found.devices)}, not of {device!r}.")
    work = found.work
    if settings.work is not None:
        work = work_table.read(Path(settings.work).expanduser(), found.space)
    return Measurements(found.space, device, LATENCY, found.networks, found.column(device), work)


def _of_campaign(settings: latency.MeasurementsSettings, path: Path) -> Measurements:
    if any(getattr(settings, flag) is not None for flag in ("space", "device", "cells", "work")):
        fail(
            "--space, --cells, --device and --work have no effect on a campaign, which says all: "
            "leave them out."
        )
    campaign, quantity = dataset.load(path), _quantity(settings)
    raw = campaign.raw
    found = Measurements(
        campaign.space.genome.space, campaign.device, quantity, campaign.networks,
        campaign.latency_ms, campaign.work, unsampled=len(campaign.unsampled),
    )  # fmt: skip
    if quantity != LATENCY:
        return found._replace(values=dataset.facts(campaign, quantity))
    pairs = campaign_file.pairs(raw)
    networks, values = validation.medians(found.networks, found.values)
    return found._replace(
        networks=networks,
        values=values,
        ceiling=round_statistics.ceiling(campaign.latency_ms, raw.rounds_ms, pairs),
        noise=round_statistics.noise(raw.rounds_ms, pairs),
    )


def _quantity(settings: latency.MeasurementsSettings) -> str:
    """What is predicted: a column, but for times in another unit."""
    return LATENCY if settings.column in (None, *latency_table.UNITS) else settings.column


def _spaceless(path: Path) -> str:
    """The message on a table that cannot be read without a space: one line."""
    if (path.parent / campaign_file.RAW).is_file():
        return f"{path} does not say its space: give the campaign's folder {path.parent} instead."
    with contextlib.suppress(latency_table.TableError):
        if (layers := table(path)).form in latency_table.LAYER_TABLES:
            return network_table.layer_table_message(layers)
    return (
        f"{path} does not say its space: give --space, or describe each row by columns of numbers."
    )
