"""`jaxnas latency check`: what a table holds, and what in it contradicts itself."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import rich.console

from jaxnas.core.types import Space
from jaxnas.hardware.columns import column_table
from jaxnas.hardware.predict import validation
from jaxnas.hardware.tables import latency_table, layer_table, network_table
from jaxnas.pipelines.latency import column_tables, measurements
from jaxnas.pipelines.settings import latency
from jaxnas.pipelines.settings.limits import fail
from jaxnas.run import progress
from jaxnas.spaces import genome

MAX_VIOLATIONS = 5  # printed: the worst pairs whose smaller network is slower


def main(settings: latency.CheckTableSettings, console: rich.console.Console | None = None) -> None:
    """Prints the contents of a table and the times that contradict dominance.

    Raises ValueError for an invalid table, and for one that cannot be fitted.
    """
    console = console or rich.console.Console()
    path = Path(settings.table).expanduser()
    if settings.space is None and settings.cells is not None:
        fail("--cells has no effect without --space: leave it out.")
    space = settings.space and measurements.space(settings.space, settings.cells).genome.space
    table = measurements.table(path)
    if latency_table.form(table) == latency_table.NETWORKS:
        lines = _networks_checked(table, space, settings.device)
    elif table.form == latency_table.COLUMNS:
        if space is not None:
            fail(f"{path} has no column `network`, and --space no effect: leave it out.")
        devices = [settings.device] if settings.device else network_table.devices(table) or [None]
        rows = (column_table.read(table, device=device) for device in devices)
        lines = itertools.chain.from_iterable(map(column_tables.checked, rows))
    elif settings.device is not None:
        fail(f"--device has no effect on a {table.form} look-up table of layers: leave it out.")
    else:
        lines = _layers_checked(table, space, settings.space)
    for line in list(lines):
        progress.print_line(console, line)


def _layers_checked(
    table: latency_table.LatencyTable, space: Space | None, name: str | None
) -> Iterator[str]:
    layers = layer_table.read(table)
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
    table: latency_table.LatencyTable, space: Space | None, device: str | None
) -> Iterator[str]:
    if space is None:
        fail(f"{table.path} is of whole networks and does not say their space: give --space.")
    for name in [device] if device else network_table.devices(table) or [None]:
        measured = network_table.read_networks(table, space, device=name)
        networks, ms = validation.validate(space, measured.networks, measured.latency_ms)
        yield (
            f"table of whole networks, {measured.device or 'an unnamed device'}: {len(networks)} "
            f"networks in {len(measured.networks)} rows, {min(ms):.3g} to {max(ms):.3g} ms"
        )
        yield from _dominance(*network_table.dominance_violations(measured, space))
        if len(measured.networks) > network_table.MAX_COMPARED:
            yield f"only the first {network_table.MAX_COMPARED} rows were compared with each other"


def _dominance(pairs: int, violations: Sequence[latency_table.DominancePair]) -> Iterator[str]:
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
