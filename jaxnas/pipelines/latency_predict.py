"""`jaxnas latency fit|predict|report|check`, done: measured to a model, figures, a picture."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rich.console

from jaxnas import run
from jaxnas.core.types import Space
from jaxnas.hardware.measure import campaign_file, dataset, round_statistics
from jaxnas.hardware.predict import cross_validation, fit, predictor_file, transfer, validation
from jaxnas.hardware.predict.metrics import Quality
from jaxnas.hardware.predict.predictor import LATENCY, Predictor, margin, unit
from jaxnas.hardware.tables import csv_table, layer_table, network_table
from jaxnas.pipelines import genotypes
from jaxnas.pipelines.settings import latency
from jaxnas.pipelines.settings.limits import refuse
from jaxnas.report import figures, table
from jaxnas.run import files, progress
from jaxnas.spaces import genome, registry

MODEL, REPORT, PAGE, PLOT = "model.json", "report.json", "report.md", "predicted.svg"
WORST = 5  # of what is slower though it does less, so many are shown
HEAD = ("model", "Spearman", "Kendall", "within 5 %", "within 10 %", "MdAPE %", "coverage 90 %")


class Rows(NamedTuple):
    """Measured networks of a space."""

    space: Space
    device: str
    quantity: str
    networks: np.ndarray  # i64[N, positions]
    values: np.ndarray  # f64[N]
    work: np.ndarray | None  # of a mobile chain of known sizes
    ceiling: round_statistics.Ceiling | None
    unsampled: int = 0  # programs of the campaign that were never timed


def fit_model(settings: latency.FitSettings, console: rich.console.Console | None = None) -> Path:
    """Writes the model of what was measured; gives its file. Raises ValueError."""
    console = console or rich.console.Console()
    rows = read(settings)
    measured = rows.space, rows.networks, rows.values
    if settings.sources:
        known = _sources(settings.sources, rows)
        found, share = transfer.fit(*measured, known, device=rows.device, work=rows.work)
        helped = f"{share:.0%} of the model knows them" if share else "dropped: they do not help"
        progress.print_line(console, f"fit: models of {len(known)} other devices, {helped}")
    else:
        found = fit.fit(*measured, device=rows.device, work=rows.work, quantity=rows.quantity)
    own = MODEL if rows.quantity == LATENCY else f"{rows.quantity}.json"
    out = (
        _folder(settings.measured) / own
        if settings.out is None
        else Path(settings.out).expanduser()
    )
    predictor_file.save(out, found)
    if rows.unsampled:
        progress.print_line(console, f"fit: {rows.unsampled} programs have no time yet: left out")
    progress.print_line(
        console,
        f"fit: {found.networks} networks of {found.device or 'an unnamed device'}; 90 % of those "
        f"left out are within {margin(found):.1%} of what is predicted",
    )
    progress.print_line(console, f"model: {out}")
    return out


def _sources(files: Sequence[str], rows: Rows) -> list[Predictor]:
    """Models of other devices. Raises ValueError where they are of another quantity."""
    if rows.quantity != LATENCY:
        refuse("--sources has no effect beside --column: devices share latency only; leave it out.")
    found = [predictor_file.load(Path(file).expanduser(), space=rows.space) for file in files]
    for file, model in zip(files, found, strict=True):
        if model.quantity != LATENCY:
            refuse(f"--sources: {file} is of {model.quantity}; give models of latency.")
    return found


def predict(settings: latency.PredictSettings, console: rich.console.Console | None = None) -> None:
    """Prints milliseconds and interval of each network. Raises ValueError."""
    console = console or rich.console.Console()
    if not settings.networks:
        refuse("There is nothing to predict: give a genotype.json, a run folder, or a name.")
    model = predictor_file.load(Path(settings.model).expanduser(), device=settings.device)
    of = unit(model.quantity)
    found = [_network(model, text) for text in settings.networks]
    columns = model.predict(np.array([network for network, _ in found]))
    each = list(zip((name for _, name in found), *(c.tolist() for c in columns), strict=True))
    if settings.json:
        ends = ("low_ms", "high_ms") if of == "ms" else ("low", "high")
        keys = ("network", model.quantity, *ends)
        print(json.dumps([dict(zip(keys, row, strict=True)) for row in each], indent=2))
        return
    for name, ms, low, high in each:
        progress.print_line(console, f"{ms:.4g} {of}  (90 %: {low:.4g} to {high:.4g} {of})  {name}")


def report(
    settings: latency.ReportPredictorSettings, console: rich.console.Console | None = None
) -> Path:
    """Judges our model and the baselines on networks held out; gives the folder of the report.

    Raises ValueError.
    """
    console = console or rich.console.Console()
    rows = read(settings)
    what, before = "latency", ""
    if rows.quantity != LATENCY:
        what, before = rows.quantity, f"{rows.quantity}-"
    judged, ms, ours = cross_validation.cross_validate(
        rows.space, rows.networks, rows.values, work=rows.work, quantity=rows.quantity
    )
    out = _folder(settings.measured) if settings.out is None else Path(settings.out).expanduser()
    with files.as_run_error(out):
        out.mkdir(parents=True, exist_ok=True)
    title = (
        f"{len(ms)} networks of {rows.device or 'an unnamed device'}, each predicted from other "
        f"{1 - 1 / cross_validation.FOLDS:.0%} of them"
    )
    shown = table.TextTable(HEAD, [(name, *_figures(found)) for name, found in judged.items()])
    best = rows.ceiling
    ceiling = "" if best is None else (
        f"ceiling: a perfect model would score Spearman {best.spearman:.3f}, {best.within5:.0%} "
        f"within 5 %, {best.within10:.0%} within 10 %"
    )  # fmt: skip
    said = {
        "device": rows.device, "networks": len(ms), "folds": cross_validation.FOLDS,
        "models": {name: found._asdict() for name, found in judged.items()},
        "ceiling": None if best is None else best._asdict(),
    }  # fmt: skip
    run.write_text(out / f"{before}{REPORT}", json.dumps(said, indent=2) + "\n")
    text = (
        f"# Predicted {what}\n\n{title}.\n\n{table.markdown(shown)}\n{ceiling}\n\n"
        f"![predicted against measured]({before}{PLOT})\n"
    )
    page, picture = out / f"{before}{PAGE}", out / f"{before}{PLOT}"
    run.write_text(page, text.replace("\n\n\n", "\n"))
    device = rows.device or "unnamed device"
    figures.predicted_against_measured(picture, ms, ours, device, unit(rows.quantity))
    for line in (title, *table.text(shown).splitlines(), *([ceiling] if ceiling else [])):
        progress.print_line(console, line)
    progress.print_line(console, f"report: {page}; plot: {picture}")
    return out


def check_table(
    settings: latency.CheckTableSettings, console: rich.console.Console | None = None
) -> None:
    """Says what a table from elsewhere holds and which of its times cannot be right.

    Raises ValueError for what is no table, and for one that a fit would refuse.
    """
    console = console or rich.console.Console()
    path = Path(settings.table).expanduser()
    if settings.space is None and settings.cells is not None:
        refuse("--cells has no effect without --space: leave it out.")
    space = None if settings.space is None else _space(settings.space, settings.cells)
    given = csv_table.read(path)
    if csv_table.form(given) == csv_table.NETWORKS:
        lines = _networks_checked(given, space, settings.device)
    elif settings.device is not None:
        refuse(f"--device has no effect on a {given.form} look-up table of layers: leave it out.")
    else:
        lines = _layers_checked(given, space, settings.space)
    for line in list(lines):
        progress.print_line(console, line)


def read(settings: latency.FitSettings | latency.ReportPredictorSettings) -> Rows:
    """What a campaign's folder, or a table (.csv, with its space), has measured.

    Raises ValueError for neither, and for flags without effect.
    """
    path = Path(settings.measured).expanduser()
    quantity = LATENCY if settings.column in (None, *csv_table.UNITS) else settings.column
    if path.suffix == ".csv":
        if settings.space is None:
            refuse(_spaceless(path))
        choices = _space(settings.space, settings.cells)
        given = csv_table.read(path)
        found = network_table.measured(
            given, choices, device=settings.device, column=settings.column
        )
        return Rows(choices, found.device, quantity, found.networks, found.latency_ms, None, None)
    if any(flag is not None for flag in (settings.space, settings.device, settings.cells)):
        refuse(
            "--space, --cells and --device have no effect on a campaign, which says all: leave "
            "them out."
        )
    campaign = dataset.load(path)
    raw, space, device = campaign.raw, campaign.space.genome.space, campaign.device
    left = len(campaign.unsampled)
    if quantity != LATENCY:
        values = dataset.facts(campaign, quantity)
        return Rows(space, device, quantity, campaign.networks, values, campaign.work, None, left)
    away = round_statistics.differences(
        round_statistics.summarise(raw.rounds_ms).latency_ms, campaign_file.pairs(raw)
    )
    ceiling = round_statistics.ceiling(campaign.latency_ms, away)
    ms, work = campaign.latency_ms, campaign.work
    return Rows(space, device, quantity, campaign.networks, ms, work, ceiling, left)


def _space(name: str, cells: int | None) -> Space:
    space = registry.get(name, cells)
    if cells is not None and not space.shaped_by_cells:
        refuse(f"--cells has no effect on {name}: leave it out.")
    return space.genome.space


def _spaceless(path: Path) -> str:
    """Why a table cannot be read without a space: one line."""
    if (path.parent / campaign_file.RAW).is_file():
        return f"{path} does not say its space: give the campaign's folder {path.parent} instead."
    with contextlib.suppress(csv_table.TableError):
        if (given := csv_table.read(path)).form in csv_table.LOOK_UPS:
            return network_table.of_layers(given)
    return f"{path} does not say its space: give --space."


def _layers_checked(
    given: csv_table.LatencyTable, space: Space | None, name: str | None
) -> Iterator[str]:
    found = layer_table.read(given)
    ms, places = list(found.entries.values()), {where for where, _ in found.entries}
    yield (
        f"{found.form} look-up table: {len(ms)} entries at {len(places)} layers, {min(ms):.3g} to "
        f"{max(ms):.3g} ms"
    )
    pairs = layer_table.compared(found)
    yield from _dominance(len(pairs), [pair for pair in pairs if pair.violates])
    if space is not None:
        costs = layer_table.costs(found, space)
        rows = [row[:size] for row, size in zip(costs, genome.cardinalities(space), strict=True)]
        yield (
            f"of {name}: its {len(rows)} searched layers take {sum(map(min, rows)):.4g} to "
            f"{sum(map(max, rows)):.4g} ms"
        )


def _networks_checked(
    given: csv_table.LatencyTable, space: Space | None, device: str | None
) -> Iterator[str]:
    if space is None:
        refuse(f"{given.path} is of whole networks and does not say their space: give --space.")
    for each in [device] if device else network_table.devices(given) or [None]:
        found = network_table.measured(given, space, device=each)
        different, ms = validation.validated(space, found.networks, found.latency_ms)
        yield (
            f"table of whole networks, {found.device or 'an unnamed device'}: {len(different)} "
            f"networks in {len(found.networks)} rows, {min(ms):.3g} to {max(ms):.3g} ms"
        )
        yield from _dominance(*network_table.compared(found, space))
        if len(found.networks) > network_table.MOST:
            yield f"only the first {network_table.MOST} rows were compared with each other"


def _dominance(pairs: int, wrong: Sequence[csv_table.Pair]) -> Iterator[str]:
    """How often what does less is slower, and the worst of it."""
    if not wrong:
        yield f"dominance: of {pairs} pairs, none is slower though it does less"
        return
    times = lambda pair: pair.smaller_ms / max(pair.larger_ms, 1e-9)
    far = sum(times(pair) > validation.ALIKE for pair in wrong)
    yield (
        f"dominance: of {pairs} pairs, {len(wrong)} are slower though they do less, {far} of them "
        f"by more than {100 * (validation.ALIKE - 1):.0f} %; measure those again. The worst:"
    )
    for pair in sorted(wrong, key=times, reverse=True)[:WORST]:
        yield (
            f"  {pair.where}: {pair.smaller} {pair.smaller_ms:.4g} ms, {pair.larger} "
            f"{pair.larger_ms:.4g} ms"
        )


def _figures(found: Quality) -> list[str]:
    """Shares and errors are percent."""
    shown = {"spearman": ".3f", "kendall": ".3f", "mdape": ".1f"}
    return [format(v, shown.get(name, ".0f")) for name, v in found._asdict().items()]


def _network(model: Predictor, text: str) -> tuple[np.ndarray, str]:
    """(i[positions], name) of what `genotypes.named` takes, or of a space's own notation."""
    if text.startswith(network_table.NOTATION):
        return genome.encode(model.space, registry.parse_genotype(text)), text
    found, name = genotypes.named(text)
    return genome.encode(model.space, found), name


def _folder(measured: str) -> Path:
    path = Path(measured).expanduser()
    return path.parent if path.suffix == ".csv" else path
