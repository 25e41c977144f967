"""`jaxnas latency fit|predict|report|check`: predictors from measurements, and their evaluation."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rich.console

from jaxnas import run
from jaxnas.core.types import Space
from jaxnas.hardware import shares
from jaxnas.hardware.measure import campaign_file, dataset, round_statistics, summary
from jaxnas.hardware.predict import (
    cross_validation,
    fit,
    predictor_file,
    transfer,
    two_modes,
    validation,
)
from jaxnas.hardware.predict.metrics import Quality
from jaxnas.hardware.predict.predictor import LATENCY, Predictor, margin, unit
from jaxnas.hardware.tables import csv_table, layer_table, network_table
from jaxnas.pipelines import genotypes
from jaxnas.pipelines.settings import latency
from jaxnas.pipelines.settings.limits import fail
from jaxnas.report import figures, table
from jaxnas.run import files, progress
from jaxnas.spaces import genome, registry

MODEL, REPORT, PAGE, PLOT = "model.json", "report.json", "report.md", "predicted.svg"
MAX_VIOLATIONS = 5  # printed: the worst pairs whose smaller network is slower
HEAD = ("model", "Spearman", "Kendall", "within 5 %", "within 10 %", "MdAPE %", "coverage 90 %")


class Rows(NamedTuple):
    """Measured networks of a space."""

    space: Space
    device: str
    quantity: str
    networks: np.ndarray  # i64[N, positions]
    values: np.ndarray  # f64[N]
    work: np.ndarray | None = None  # of a mobile chain of known sizes
    ceiling: round_statistics.Ceiling | None = None
    noise: round_statistics.MeasurementNoise | None = None  # of a campaign
    unsampled: int = 0  # programs of the campaign that were never timed


def fit_model(settings: latency.FitSettings, console: rich.console.Console | None = None) -> Path:
    """Fits a predictor to measurements and writes it; returns its file. Raises ValueError."""
    console = console or rich.console.Console()
    rows = read(settings)
    measured = rows.space, rows.networks, rows.values
    if settings.sources:
        sources = _sources(settings.sources, rows)
        predictor, share = transfer.fit(*measured, sources, device=rows.device, work=rows.work)
        helped = f"{share:.0%} of the model knows them" if share else "dropped: they do not help"
        progress.print_line(console, f"fit: models of {len(sources)} other devices, {helped}")
    else:
        predictor = fit.fit(*measured, device=rows.device, work=rows.work, quantity=rows.quantity)
    default_name = MODEL if rows.quantity == LATENCY else f"{rows.quantity}.json"
    out = (
        _folder(settings.measured) / default_name
        if settings.out is None
        else Path(settings.out).expanduser()
    )
    predictor_file.save(out, predictor)
    if rows.unsampled:
        progress.print_line(console, f"fit: {rows.unsampled} programs have no time yet: left out")
    progress.print_line(
        console,
        f"fit: {predictor.networks} networks of {predictor.device or 'an unnamed device'}; 90 % "
        f"of those left out are within {margin(predictor):.1%} of what is predicted",
    )
    progress.print_line(console, f"model: {out}")
    return out


def _sources(files: Sequence[str], rows: Rows) -> list[Predictor]:
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
    if not settings.networks:
        fail("There is nothing to predict: give a genotype.json, a run folder, or a name.")
    model = predictor_file.load(Path(settings.model).expanduser(), device=settings.device)
    shown_unit = unit(model.quantity)
    networks = [_network(model, text) for text in settings.networks]
    columns = model.predict(np.array([network for network, _ in networks]))
    rows = list(zip((name for _, name in networks), *(c.tolist() for c in columns), strict=True))
    if settings.json:
        bounds = ("low_ms", "high_ms") if shown_unit == "ms" else ("low", "high")
        keys = ("network", model.quantity, *bounds)
        print(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2))
        return
    for name, ms, low, high in rows:
        progress.print_line(
            console, f"{ms:.4g} {shown_unit}  (90 %: {low:.4g} to {high:.4g} {shown_unit})  {name}"
        )


def report(
    settings: latency.ReportPredictorSettings, console: rich.console.Console | None = None
) -> Path:
    """Cross-validates our model and the baselines; returns the folder of the report.

    Raises ValueError.
    """
    console = console or rich.console.Console()
    rows = read(settings)
    quantity, prefix = "latency", ""
    if rows.quantity != LATENCY:
        quantity, prefix = rows.quantity, f"{rows.quantity}-"
    qualities, ms, ours = cross_validation.cross_validate(
        rows.space, rows.networks, rows.values, work=rows.work, quantity=rows.quantity
    )
    out = _folder(settings.measured) if settings.out is None else Path(settings.out).expanduser()
    with files.as_run_error(out):
        out.mkdir(parents=True, exist_ok=True)
    title = (
        f"{len(ms)} networks of {rows.device or 'an unnamed device'}, each predicted from other "
        f"{1 - 1 / cross_validation.FOLDS:.0%} of them"
    )
    text_table = table.TextTable(
        HEAD, [(name, *_figures(quality, len(ms))) for name, quality in qualities.items()]
    )
    modes = two_modes.find(ms)
    notes = _notes(rows, len(ms), modes)
    intervals = {
        name: [100 * bound for bound in shares.interval(quality.within5 / 100, len(ms))]
        for name, quality in qualities.items()
    }
    record = {
        "device": rows.device, "networks": len(ms), "folds": cross_validation.FOLDS,
        "models": {
            name: quality._asdict() | {"within5_interval": intervals[name]}
            for name, quality in qualities.items()
        },
        "noise": None if rows.noise is None else rows.noise._asdict(),
        "ceiling": None if rows.ceiling is None else rows.ceiling._asdict(),
        "modes": None if modes is None else modes._asdict(),
    }  # fmt: skip
    run.write_text(out / f"{prefix}{REPORT}", json.dumps(record, indent=2) + "\n")
    paragraphs = "".join(f"- {note}\n" for note in notes)
    text = (
        f"# Predicted {quantity}\n\n{title}.\n\n{table.markdown(text_table)}\n{paragraphs}\n"
        f"![predicted against measured]({prefix}{PLOT})\n"
    )
    page, picture = out / f"{prefix}{PAGE}", out / f"{prefix}{PLOT}"
    run.write_text(page, text)
    device = rows.device or "unnamed device"
    figures.predicted_against_measured(picture, ms, ours, device, unit(rows.quantity))
    for line in (title, *table.text(text_table).splitlines(), *notes):
        progress.print_line(console, line)
    progress.print_line(console, f"report: {page}; plot: {picture}")
    return out


def _notes(rows: Rows, networks: int, modes: two_modes.Modes | None) -> list[str]:
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


def check_table(
    settings: latency.CheckTableSettings, console: rich.console.Console | None = None
) -> None:
    """Prints the contents of a table and the times that contradict dominance.

    Raises ValueError for an invalid table, and for one that cannot be fitted.
    """
    console = console or rich.console.Console()
    path = Path(settings.table).expanduser()
    if settings.space is None and settings.cells is not None:
        fail("--cells has no effect without --space: leave it out.")
    space = None if settings.space is None else _space(settings.space, settings.cells)
    csv = csv_table.read(path)
    if csv_table.form(csv) == csv_table.NETWORKS:
        lines = _networks_checked(csv, space, settings.device)
    elif settings.device is not None:
        fail(f"--device has no effect on a {csv.form} look-up table of layers: leave it out.")
    else:
        lines = _layers_checked(csv, space, settings.space)
    for line in list(lines):
        progress.print_line(console, line)


def read(settings: latency.MeasurementsSettings) -> Rows:
    """The measurements in a campaign's folder, or in a table (.csv, with its space).

    Raises ValueError for neither, and for flags without effect.
    """
    path = Path(settings.measured).expanduser()
    quantity = LATENCY if settings.column in (None, *csv_table.UNITS) else settings.column
    if path.suffix == ".csv":
        if settings.space is None:
            fail(_spaceless(path))
        choices = _space(settings.space, settings.cells)
        csv = csv_table.read(path)
        measured = network_table.read_networks(
            csv, choices, device=settings.device, column=settings.column
        )
        return Rows(choices, measured.device, quantity, measured.networks, measured.latency_ms)
    if any(flag is not None for flag in (settings.space, settings.device, settings.cells)):
        fail(
            "--space, --cells and --device have no effect on a campaign, which says all: leave "
            "them out."
        )
    campaign = dataset.load(path)
    raw, space, device = campaign.raw, campaign.space.genome.space, campaign.device
    unsampled = len(campaign.unsampled)
    if quantity != LATENCY:
        values = dataset.facts(campaign, quantity)
        return Rows(
            space, device, quantity, campaign.networks, values, campaign.work, None, None, unsampled
        )
    pairs = campaign_file.pairs(raw)
    ms, work = campaign.latency_ms, campaign.work
    ceiling = round_statistics.ceiling(ms, raw.rounds_ms, pairs)
    noise = round_statistics.noise(raw.rounds_ms, pairs)
    return Rows(space, device, quantity, campaign.networks, ms, work, ceiling, noise, unsampled)


def _space(name: str, cells: int | None) -> Space:
    space = registry.get(name, cells)
    if cells is not None and not space.shaped_by_cells:
        fail(f"--cells has no effect on {name}: leave it out.")
    return space.genome.space


def _spaceless(path: Path) -> str:
    """The message on a table that cannot be read without a space: one line."""
    if (path.parent / campaign_file.RAW).is_file():
        return f"{path} does not say its space: give the campaign's folder {path.parent} instead."
    with contextlib.suppress(csv_table.TableError):
        if (csv := csv_table.read(path)).form in csv_table.LAYER_TABLES:
            return network_table.layer_table_message(csv)
    return f"{path} does not say its space: give --space."


def _layers_checked(
    csv: csv_table.LatencyTable, space: Space | None, name: str | None
) -> Iterator[str]:
    layers = layer_table.read(csv)
    ms, layer_indices = list(layers.entries.values()), {layer for layer, _ in layers.entries}
    yield (
        f"{layers.form} look-up table: {len(ms)} entries at {len(layer_indices)} layers, "
        f"{min(ms):.3g} to {max(ms):.3g} ms"
    )
    pairs = layer_table.dominance_pairs(layers)
    yield from _dominance(len(pairs), [pair for pair in pairs if pair.violates])
    if space is not None:
        costs = layer_table.costs(layers, space)
        rows = [row[:size] for row, size in zip(costs, genome.cardinalities(space), strict=True)]
        yield (
            f"of {name}: its {len(rows)} searched layers take {sum(map(min, rows)):.4g} to "
            f"{sum(map(max, rows)):.4g} ms"
        )


def _networks_checked(
    csv: csv_table.LatencyTable, space: Space | None, device: str | None
) -> Iterator[str]:
    if space is None:
        fail(f"{csv.path} is of whole networks and does not say their space: give --space.")
    for name in [device] if device else network_table.devices(csv) or [None]:
        measured = network_table.read_networks(csv, space, device=name)
        networks, ms = validation.validate(space, measured.networks, measured.latency_ms)
        yield (
            f"table of whole networks, {measured.device or 'an unnamed device'}: {len(networks)} "
            f"networks in {len(measured.networks)} rows, {min(ms):.3g} to {max(ms):.3g} ms"
        )
        yield from _dominance(*network_table.dominance_violations(measured, space))
        if len(measured.networks) > network_table.MAX_COMPARED:
            yield f"only the first {network_table.MAX_COMPARED} rows were compared with each other"


def _dominance(pairs: int, violations: Sequence[csv_table.DominancePair]) -> Iterator[str]:
    """The number of pairs whose smaller network is slower, and the worst of them."""
    if not violations:
        yield f"dominance: of {pairs} pairs, none is slower though it does less"
        return
    ratio = lambda pair: pair.smaller_ms / max(pair.larger_ms, 1e-9)
    large = sum(ratio(pair) > validation.MAX_REPEAT_RATIO for pair in violations)
    yield (
        f"dominance: of {pairs} pairs, {len(violations)} are slower though they do less, {large} "
        f"of them by more than {100 * (validation.MAX_REPEAT_RATIO - 1):.0f} %; measure those "
        "again. The worst:"
    )
    for pair in sorted(violations, key=ratio, reverse=True)[:MAX_VIOLATIONS]:
        yield (
            f"  {pair.place}: {pair.smaller} {pair.smaller_ms:.4g} ms, {pair.larger} "
            f"{pair.larger_ms:.4g} ms"
        )


def _figures(quality: Quality, networks: int) -> list[str]:
    """Shares and errors are percent; a share within 5 or 10 % has its 90 % interval behind it."""
    formats = {"spearman": ".3f", "kendall": ".3f", "mdape": ".1f"}
    texts = []
    for name, value in quality._asdict().items():
        text = format(value, formats.get(name, ".0f"))
        if name in ("within5", "within10"):
            low, high = shares.interval(value / 100, networks)
            text += f" ({100 * low:.0f} to {100 * high:.0f})"
        texts.append(text)
    return texts


def _network(model: Predictor, text: str) -> tuple[np.ndarray, str]:
    """(i[positions], name) of a text for `genotypes.named`, or in a space's notation."""
    if text.startswith(network_table.NOTATION):
        return genome.encode(model.space, registry.parse_genotype(text)), text
    genotype, name = genotypes.named(text)
    return genome.encode(model.space, genotype), name


def _folder(measured: str) -> Path:
    path = Path(measured).expanduser()
    return path.parent if path.suffix == ".csv" else path
