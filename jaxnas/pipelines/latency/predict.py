"""`jaxnas latency fit|predict|report`: predictors from measurements, and their evaluation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rich.console

from jaxnas.hardware.columns import column_file
from jaxnas.hardware.measure import round_statistics, summary
from jaxnas.hardware.predict import cross_validation, fit, predictor_file, transfer, two_modes
from jaxnas.hardware.predict.predictor import LATENCY, Predictor, unit
from jaxnas.hardware.tables import latency_table, network_table
from jaxnas.pipelines import genotypes
from jaxnas.pipelines.latency import column_tables, measurements, printed, report_folder
from jaxnas.pipelines.latency.measurements import Measurements
from jaxnas.pipelines.settings import latency
from jaxnas.pipelines.settings.limits import fail
from jaxnas.run import progress
from jaxnas.spaces import genome, registry


def fit_model(settings: latency.FitSettings, console: rich.console.Console | None = None) -> Path:
    """Fits a predictor to measurements and writes it; returns its file. Raises ValueError."""
    console = console or rich.console.Console()
    if (columns := measurements.column_rows(settings)) is not None:
        return column_tables.fit_model(settings, columns, console)
    rows = measurements.read(settings)
    measured = rows.space, rows.networks, rows.values
    if settings.sources:
        sources = _sources(settings.sources, rows)
        predictor, share = transfer.fit(*measured, sources, device=rows.device, work=rows.work)
        helped = f"{share:.0%} of the model knows them" if share else "dropped: they do not help"
        progress.print_line(console, f"fit: models of {len(sources)} other devices, {helped}")
    else:
        predictor = fit.fit(*measured, device=rows.device, work=rows.work, quantity=rows.quantity)
    out = measurements.model_path(settings, rows.quantity)
    predictor_file.save(out, predictor)
    if rows.unsampled:
        progress.print_line(console, f"fit: {rows.unsampled} programs have no time yet: left out")
    printed.fitted(console, f"{predictor.networks} networks", predictor, out)
    return out


def _sources(files: Sequence[str], rows: Measurements) -> list[Predictor]:
    """Models of other devices. Raises ValueError for other quantities than latency."""
    if rows.quantity != LATENCY:
        fail("--sources has no effect with --column: devices share latency only; leave it out.")
    predictors = [predictor_file.load(Path(file).expanduser(), space=rows.space) for file in files]
    for file, model in zip(files, predictors, strict=True):
        if model.quantity != LATENCY:
            fail(f"--sources: {file} is of {model.quantity}; give models of latency.")
    return predictors


def predict(settings: latency.PredictSettings, console: rich.console.Console | None = None) -> None:
    """Prints milliseconds and interval of each network. Raises ValueError."""
    console = console or rich.console.Console()
    if column_file.is_one(Path(settings.model).expanduser()):
        column_tables.predict(settings, console)
        return
    if not settings.networks:
        fail("There is nothing to predict: give a genotype.json, a run folder, or a name.")
    model = predictor_file.load(Path(settings.model).expanduser(), device=settings.device)
    parts = [_networks(model, text) for text in settings.networks]
    names = [name for _, part in parts for name in part]
    columns = model.predict(np.concatenate([networks for networks, _ in parts]))
    figures = list(zip(*(column.tolist() for column in columns), strict=True))
    if settings.json:
        printed.as_json(model.quantity, [{"network": name} for name in names], figures)
    else:
        printed.predicted(console, model.quantity, names, figures)


def report(
    settings: latency.ReportPredictorSettings, console: rich.console.Console | None = None
) -> Path:
    """Cross-validates our model and the baselines; returns the folder of the report.

    Raises ValueError.
    """
    console = console or rich.console.Console()
    if (columns := measurements.column_rows(settings)) is not None:
        return column_tables.report(settings, columns, console)
    rows = measurements.read(settings)
    qualities, ms, ours = cross_validation.cross_validate(
        rows.space, rows.networks, rows.values, work=rows.work, quantity=rows.quantity
    )
    out = measurements.report_folder(settings)
    evaluation = report_folder.Evaluation(qualities, ms, ours, rows.device, rows.quantity)
    modes = two_modes.find(ms)
    facts = {
        "noise": None if rows.noise is None else rows.noise._asdict(),
        "ceiling": None if rows.ceiling is None else rows.ceiling._asdict(),
        "modes": None if modes is None else modes._asdict(),
    }
    report_folder.write(out, evaluation, _notes(rows, len(ms), modes), facts, console)
    return out


def _notes(rows: Measurements, networks: int, modes: two_modes.Modes | None) -> list[str]:
    """What figures are worth: the number of networks, modes, the campaign's noise, its ceiling."""
    notes = [
        f"one network is {100 / networks:.2g} points of a share; in brackets the 90 % interval of "
        f"a share of {networks}"
    ]
    if modes is not None:
        notes.append(two_modes.text(modes, unit(rows.quantity)))
    if rows.noise is not None:
        notes += [" ".join(line.split()) for line in summary.noise_lines(rows.noise._asdict())]
        if rows.noise.reasons:
            notes.append(f"NOISY: {'; '.join(rows.noise.reasons)}")
    if rows.ceiling is not None:
        notes.append(f"ceiling: {round_statistics.ceiling_text(rows.ceiling._asdict())}")
    return notes


def _networks(model: Predictor, text: str) -> tuple[np.ndarray, list[str]]:
    """(i[N, positions], names) of a table, a text for `genotypes.named`, or a space's notation."""
    path = Path(text).expanduser()
    if latency_table.is_table(path):
        return network_table.networks_alone(measurements.table(path), model.space)
    if len(text.split()) > 1 and not text.lstrip().startswith(("{", network_table.NOTATION)):
        return network_table.codes_of(text, model.space)[None], [text]
    if text.startswith(network_table.NOTATION):
        return genome.encode(model.space, registry.parse_genotype(text))[None], [text]
    genotype, name = genotypes.named(text)
    return genome.encode(model.space, genotype)[None], [name]
