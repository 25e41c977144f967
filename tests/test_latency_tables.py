"""Tables from elsewhere are read, named, and refused where they cannot be right."""

import pathlib

import numpy as np
import pytest

from jaxnas import mobile, mobile_named
from jaxnas import space as spaces
from jaxnas.latency import candidates, devices, fit, tables

SHARED = pathlib.Path(__file__).parents[2] / "shared" / "latency"
CELL = spaces.nasbench201()


def shared(name):
    if not (SHARED / name).exists():
        pytest.skip(f"{SHARED / name} is not here: the public tables lie beside the project")
    return SHARED / name


def written(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_text(text)
    return path


def test_single_path_table_has_the_totals_of_the_paper():
    table = tables.look_up(shared("singlepath_pixel1_lut.csv"))
    assert table.form == "single-path"
    space = mobile.space(mobile_named.single_path())
    costs = tables.costs(table, space)
    # Facts 4.6: all 5x5-e6, all 3x3-e6, all 5x5-e3 without the 19.5999 ms that are fixed.
    names = [c for choice in space.values() for c in choice.candidates]
    total = lambda name: sum(costs[p, row.index(name)] for p, row in enumerate(names))
    fixed = 19.5999
    assert total("k5_e6") + fixed == pytest.approx(131.4578, abs=1e-3)
    assert total("k5_e3") + fixed == pytest.approx(76.3622, abs=1e-3)
    assert total("k3_e6") + fixed == pytest.approx(110.6524, abs=1e-3)


def test_proxyless_table_has_no_violation():
    table = tables.look_up(shared("proxyless_mobile_lut.csv"))
    assert table.form == "proxyless"
    assert len(table.entries) == 72
    assert tables.violations(table) == []


def test_names_what_is_slower_though_it_does_less(tmp_path):
    text = "layer,op,latency_ms\n0,k3_e3,2.0\n0,k3_e6,1.5\n0,k5_e3,2.5\n1,k3_e3,1\n1,k5_e3_g2,0.5\n"
    table = tables.look_up(written(tmp_path, text))
    assert tables.violations(table) == [
        tables.Violation("layer 0", "k3_e3", "k3_e6", 2.0, 1.5)
    ]  # groups are not compared


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"), [(0, 1)]),
        (("k3_e1", "k3_e1_g2", "k5_e1", "k5_e1_g2"), [(0, 2), (1, 3)]),
        (("k3_e3", "k5_e6", "k3_e6", "skip"), [(0, 1), (0, 2), (2, 1)]),
        (("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"), [(0, 1), (2, 3)]),
        (("k3_e3", "k3_e3_se", "k3_e3_hswish"), []),
    ],
)
def test_knows_which_candidate_outgrows_which(names, pairs):
    assert [tuple(map(int, pair)) for pair in np.argwhere(candidates.grows(names))] == pairs


ROWS = (
    "none skip_connect nor_conv_1x1 nor_conv_3x3 avg_pool_3x3 none,{0}\n"
    "0 1 2 3 4 3,{1}\n3 3 3 3 3 3,{2}\n"
)


@pytest.mark.parametrize(("unit", "size"), [("ms", 1), ("us", 1e-3), ("s", 1e3), ("ns", 1e-6)])
def test_reads_measurements_of_a_phone_in_their_unit(tmp_path, unit, size):
    path = written(tmp_path, f"network,latency_{unit}\n" + ROWS.format(2, 3, 4))
    found = tables.measured(path, CELL)
    assert found.networks.tolist() == [[0, 1, 2, 3, 4, 0], [0, 1, 2, 3, 4, 3], [3] * 6]
    np.testing.assert_allclose(found.latency_ms, np.array([2, 3, 4]) * size)


