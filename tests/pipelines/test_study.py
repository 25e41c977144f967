"""The studies: methods times seeds, a row each, judged alike and never run twice."""

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

from experiments import cifar10, nasbench201, nasbench201_halves, nasbench201_tables
from experiments import retrain as retrain_experiment
from experiments import search as search_experiment
from jaxnas import data
from jaxnas.core.types import Choice
from jaxnas.evaluators import nasbench201 as evaluators_nasbench201
from jaxnas.evaluators.nasbench201 import isomorphism
from jaxnas.pipelines import search_stages, study
from jaxnas.report import html_page, strip_plot, table
from jaxnas.spaces import choices as spaces_choices
from jaxnas.spaces.nasbench201 import choices as spaces
from tests import paths

TABLE = paths.SHARED / "nasbench" / "nb201.npz"
needs_table = pytest.mark.skipif(not TABLE.exists(), reason=f"no table of NAS-Bench-201: {TABLE}")


@pytest.fixture(scope="module", autouse=True)
def programs_are_kept():
    """The programs that one study compiles are kept for the next."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
        yield


def said():
    return rich.console.Console(file=io.StringIO(), width=200)


def halves_file(path, **lists):
    np.savez(path, **{name: np.array(numbers) for name, numbers in lists.items()})
    return str(path)


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """(settings, what was said) of a study on NAS-Bench-201 of two seeds, run to its end."""
    if not TABLE.exists():
        pytest.skip(f"no table of NAS-Bench-201: {TABLE}")
    home = tmp_path_factory.mktemp("benchmark")
    split = halves_file(home / "split.npz", train=range(0, 100, 2), valid=range(1, 100, 2))
    settings = nasbench201.Settings(
        methods=("darts",), seeds=(3, 4), data="digits", table=str(TABLE), split=split,
        limit=40, features=2, cells=1, epochs=1, batch_size=20, sample=5, out=str(home / "out"),
    )  # fmt: skip
    console = said()
    nasbench201.main(settings, console)
    return settings, console.file.getvalue()


def rows_of(settings):
    return [json.loads(line) for line in Path(settings.out, "rows.jsonl").read_text().splitlines()]


def test_a_row_tells_what_the_found_cell_really_scores(benchmark):
    settings, _ = benchmark
    truth = evaluators_nasbench201.load(TABLE)
    rows = rows_of(settings)
    assert [(row["method"], row["seed"]) for row in rows] == [("darts", 3), ("darts", 4)]
    for row in rows:
        code = isomorphism.from_arch(row["arch"])
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
    for wanted in (
        "| (optimum) |",
        "94.37",
        "| (only skips) |",
        "54.30",
        "| darts | 2 |",
        "--seeds 3 4",
    ):
        assert wanted in markdown
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
    console = said()
    nasbench201.main(settings, console)
    text = console.file.getvalue()
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
            nasbench201.main(settings.__class__(**vars(settings) | change), said())
    assert rows_of(settings) == before


def at_random(settings, entry, found, augment, job, limits=()):
    """In place of `search_stages.search`, tested elsewhere: finds a random cell in one step."""
    (job.folder / "metrics.jsonl").write_text('{"step": 1, "time/step_ms": 1500.0}\n')
    return search_stages.Learned(search_stages.random_cells(entry, settings.seed), None, None)


@needs_table
def test_random_search_has_a_row_without_order(tmp_path, monkeypatch):
    monkeypatch.setattr(search_stages, "search", at_random)
    settings = nasbench201.Settings(
        methods=("random",), seeds=(1,), data="digits", table=str(TABLE), limit=40,
        batch_size=20, out=str(tmp_path),
    )  # fmt: skip
    nasbench201.main(settings, said())
    (row,) = rows_of(settings)
    # The weights that random search leaves are of one cell.
    assert row["kendall"] is None and row["spearman"] is None
    assert row["search_s"] == 1.5
    assert not (tmp_path / "tau.svg").exists()


def finished(space, accuracy):
    """A supernet that rates cells as `accuracy(gates)` says."""
    net = types.SimpleNamespace(space=space)
    return types.SimpleNamespace(net=net, evaluate=lambda gates: (accuracy(gates["cell"]), None))


@needs_table
def test_a_supernet_that_knows_the_truth_orders_perfectly():
    truth = evaluators_nasbench201.load(TABLE)

    def knows(gates):
        assert gates.shape == (50, 6, 5)
        rows = truth.row_of[isomorphism.number(isomorphism.from_gates(gates))]
        return truth.test[0, -1, rows].astype(np.float32)

    space = spaces.nasbench201()
    assert nasbench201.order(truth, finished(space, knows), 50) == pytest.approx((1, 1))
    worst = finished(space, lambda gates: -knows(gates))
    assert nasbench201.order(truth, worst, 50) == pytest.approx((-1, -1))
    # An auxiliary candidate, as DARTS- has it, stays shut.
    more = spaces_choices.with_auxiliary_skip(space)
    padded = finished(more, lambda gates: knows(gates[..., :5]) - 1e3 * gates[..., 5].sum(1))
    assert nasbench201.order(truth, padded, 50) == pytest.approx((1, 1))


@needs_table
def test_a_supernet_of_other_candidates_is_not_compared():
    choice = spaces.nasbench201()["cell"]
    fewer = Choice(choice.edges, tuple(row[:3] for row in choice.candidates))
    never = lambda gates: pytest.fail("it was evaluated")
    space = {"cell": fewer}
    assert nasbench201.order(evaluators_nasbench201.load(TABLE), finished(space, never), 5) == (
        None,
        None,
    )


def found(count=20):
    inputs = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 1), np.uint8)
    return data.from_arrays(inputs, np.arange(count) % 2, inputs[:4], np.arange(4) % 2)


def test_halves_are_the_first_images_of_each_list(tmp_path):
    whole = data.merge_train(found())
    train, valid = [7, 2, 4, 9, 1, 3], [0, 5, 6, 8, 11, 10]
    path = halves_file(tmp_path / "split.npz", train=train, valid=valid)
    for limit in (None, 4):
        cut = nasbench201_halves.halves(found(), path, limit)
        for half, numbers in ((cut.train, train[:limit]), (cut.valid, valid[:limit])):
            np.testing.assert_array_equal(half.inputs, whole.inputs[numbers])
            np.testing.assert_array_equal(half.labels, whole.labels[numbers])
    by_index = nasbench201_halves.halves(found(), None, None)
    np.testing.assert_array_equal(by_index.valid.inputs, found().valid.inputs)


def test_halves_of_any_sizes_are_cut_where_the_lists_end(tmp_path):
    images = data.merge_train(found()).inputs
    for train in range(4, 13):
        for valid in range(1, 8):
            lists = {"train": np.arange(train), "valid": np.arange(train, train + valid)}
            cut = nasbench201_halves.halves(
                found(), halves_file(tmp_path / "split.npz", **lists), None
            )
            np.testing.assert_array_equal(cut.train.inputs, images[:train])
            np.testing.assert_array_equal(cut.valid.inputs, images[train : train + valid])


@pytest.mark.parametrize(
    ("lists", "cause"),
    [
        ({"train": [0, 1, 2], "valid": [2, 3]}, "twice"),
        ({"train": [0, 1], "valid": [2, 20]}, "image 20, but the training images are 0 to 19"),
        ({"train": [0, 1], "valid": [2, -1]}, "image -1"),
        ({"train": [0.0, 1.0], "valid": [2.0]}, "whole numbers"),
        ({"train": [0, 1]}, "valid"),
    ],
)
def test_refuses_halves_of_other_images(tmp_path, lists, cause):
    with pytest.raises(data.DataError, match=cause):
        nasbench201_halves.halves(found(), halves_file(tmp_path / "split.npz", **lists), None)


def test_refuses_a_half_that_is_too_small_and_files_that_say_none(tmp_path):
    path = halves_file(tmp_path / "split.npz", train=range(8), valid=range(8, 16))
    with pytest.raises(data.DataError, match="--limit is 9 but a half has 8"):
        nasbench201_halves.halves(found(), path, 9)
    (tmp_path / "text.npz").write_text("train: 1, 2")
    np.save(tmp_path / "one.npy", np.arange(3))
    np.savez(tmp_path / "pickled.npz", train=np.array([{}], object), valid=np.array([1]))
    for name in ("text.npz", "one.npy", "pickled.npz", "absent.npz"):
        with pytest.raises(data.DataError, match=f"{name} says no halves"):
            nasbench201_halves.halves(found(), str(tmp_path / name), None)


def test_names_of_a_study_are_settings_of_a_search():
    assert study.asked("darts-exact", ()).order == "exact"
    assert study.asked("darts-fd", ()).order == "finite-difference"
    assert study.asked("darts-pt", ("darts-pt.interval=2",)).select == "perturbation"
    assert study.asked("darts-pt", ("darts-pt.interval=2", "gdas.x=1")).set == ("interval=2",)
    assert study.asked("gdas", ("darts-pt.interval=2",)).set == ()


@pytest.mark.parametrize(
    ("epochs", "preset", "cells"), [(12, "quick", 3), (4, "quick", 2), (7, "quick", 1),
                                    (50, "paper", 5), (8, "paper", 4)],
)  # fmt: skip
def test_random_search_trains_as_many_cells_as_divide_its_epochs(epochs, preset, cells):
    asked = study.asked("random", (), epochs=epochs, preset=preset)
    assert asked.set == (f"cells={cells}",)
    own = study.asked("random", ("random.cells=9",), epochs=epochs, preset=preset)
    assert own.set == ("cells=9",)


def test_the_mean_and_the_spread_are_over_what_is_known():
    values = [91.0, 93.5, 90.0]
    expected = f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"
    assert study.spread([None, *values], 2) == expected
    assert study.spread([91.0, None], 1) == "91.0"
    assert study.spread([None], 1) == "–"


@needs_table
def test_the_table_begins_with_the_best():
    truth = evaluators_nasbench201.load(TABLE)

    def row(method, seed, index):
        entry = evaluators_nasbench201.query(truth, index)
        of = lambda field: {k: getattr(s, field) for k, s in entry.sets.items()}
        return {
            "method": method, "seed": seed, "test": of("test_200"), "valid": of("valid_200"),
            "rank": of("rank"), "regret": of("regret"), "kendall": None, "spearman": None,
            "skips": 1, "search_s": 2.0,
        }  # fmt: skip

    best = int(truth.test[0, -1].argmax())
    made = nasbench201_tables.summary(truth, [row("a", 0, 0), row("a", 1, 1), row("b", 0, best)])
    names = [line[0] for line in made.rows]
    means = [float(line[2].split()[0]) for line in made.rows]
    assert means == sorted(means, reverse=True)
    assert {"(optimum)", "(only skips)", "(all cells)", "a", "b"} == set(names)
    pair = truth.test[0, -1, :2]
    wanted = f"{pair.mean():.2f} ± {pair.std(ddof=1):.2f}"
    assert made.rows[names.index("a")][2] == wanted
    assert made.rows[names.index("b")][6:8] == ["1", "0.00"]


def test_a_table_is_the_same_as_text_as_markdown_and_as_html():
    made = table.TextTable(("name", "a|b"), [("x", "1.00"), ("<long>", "–")])
    assert table.text(made) == "name     a|b\nx       1.00\n<long>     –\n"
    assert table.markdown(made).splitlines()[:3] == [
        "| name | a\\|b |",
        "|---|---:|",
        "| x | 1.00 |",
    ]
    page = table.html(made, "what it is")
    assert "&lt;long&gt;" in page and "<caption>what it is</caption>" in page
    with pytest.raises(ValueError, match="3 texts under 2 titles"):
        table.text(made._replace(rows=[("x", "1", "2")]))


def test_every_value_is_a_dot_in_the_figure(tmp_path):
    groups = {"a": [1.0, 2.0, float("nan")], "b": [4.0], "none known": [float("nan")]}
    picture = strip_plot.save("T", groups, tmp_path, "f", label="x", lines={"best": 5.0})
    assert 'aria-label="T; means of x: a 1.50, b 4.00"' in picture
    assert (tmp_path / "f.svg").read_text() == picture
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="no finite number"):
        strip_plot.save("T", {"none known": [float("nan")]}, tmp_path, "g", label="x")


def test_a_page_shows_text_as_text(tmp_path):
    html_page.write(tmp_path / "p.html", "Study", "<T>", {"k": "<v>"}, {"A & B": "<p>content</p>"})
    page = (tmp_path / "p.html").read_text()
    assert "&lt;T&gt;" in page and "&lt;v&gt;" in page and "<p>content</p>" in page
    assert 'href="#a-b"' in page and 'id="a-b"' in page


@pytest.mark.parametrize(
    ("cli", "words", "cause"),
    [
        (nasbench201.cli, "--methods dart", "No method is called 'dart'"),
        (nasbench201.cli, "--methods gdas gdas", "each once"),
        (nasbench201.cli, "--methods gdas --set darts.order=1", "has no effect"),
        (nasbench201.cli, "--table absent.npz", "No table absent.npz"),
        (nasbench201.cli, "--sample 1", "--sample is 1"),
        (nasbench201.cli, "--epoch 3", "--epochs"),
        (cifar10.cli, "--retrain.preset paper", "--preset decides it"),
        (cifar10.cli, "--seeds -1", "--seed is -1"),
        (search_experiment.cli, "--epochs 0", "--epochs is 0"),
        (search_experiment.cli, "--batch-size x", "--batch-size cannot be 'x'"),
        (retrain_experiment.cli, "--data absent.npz", "absent.npz: no such file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(cli, words, cause, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JAXNAS_NASBENCH201", raising=False)
    assert cli(words.split()) == 2
    out, err = capsys.readouterr()
    assert cause in err and err.startswith("jaxnas: ") and err.count("\n") == 1
    assert out == "" and not list(tmp_path.iterdir())


def test_retrains_what_every_method_found_and_runs_nothing_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(search_stages, "search", at_random)
    words = (
        "--methods darts random --seeds 0 --data digits --limit 60 --features 2 --cells 1 "
        "--reductions --epochs 1 --batch-size 15 --retrain.epochs 1 --retrain.batch-size 20 "
        f"--retrain.features 2 --retrain.cells 1 --retrain.reductions --out {tmp_path}"
    )
    assert cifar10.cli(words.split()) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert {"study.md", "study.html", "accuracy.svg", "accuracy.png"} <= names
    assert {"darts-seed0", "random-seed0"} <= names
    markdown = (tmp_path / "study.md").read_text()
    for name in ("darts", "random"):
        summary = json.loads((tmp_path / f"{name}-seed0" / "summary.json").read_text())
        assert f"| {name} | 1 | {100 * summary['found']['top1']:.2f} |" in markdown
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*-seed0/*")}
    assert cifar10.cli(words.split()) == 0
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.glob("*-seed0/*")}
    assert (tmp_path / "study.md").read_text() == markdown


def test_perturbation_is_searched_without_none():
    settings = cifar10.Settings(preset="medium", methods=("darts", "darts-pt"))
    assert cifar10.asked(settings, "darts-pt", 0).space == "darts-no-none"
    plain = cifar10.asked(settings, "darts", 1)
    assert (plain.space, plain.seed, plain.source.limit, plain.features) == ("darts", 1, 10000, 8)
    assert plain.retrain.cells == 8
    paper = cifar10.asked(cifar10.Settings(preset="paper"), "darts", 0)
    assert (paper.preset, paper.retrain.preset, paper.source.limit) == ("paper", "paper", None)
