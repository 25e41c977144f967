"""`jaxnas compare`: groups, figures and refusals, on folders that no search has written."""

import csv

import pyarrow.parquet
import pytest

from jaxnas import cli
from jaxnas.pipelines.ablation import comparable, comparison, finished_run
from tests import finished_runs


def runs(tmp_path):
    """Two methods of three seeds; the cells of darts are trained twice."""
    darts = [0.90, 0.92, 0.91]
    for seed, top1 in enumerate(darts):
        finished_runs.write(tmp_path / f"d{seed}", seed=seed, top1=top1, repeats=(top1 - 0.02,))
        gdas = top1 + 0.03 + 0.001 * seed
        finished_runs.write(tmp_path / f"g{seed}", seed=seed, top1=gdas, method="gdas")
    return [str(path) for path in sorted(tmp_path.glob("[dg][0-9]"))]


def refused(capsys, *words):
    assert cli.main(["compare", *map(str, words)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_a_page_and_a_table_of_many_runs(tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["compare", *runs(tmp_path), "--baseline", "darts", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "gdas less darts" in printed and "The highest mean is that of gdas." in printed
    with open(out / "compare.csv") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 6
    first = lines[0]
    assert (first["name"], first["seed"], first["status"]) == ("darts", "0", "done")
    assert float(first["accuracy"]) == pytest.approx(89.0)  # of two trainings
    assert float(first["relative_improvement"]) == pytest.approx(100 * (89 - 88) / 88)
    assert float(first["search_s"]) == pytest.approx(0.5)
    assert (first["version_jax"], first["device"], first["commit"]) == ("0.10.2", "cpu", "c0ffee")
    table = pyarrow.parquet.read_table(out / "compare.parquet")
    assert table.column_names == list(first)
    assert table["accuracy"][0].as_py() == pytest.approx(89.0)
    page = (out / "compare.html").read_text()
    assert "the data show that gdas is better than darts" in page
    assert "sd of the search" in page and "<script" not in page and 'src="http' not in page
    assert "search and evaluation" in page.lower()


def test_names_are_the_settings_in_which_runs_of_a_method_differ():
    settings = [
        {"method": "darts", "epochs": 12, "seed": 0, "set.x": 1},
        {"method": "darts", "epochs": 24, "seed": 1, "set.x": 1},
        {"method": "gdas", "epochs": 12, "seed": 0, "set.y": 2},
    ]
    assert comparable.labels(settings) == ["darts epochs=12", "darts epochs=24", "gdas"]


def test_refuses_runs_that_say_nothing_of_each_other(tmp_path, capsys):
    first, other = finished_runs.write(tmp_path / "a"), tmp_path / "b"
    finished_runs.write(other, data="d2", limit=10)
    assert "is of other data than" in refused(capsys, first, other)
    finished_runs.write(tmp_path / "c", space="darts")
    assert "is of another space than" in refused(capsys, first, tmp_path / "c")
    finished_runs.write(tmp_path / "d")
    assert "are the same run, darts with seed 0" in refused(capsys, first, tmp_path / "d")
    (tmp_path / "d" / "summary.json").unlink()
    assert "is not finished" in refused(capsys, first, tmp_path / "d")
    assert "is named twice" in refused(capsys, first, first)
    assert "two runs or more" in refused(capsys, first)
    assert "No run folder" in refused(capsys, first, tmp_path / "none")
    finished_runs.write(tmp_path / "e", seed=1)
    assert "has no true test accuracy" in refused(capsys, first, tmp_path / "e", "--by", "truth")
    assert "baseline 'x' is none of" in refused(capsys, first, tmp_path / "e", "--baseline", "x")


def test_compares_by_the_truth_and_warns_of_unlike_trainings(tmp_path):
    folders = [
        finished_runs.write(
            tmp_path / f"{method}{seed}",
            seed=seed, method=method, truth=90.0 + seed + extra, **{"retrain.epochs": 8 + extra},
        )
        for method, extra in (("darts", 0), ("gdas", 1))
        for seed in range(2)
    ]  # fmt: skip
    groups = comparable.grouped([finished_run.read(folder) for folder in folders])
    by_truth = comparison.of_groups(groups, "truth")
    assert list(by_truth.scores) == ["gdas", "darts"]
    assert by_truth.compared[0].difference == pytest.approx(1.0)
    sentences = comparison.sentences(comparison.of_groups(groups))
    assert any("not alike: they differ in retrain.epochs" in line for line in sentences)
    assert not any("not alike" in line for line in comparison.sentences(by_truth))
