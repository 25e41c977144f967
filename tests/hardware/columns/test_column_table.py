"""Which columns of a table describe its rows, and which tables are refused."""

import numpy as np
import pytest

from jaxnas.hardware.columns import column_table
from jaxnas.hardware.tables import latency_table
from jaxnas.hardware.tables.latency_table import TableError

HEAD = "name,device,layers,width,heads,latency_std_ms,latency_us\n"
TEXT = HEAD + "a,phone,1,64,8,.1,1000\nb,phone,2,32,8,.1,2000\nb,board,3,32,8,.1,2500\n"


def table(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    return latency_table.read(tmp_path / "t.csv")


def test_numbers_describe_a_row_and_texts_constants_and_times_do_not(tmp_path):
    found = column_table.read(table(tmp_path, TEXT), device="phone")
    assert found.names == ("layers", "width")
    assert found.values.tolist() == [[1, 64], [2, 32]]
    assert found.measured.tolist() == [1, 2] and found.quantity == "latency_ms"
    assert found.device == "phone" and found.lines.tolist() == [2, 3]
    assert found.constants == {"heads": 8} and found.left_out == ["name", "latency_std_ms"]


def test_another_quantity_is_read_as_it_is_and_times_describe_no_row(tmp_path):
    text = TEXT.replace("latency_std_ms", "energy_mj")
    found = column_table.read(table(tmp_path, text), device="phone", column="width")
    assert found.quantity == "width" and found.measured.tolist() == [64, 32]
    assert "latency_us" in found.left_out


def test_arrays_are_read_as_text_is(tmp_path):
    arrays = {"layers": np.array([1, 2]), "latency_ms": np.array([1.5, 2.5]), "device": ["x", "x"]}
    arrays = {name: np.array(values) for name, values in arrays.items()}
    found = column_table.read(column_table.of_arrays(arrays, tmp_path / "t.npz"))
    assert found.values.tolist() == [[1], [2]] and found.device == "x"
    assert found.measured.tolist() == [1.5, 2.5]
    for other in (
        {},
        arrays | {"ops": np.ones((2, 2))},
        arrays | {"n": np.ones(3)},
        {"n": np.ones(0)},
    ):
        assert column_table.of_arrays(other, tmp_path / "t.npz") is None


@pytest.mark.parametrize(
    ("head", "column", "expected"),
    [
        ("layers,width,latency_ms", None, True),
        ("layers,width,energy", None, False),
        ("layers,width,energy", "energy", True),
        ("network,width,latency_ms", None, False),
        ("layer,op,latency_ms", None, False),
        ("layer,op,extra,latency_ms", None, False),
        ("layer,choice,latency_us", None, False),
        ("table,key,energy", "energy", False),
    ],
)
def test_tables_of_networks_and_of_layers_are_none(tmp_path, head, column, expected):
    found = table(tmp_path, f"{head}\n{','.join('1' for _ in head.split(','))}\n")
    assert column_table.is_one(found, column) is expected


@pytest.mark.parametrize(
    ("text", "options", "cause"),
    [
        (TEXT, {}, r"several devices \(board, phone\): choose one with --device"),
        (TEXT, {"device": "car"}, "not of 'car'"),
        (TEXT, {"column": "watts"}, "and no 'watts'"),
        ("a,latency_ms,latency_us\n1,2,3\n2,3,4\n", {}, "choose one with --column"),
        ("a,b\n1,2\n", {}, "needs one of latency_ms"),
        ("a,latency_ms\nx,2\ny,3\n", {}, "no column of numbers that vary beside latency_ms"),
        ("a,latency_ms\n1,2\n1,3\n", {}, "no column of numbers that vary"),
        ("a,latency_ms\n1,2\n2,0\n", {}, "line 3: latency_ms is 0 .*a value is positive"),
        ("a,latency_ms\n1,2\n2,fast\n", {}, "line 3: 'fast' in latency_ms is no number"),
        ("a,latency_ms\n1,2\n2,3\nwide,4\n", {}, "line 4: a has numbers, and 'wide' there"),
        ("a,latency_ms\n1,2\n2,3\n,4\n", {}, "line 4: a has numbers, and nothing there"),
        ("a,latency_ms\n1,2\n2,3\ninf,4\n", {}, "line 4: a has numbers, and 'inf' there"),
        ("a,a,latency_ms\n1,1,2\n", {}, "two columns 'a'"),
    ],
)
def test_refuses_in_one_line(tmp_path, text, options, cause):
    with pytest.raises(TableError, match=cause) as refused:
        column_table.read(table(tmp_path, text), **options)
    assert "\n" not in str(refused.value)


def test_rows_to_predict_have_the_columns_of_the_model(tmp_path):
    found = table(tmp_path, "width,name,layers\n64,x,2\n32,y,4\n")
    assert column_table.features(found, ("layers", "width"), {"heads": 8}).tolist() == [
        [2, 64],
        [4, 32],
    ]
    for names, constants, cause in (
        (("layers", "heads"), {}, "needs 'heads', too"),
        (("layers",), {"width": 64}, "line 3: width is 32, and was 64 wherever"),
        (("name",), {}, "line 2: name has numbers, and 'x' there"),
    ):
        with pytest.raises(TableError, match=cause):
            column_table.features(found, names, constants)
