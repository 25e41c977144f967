"""The study of CIFAR-10: every method's cell retrained alike, none twice."""

import json

import jax
import pytest

from experiments import cifar10
from jaxnas.pipelines import search_stages
from tests.experiments import stand_ins


@pytest.fixture(scope="module", autouse=True)
def programs_are_kept():
    """The programs that one study compiles are kept for the next."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
        yield


def test_retrains_what_every_method_found_and_runs_nothing_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(search_stages, "search", stand_ins.search)
    words = (
        "--methods darts random --seeds 0 --data digits --limit 60 --features 2 --cells 1 "
        "--reductions --epochs 1 --batch-size 15 --retrain.epochs 1 --retrain.batch-size 20 "
        f"--retrain.features 2 --retrain.cells 1 --retrain.reductions --random-cells 1 "
        f"--out {tmp_path}"
    )
    assert cifar10.cli(words.split()) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert {"study.md", "study.html", "accuracy.svg", "accuracy.png"} <= names
    assert {"darts-seed0", "random-seed0"} <= names
    markdown = (tmp_path / "study.md").read_text()
    for name in ("darts", "random"):
        summary = json.loads((tmp_path / f"{name}-seed0" / "summary.json").read_text())
        assert f"| {name} | 1 | {100 * summary['found']['top1']:.2f} |" in markdown
        assert len(summary["random"]) == (name == "darts")  # trained once for all methods
    assert "## Against random cells" in markdown
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*-seed0/*")}
    assert cifar10.cli(words.split()) == 0
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.glob("*-seed0/*")}
    assert (tmp_path / "study.md").read_text() == markdown


def test_perturbation_is_searched_without_none():
    settings = cifar10.Settings(preset="medium", methods=("darts", "darts-pt"))
    assert cifar10.search_of(settings, "darts-pt", 0).space == "darts-no-none"
    plain = cifar10.search_of(settings, "darts", 1)
    assert (plain.space, plain.seed, plain.source.limit, plain.features) == ("darts", 1, 10000, 8)
    assert plain.retrain.cells == 8
    paper = cifar10.search_of(cifar10.Settings(preset="paper"), "darts", 0)
    assert (paper.preset, paper.retrain.preset, paper.source.limit) == ("paper", "paper", None)


def test_gains_are_over_the_random_cells_of_the_same_seed():
    row = lambda seed, top1: {"method": "darts", "seed": seed, "top1": top1}
    rows = [row(0, 51.0), row(1, 42.0), row(2, 99.0)]
    (line,) = cifar10.gains(rows, {0: [50.0, 52.0, 48.0], 1: [40.0]}).rows
    # 1 and 2 points, 2 and 5 %; t of one degree of freedom is 12.706.
    assert line[:6] == ("darts", "2", "+1.50", "-4.85 to +7.85", "0.205", "2 of 2")
    assert line[6:] == ("+3.50", "-15.56 to +22.56", "3 of 4")
