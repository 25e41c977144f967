"""`jaxnas latency fit`, `predict`, `report` and `check` on a table of columns."""

import io
import json

import numpy as np
import pytest
import rich.console

from jaxnas.pipelines.latency import check, predict
from jaxnas.pipelines.settings import latency
from tests import column_toys


@pytest.fixture
def console():
    return rich.console.Console(file=io.StringIO(), width=300)


@pytest.fixture
def path(tmp_path):
    values = column_toys.rows(60)
    others = {"task": ["translation"] * 60, "beam": [5] * 60, "device": ["board"] * 60}
    ms = column_toys.milliseconds(values)
    return column_toys.written(tmp_path / "transformers.csv", values, ms, **others)


def fitted(path, console, **changes):
    return predict.fit_model(latency.FitSettings(str(path), **changes), console)


def test_fits_and_predicts_rows(path, tmp_path, console, capsys):
    model = fitted(path, console)
    assert model == tmp_path / "model.json"
    said = console.file.getvalue()
    assert f"columns that describe a row: {', '.join(column_toys.NAMES)}" in said
    assert "one number stands throughout: beam (5)" in said
    assert "texts or other times: task" in said
    assert "60 different rows of board" in said
    values = column_toys.rows(5, 9)
    values[2, 1] = 4096
    rows = str(column_toys.written(tmp_path / "rows.csv", values))
    predict.predict(latency.PredictSettings(str(model), (rows,), json=True), console)
    found = json.loads(capsys.readouterr().out)
    assert [row["row"] for row in found] == [f"{rows}, line {i}" for i in range(2, 7)]
    assert found[2]["outside"] == ["width"] and not found[0]["outside"]
    expected = column_toys.milliseconds(values, noise=0.0)
    for i in (0, 1, 3, 4):
        assert found[i]["latency_ms"] == pytest.approx(expected[i], rel=0.25)
        assert found[i]["low_ms"] < found[i]["latency_ms"] < found[i]["high_ms"]
    predict.predict(latency.PredictSettings(str(model), (rows,), device="board"), console)
    assert "line 4  (no such width was measured)" in console.file.getvalue()


def test_reports_beside_simpler_models(path, tmp_path, console):
    out = predict.report(
        latency.ReportPredictorSettings(str(path), out=str(tmp_path / "r")), console
    )
    record = json.loads((out / "report.json").read_text())
    assert record["rows"] == 60 and record["columns"] == list(column_toys.NAMES)
    assert set(record["models"]) == {"ours", "column", "trees"}
    page = (out / "report.md").read_text()
    assert "60 rows of board" in page and "| ours |" in page and "beam (5)" in page
    assert (out / "predicted.svg").exists()


def test_check_says_what_the_table_holds(path, console):
    check.main(latency.CheckTableSettings(str(path)), console)
    said = console.file.getvalue()
    assert "table of columns, board: 60 different rows among 60" in said
    assert "layers: 2 to 24" in said and "beam (5)" in said


def test_arrays_and_other_quantities_are_fitted(tmp_path, console):
    values = column_toys.rows(40)
    arrays = {name: values[:, i] for i, name in enumerate(column_toys.NAMES)}
    energy = column_toys.milliseconds(values)
    np.savez(tmp_path / "t.npz", **arrays, energy_mj=energy)
    model = fitted(tmp_path / "t.npz", console, column="energy_mj")
    assert model == tmp_path / "energy_mj.json"
    np.savez(tmp_path / "rows.npz", **arrays)
    predict.predict(latency.PredictSettings(str(model), (str(tmp_path / "rows.npz"),)), console)
    assert "energy_mj  (90 %:" in console.file.getvalue()


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"cells": 2}, "--cells has no effect"),
        ({"work": "sizes.csv"}, "--work has no effect"),
        ({"sources": ("a.json",)}, "--sources has no effect"),
        ({"device": "phone"}, "not of 'phone'"),
        ({"column": "watts"}, "no 'watts'"),
        ({"space": "nasbench201"}, "it needs `network`"),
    ],
)
def test_flags_that_cannot_be_are_refused(path, console, changes, cause):
    with pytest.raises(ValueError, match=cause) as refused:
        fitted(path, console, **changes)
    assert "\n" not in str(refused.value)
    assert not (path.parent / "model.json").exists()


def test_a_broken_table_is_refused_for_what_is_broken(path, console):
    path.write_text(path.read_text() + "1,2\n")
    with pytest.raises(ValueError, match="line 62: the row has more or fewer entries"):
        fitted(path, console)


def test_rows_that_cannot_be_predicted_are_refused(path, tmp_path, console):
    model = str(fitted(path, console))
    few = column_toys.written(
        tmp_path / "few.csv", column_toys.rows(2)[:, :3], names=("layers", "width", "heads")
    )
    other = column_toys.written(tmp_path / "other.csv", column_toys.rows(2), beam=[5, 6])
    for texts, cause in (
        ((), "nothing to predict: give a table of rows with the columns layers, width"),
        (("DARTS_V2",), "DARTS_V2 is no table"),
        ((str(few),), "the model needs 'length', too"),
        ((str(other),), "line 3: beam is 6, and was 5"),
    ):
        with pytest.raises(ValueError, match=cause) as refused:
            predict.predict(latency.PredictSettings(model, texts), console)
        assert "\n" not in str(refused.value)


def test_check_refuses_a_space_for_columns(path, console):
    with pytest.raises(ValueError, match="--space no effect"):
        check.main(latency.CheckTableSettings(str(path), space="nasbench201"), console)
