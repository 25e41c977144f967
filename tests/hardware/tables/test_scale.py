"""Claims about rows of a table that are of another scale than their likes."""

import numpy as np
import pytest

from jaxnas.hardware.tables import benchmarks, latency_table, scale
from jaxnas.hardware.tables.latency_table import TableError
from jaxnas.spaces import dataflow
from tests import paths

LATENCY = paths.SHARED / "latency"


def networks(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Networks of six positions, and times that a sum over positions makes, with noise."""
    random = np.random.default_rng(0)
    rows = random.integers(0, 5, (count, 6))
    ms = 1 + random.random((6, 5))[np.arange(6), rows].sum(1)
    return rows, ms * np.exp(0.02 * random.normal(size=count))


def checked(rows, ms):
    scale.check_networks(rows, ms, np.arange(len(ms)) + 2, "t.csv", "latency_ms")


@pytest.mark.parametrize("count", [3, 5, 8, 20, 200])
@pytest.mark.parametrize("factor", [1e3, 1e-3, 1e6])
def test_a_row_of_another_unit_is_named_with_its_factor(count, factor):
    rows, ms = networks(count)
    checked(rows, ms)
    ms[1] *= factor
    with pytest.raises(
        latency_table.TableError, match=r"t.csv, line 3: .* unit, a (thou|mill).* to"
    ):
        checked(rows, ms)


def test_a_slipped_point_is_named_too():
    rows, ms = networks(60)
    ms[7] *= 10
    with pytest.raises(TableError, match=r"line 9: .* times its likes"):
        checked(rows, ms)


def test_half_a_table_of_another_unit_is_named():
    rows, ms = networks(20)
    ms[:8] *= 1e3
    with pytest.raises(TableError, match=r"line 2: .* so for 7 lines more \(3, 4, 5"):
        checked(rows, ms)


@pytest.mark.parametrize("name", ["help_fbnet", "help_nb201", "xla_cpu_pilot"])
def test_measured_tables_pass(name):
    path = LATENCY / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"no {path}")
    table, random = benchmarks.read(path), np.random.default_rng(1)
    alive = dataflow.connected(table.space, table.networks)
    for device in table.latency_ms:
        known = np.flatnonzero(np.isfinite(device) & alive)
        for count in (4, 10, 100):
            rows = random.choice(known, min(count, len(known)), replace=False)
            checked(table.networks[rows], device[rows])


def test_an_entry_of_a_layer_is_held_against_its_place_and_its_operation():
    entries = {
        (f"layer {layer}", op): (1 + layer) * ms
        for layer in range(5)
        for op, ms in (("k3_e3", 1.0), ("k5_e6", 3.0), ("skip", 0.02))
    }
    lines = {key: i + 2 for i, key in enumerate(entries)}
    scale.check_layers(entries, lines, "t.csv")
    entries["layer 2", "k5_e6"] *= 1000
    with pytest.raises(TableError, match="line 9: k5_e6 at layer 2 takes 9000 ms"):
        scale.check_layers(entries, lines, "t.csv")
