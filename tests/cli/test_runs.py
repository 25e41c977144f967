"""Whole runs from the command line: search, and what is done with the folder that it leaves."""

import json
import shlex
import shutil

import jax
import pytest

from jaxnas import cli
from jaxnas.pipelines import narrow
from jaxnas.pipelines.settings import DataSettings, Recipe, RunSettings, SearchSettings, command
from jaxnas.pipelines.settings.narrow import NarrowSettings
from jaxnas.spaces import genotype
from tests import killable_search

SMALL = ("--epochs", "2", "--batch-size", "20", "--features", "2", "--cells", "1", "--reductions")


@pytest.fixture(autouse=True)
def one_cache(monkeypatch):
    """Compiled programs go where the other tests have theirs."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)


@pytest.fixture
def searched(finished_search):
    """(words, folder) of a search that was run to its end."""
    folder, _ = finished_search
    settings = killable_search.tiny(folder.parent)
    return shlex.split(command("jaxnas search", settings, SearchSettings()))[1:], folder


def test_a_finished_search_is_gone_on_with(searched, capsys):
    words, folder = searched
    for again in (words, [*words, "--resume"]):
        assert cli.main(again) == 0
        out = capsys.readouterr().out
        assert "search: done before" in out and "compiling" not in out
        assert f"report: {folder / 'report.html'}" in out


def test_other_settings_are_refused_in_one_line(searched, capsys):
    words, _ = searched
    assert cli.main([*words, "--arch-learning-rate", "0.5"]) == 2
    err = capsys.readouterr().err
    assert "arch_learning_rate" in err and err.startswith("jaxnas: ") and err.count("\n") == 1


def test_retrains_the_cell_of_a_run(searched, tmp_path, capsys):
    _, folder = searched
    words = ["retrain", str(folder), "--limit", "100", *SMALL, "--ema", "0.9", "--out",
             str(tmp_path), "--name", "again"]  # fmt: skip
    assert cli.main(words) == 0, capsys.readouterr().err
    assert "test accuracy" in capsys.readouterr().out
    again = tmp_path / "again"
    assert (again / "genotype.json").read_text() == (folder / "genotype.json").read_text()
    genotype.from_json((again / "genotype.json").read_text())
    result = json.loads((again / "summary.json").read_text())["found"]
    assert {"top1", "top5", "loss", "ece", "reliability", "latency_ms"} <= result.keys()
    assert cli.main([*words, "--resume"]) == 0
    assert "compiling" not in capsys.readouterr().out


def test_reports_and_draws_a_run_again(searched, tmp_path, capsys):
    folder = shutil.copytree(searched[1], tmp_path / "run")
    (folder / "report.html").unlink()
    assert cli.main(["report", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
    assert (folder / "report.html").exists()
    assert cli.main(["draw", str(folder), "--out", str(tmp_path / "drawn")]) == 0
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {
        "cell_normal.svg", "cell_normal.png", "cell_reduce.svg", "cell_reduce.png"
    }  # fmt: skip


def test_diagnoses_a_run(searched, tmp_path, capsys):
    folder = shutil.copytree(searched[1], tmp_path / "run")
    words = ["diagnose", str(folder), "--batches", "1", "--iterations", "3", "--json"]
    assert cli.main(words) == 0, capsys.readouterr().err
    assert json.loads(capsys.readouterr().out) == json.loads(
        (folder / "diagnostics.json").read_text()
    )


def test_narrows_a_cell(tmp_path, monkeypatch, capsys):
    """From words to settings; what follows is run in pipelines/test_narrow."""
    asked = []
    monkeypatch.setattr(narrow, "main", asked.append)
    words = (
        f"narrow {tmp_path} --macs 50000 --out {tmp_path} --name n --epochs 1 --features 4 "
        "--cells 1 --limit 300 --short-steps 1 --first 0.3 --multiple 2"
    ).split()
    assert cli.main(words) == 0, capsys.readouterr().err
    (settings,) = asked
    assert settings == NarrowSettings(
        str(tmp_path), source=DataSettings(limit=300), macs=50000, short_steps=1, first=0.3,
        multiple=2, recipe=Recipe(epochs=1, features=4, cells=1), place=RunSettings(str(tmp_path), "n"),
    )  # fmt: skip
