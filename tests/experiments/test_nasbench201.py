"""The study of NAS-Bench-201: rows judged by true accuracies and never run twice."""

import dataclasses
import io
import json
import re
import statistics
import types
from pathlib import Path

import jax
import numpy as np
import pytest
import rich.console

from experiments import nasbench201, nasbench201_order, nasbench201_tables
from jaxnas.core.types import Choice
from jaxnas.evaluators import nasbench201 as tabular_benchmark
from jaxnas.pipelines import search_stages
from jaxnas.spaces import choices, genome, registry
from tests import paths
from tests.experiments import stand_ins

SPACE = registry.get("nasbench201")
TABLE = paths.SHARED / "nasbench" / "nb201.npz"
needs_table = pytest.mark.skipif(not TABLE.exists(), reason=f"no table of NAS-Bench-201: {TABLE}")


@pytest.fixture(scope="module", autouse=True)
def programs_are_kept():
    """The programs that one study compiles are kept for the next."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
        yield


def console():
    return rich.console.Console(file=io.StringIO(), width=200)


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """(settings, what was printed) of a study on NAS-Bench-201 of two seeds, run to its end."""
    if not TABLE.exists():
        pytest.skip(f"no table of NAS-Bench-201: {TABLE}")
    home = tmp_path_factory.mktemp("benchmark")
    split = home / "split.npz"
    np.savez(split, train=np.arange(0, 100, 2), valid=np.arange(1, 100, 2))
    settings = nasbench201.Settings(
        methods=("darts",), seeds=(3, 4), data="digits", table=str(TABLE), split=str(split),
        limit=40, features=2, cells=1, epochs=1, batch_size=20, sample=5, out=str(home / "out"),
    )  # fmt: skip
    to = console()
    nasbench201.main(settings, to)
    return settings, to.file.getvalue()


def rows_of(settings):
    return [json.loads(line) for line in Path(settings.out, "rows.jsonl").read_text().splitlines()]


def test_a_row_tells_what_the_found_cell_really_scores(benchmark):
    settings, _ = benchmark
    truth = tabular_benchmark.load(TABLE)
    rows = rows_of(settings)
    assert [(row["method"], row["seed"]) for row in rows] == [("darts", 3), ("darts", 4)]
    for row in rows:
        code = SPACE.genome.encode(registry.parse_genotype(row["arch"]))
        accuracies = truth.test[:, -1, row["index"]]
        assert (truth.codes[row["index"]] == code).all()
        assert list(row["test"].values()) == accuracies.tolist()
        assert row["regret"]["cifar10"] == pytest.approx(truth.test[0, -1].max() - accuracies[0])
        assert row["rank"]["cifar10"] == 1 + (truth.test[0, -1] > accuracies[0]).sum()
        assert row["valid"]["cifar10"] == truth.valid[0, -1, row["index"]]
        assert (row["skips"], row["nones"]) == ((code == 1).sum(), (code == 0).sum())
        assert 0 < row["search_s"] <= row["wall_s"]
        assert row["kendall"] is None or -1 <= row["kendall"] <= 1


def test_seconds_of_a_search_are_those_of_its_steps(benchmark):
    settings, _ = benchmark
    lines = Path(settings.out, "darts-seed3", "metrics.jsonl").read_text().splitlines()
    steps = [line["time/step_ms"] for line in map(json.loads, lines) if "time/step_ms" in line]
    assert len(steps) == 40 // 20
    assert rows_of(settings)[0]["search_s"] == pytest.approx(sum(steps) / 1e3, abs=0.01)


def test_says_how_far_it_is(benchmark):
    _, text = benchmark
    assert "row 1 of 2: darts, seed 3; ETA unknown" in text
    assert re.search(r"row 2 of 2: darts, seed 4; ETA \d+:\d\d", text)


def test_leaves_a_table_figures_and_a_page_that_needs_nothing_else(benchmark):
    settings, text = benchmark
    names = {path.name for path in Path(settings.out).iterdir()}
    assert {"study.md", "study.html", "accuracy.svg", "accuracy.png"} <= names
    markdown = Path(settings.out, "study.md").read_text()
    for text_part in (
        "| (optimum) |",
        "94.37",
        "| (only skips) |",
        "54.30",
        "| darts | 2 |",
        "--seeds 3 4",
    ):
        assert text_part in markdown
    mean = statistics.mean(row["test"]["cifar10"] for row in rows_of(settings))
    assert f"{mean:.2f} ±" in text
    page = Path(settings.out, "study.html").read_text()
    assert "<svg" in page and "<script" not in page
    assert not re.search(r'(src|href)="(?!#|data:)', page)


def test_runs_no_row_twice_and_takes_up_one_that_was_stopped(benchmark):
    settings, _ = benchmark
    before, path = rows_of(settings), Path(settings.out, "rows.jsonl")
    # As a kill leaves it between the end of a search and its row.
    path.write_text(json.dumps(before[0]) + "\n")
    to = console()
    nasbench201.main(settings, to)
    text = to.file.getvalue()
    assert "row 1 of 2: darts, seed 3: done before" in text
    assert "goes on after step 2 of 2" in text
    after = rows_of(settings)
    assert after[0] == before[0]
    assert after[1] == before[1] | {"wall_s": None}


def test_refuses_rows_of_other_settings(benchmark):
    settings, _ = benchmark
    before = rows_of(settings)
    for change, cause in (
        ({"sample": 6}, "sample"),
        ({"set": ("darts.weight_decay=0.5",)}, "a row of darts, seed 3, with other settings"),
    ):
        with pytest.raises(ValueError, match=cause):
            nasbench201.main(dataclasses.replace(settings, **change), console())
    assert rows_of(settings) == before


@needs_table
def test_random_search_has_a_row_without_order(tmp_path, monkeypatch):
    monkeypatch.setattr(search_stages, "search", stand_ins.search)
    settings = nasbench201.Settings(
        methods=("random",), seeds=(1,), data="digits", table=str(TABLE), limit=40,
        batch_size=20, out=str(tmp_path),
    )  # fmt: skip
    nasbench201.main(settings, console())
    (row,) = rows_of(settings)
    # The weights that random search leaves are of one cell.
    assert row["kendall"] is None and row["spearman"] is None
    assert row["search_s"] == 1.5
    assert not (tmp_path / "tau.svg").exists()


def finished(space, accuracy):
    """A supernet that rates cells as `accuracy(gates)` says."""
    net = types.SimpleNamespace(space=space)
    figures = lambda gates: (accuracy(gates["cell"]), -accuracy(gates["cell"]))
    return types.SimpleNamespace(net=net, evaluate=figures)


@needs_table
def test_a_supernet_that_knows_the_truth_orders_perfectly():
    truth = tabular_benchmark.load(TABLE)

    def knows(gates):
        assert gates.shape == (50, 6, 5)
        rows = truth.row_of[genome.index(SPACE.choices, gates.argmax(-1))]
        return truth.test[0, -1, rows].astype(np.float32)

    space = SPACE.choices
    order = lambda net: nasbench201_order.of_supernet(SPACE, truth, net, 50)
    assert order(finished(space, knows)) == pytest.approx((1, 1, 1))
    worst = finished(space, lambda gates: -knows(gates))
    assert order(worst) == pytest.approx((-1, -1, -1))
    # An auxiliary candidate, as DARTS- has it, stays shut.
    more = choices.with_auxiliary_skip(space)
    padded = finished(more, lambda gates: knows(gates[..., :5]) - 1e3 * gates[..., 5].sum(1))
    assert order(padded) == pytest.approx((1, 1, 1))


@needs_table
def test_a_supernet_of_other_candidates_is_not_compared():
    choice = SPACE.choices["cell"]
    fewer = Choice(choice.edges, tuple(row[:3] for row in choice.candidates))
    never = lambda gates: pytest.fail("it was evaluated")
    space = {"cell": fewer}
    truth = tabular_benchmark.load(TABLE)
    order = nasbench201_order.of_supernet(SPACE, truth, finished(space, never), 5)
    assert order == (None, None, None)


@needs_table
def test_the_table_begins_with_the_best():
    truth = tabular_benchmark.load(TABLE)

    def row(method, seed, index, skips=1):
        entry = tabular_benchmark.query(truth, index)
        of = lambda field: {k: getattr(s, field) for k, s in entry.sets.items()}
        return {
            "method": method, "seed": seed, "test": of("test_200"), "valid": of("valid_200"),
            "rank": of("rank"), "regret": of("regret"), "kendall": None, "spearman": None,
            "kendall_loss": None, "skips": skips, "search_s": 2.0,
        }  # fmt: skip

    best = int(truth.test[0, -1].argmax())
    rows = [row("a", 0, 0, 4), row("a", 1, 1, 3), row("b", 0, best)]
    scores = np.full(15625, np.nan)
    scores[:2] = 1, 2
    made = nasbench201_tables.summary(truth, rows, {"nwot": scores})
    names = [line[0] for line in made.rows]
    means = [float(line[2].split()[0]) for line in made.rows]
    assert means == sorted(means, reverse=True)
    baselines = {f"(best by {name})" for name in ("parameters", "MACs", "nwot")}
    assert {"(optimum)", "(only skips)", "(all cells)", "a", "b"} | baselines == set(names)
    assert len({len(line) for line in (made.head, *made.rows)}) == 1
    at = lambda name, column: made.rows[names.index(name)][made.head.index(column)]
    pair = truth.test[0, -1, :2]
    assert at("a", "CIFAR-10 test %") == f"{pair.mean():.2f} ± {pair.std(ddof=1):.2f}"
    assert (at("a", "collapsed"), at("b", "collapsed")) == ("1 of 2", "0 of 1")
    assert made.rows[names.index("b")][6:8] == ["1", "0.00"]
    # The cell of 3x3 convolutions alone is the largest.
    assert at("(best by parameters)", "CIFAR-10 test %") == "93.76"
    assert at("(best by nwot)", "CIFAR-10 test %") == f"{truth.test[0, -1, 1]:.2f}"


def test_methods_are_compared_with_random_search_seed_by_seed():
    row = lambda method, seed, accuracy: {
        "method": method, "seed": seed, "test": {"cifar10": accuracy}
    }  # fmt: skip
    rows = [row("random", seed, accuracy) for seed, accuracy in enumerate((90.0, 80.0, 70.0))]
    rows += [row("a", 0, 91.0), row("a", 1, 82.0), row("a", 2, 73.0), row("a", 9, 0.0)]
    rows += [row("b", 0, 99.0)]  # of one seed nothing can be said
    (line,) = nasbench201_tables.paired(rows).rows
    # Gains 1, 2, 3: mean 2, standard error 1 / sqrt(3), t of 2 degrees of freedom 4.303.
    # All ahead: of the eight signs of three ranks one is as far, and its opposite.
    interval = "-0.48 to +4.48"
    assert line == ("a", "3", "+2.00", interval, "0.074", "0.074", "+2.00", "0.250", "3 of 3")
    assert not nasbench201_tables.paired(rows[3:]).rows