def test_reads_one_device_of_several(tmp_path):
    text = "device,network,latency_ms\na,0 1 2 3 4 3,5\nb,0 1 2 3 4 3,9\nb,3 3 3 3 3 3,12\n"
    path = written(tmp_path, text)
    assert tables.measured(path, CELL, device="b").latency_ms.tolist() == [9, 12]
    with pytest.raises(tables.TableError, match="of a, b, not of 'c'"):
        tables.measured(path, CELL, device="c")
    with pytest.raises(tables.TableError, match="several devices"):
        tables.measured(path, CELL)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("network,latency_ms\n", "no rows"),
        ("", "no rows"),
        ("network,time\n1 1 1 1 1 1,2\n", "columns network, time"),
        ("network,latency_ms\n1 1 1,2\n", "another space"),
        ("network,latency_ms\n1 1 1 1 1 conv,2\n", "no candidate 'conv'"),
        ("network,latency_ms\n1 1 1 1 1 9,2\n", "no candidate '9'"),
        ("network,latency_ms\n1 1 1 1 1 1,0\n", "a value is positive"),
        ("network,latency_ms\n1 1 1 1 1 1,-3\n", "a value is positive"),
        ("network,latency_ms\n1 1 1 1 1 1,nan\n", "a value is positive"),
        ("network,latency_ms\n1 1 1 1 1 1,fast\n", "no number"),
        ("network,latency_ms\n1 1 1 1 1 1\n", "more or fewer"),
    ],
)
def test_refuses_measurements_that_are_none(tmp_path, text, cause):
    with pytest.raises(tables.TableError, match=cause) as refused:
        tables.measured(written(tmp_path, text), CELL)
    assert "\n" not in str(refused.value)


def test_rows_that_disagree_are_of_two_devices(tmp_path):
    text = "network,latency_ms\n1 1 1 1 1 1,2\n1 1 1 1 1 1,9\n2 1 1 1 1 1,3\n"
    found = tables.measured(written(tmp_path, text), CELL)
    with pytest.raises(fit.FitError, match="one device and one unit"):
        fit.fit(CELL, found.networks, found.latency_ms)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("layer,op\n0,k3_e3\n", "known tables are"),
        ("layer,op,latency_ms\n0,k3_e3,-1\n", "a value is positive"),
        ("layer,op,latency_ms\n0,k3_e3,1\n0,k3_e3,2\n", "stands twice"),
        ("layer,choice,latency_ms\n0,7,1\n", "none of 0 to 3"),
    ],
)
def test_refuses_a_look_up_table_that_cannot_be(tmp_path, text, cause):
    with pytest.raises(tables.TableError, match=cause):
        tables.look_up(written(tmp_path, text))


def test_refuses_a_look_up_table_of_another_space(tmp_path):
    table = tables.look_up(written(tmp_path, "layer,op,latency_ms\n0,k3_e3,1\n"))
    with pytest.raises(tables.TableError, match="another space"):
        tables.costs(table, mobile.space(mobile_named.single_path()))


def save(tmp_path, **arrays):
    ops = np.zeros((4, 3), int)
    known = {"devices": np.array(["a"]), "ops": ops, "op_names": np.array(["k3_e1", "k5_e1"])}
    np.savez(tmp_path / "t.npz", **(known | {"latency_ms": np.ones((1, 4))} | arrays))
    return tmp_path / "t.npz"


@pytest.mark.parametrize(
    ("arrays", "cause"),
    [
        ({"latency_ms": np.ones((1, 5))}, "another space"),
        ({"latency_ms": np.array([[1.0, 0, 1, 1]])}, "write NaN"),
        ({"latency_ms": np.array([[1.0, np.inf, 1, 1]])}, "write NaN"),
        ({"ops": np.full((4, 3), 7)}, "another space"),
        ({"ops": np.zeros((4, 3))}, "whole numbers"),
    ],
)
def test_refuses_a_table_of_devices_that_cannot_be(tmp_path, arrays, cause):
    with pytest.raises(ValueError, match=cause):
        devices.read(save(tmp_path, **arrays))


def test_refuses_files_that_are_no_tables(tmp_path):
    (tmp_path / "t.npz").write_text("text")
    with pytest.raises(devices.TableError, match="no .npz file"):
        devices.read(tmp_path / "t.npz")
    np.savez(tmp_path / "u.npz", other=np.ones(3))
    with pytest.raises(devices.TableError, match="no 'devices'"):
        devices.read(tmp_path / "u.npz")
    np.savez(tmp_path / "v.npz", devices=np.array(["a"]), latency_ms=np.ones((1, 4)))
    with pytest.raises(devices.TableError, match="nb201_arch.npz"):
        devices.read(tmp_path / "v.npz")
