"""Methods times seeds, a row each: what the studies share."""

import io

import pytest
import rich.console

from jaxnas import run
from jaxnas.pipelines import study


def test_names_of_a_study_are_settings_of_a_search():
    assert study.search_of("darts-exact", ()).order == "exact"
    assert study.search_of("darts-fd", ()).order == "finite-difference"
    assert study.search_of("darts-pt", ("darts-pt.interval=2",)).select == "perturbation"
    assert study.search_of("darts-pt", ("darts-pt.interval=2", "gdas.x=1")).set == ("interval=2",)
    assert study.search_of("gdas", ("darts-pt.interval=2",)).set == ()
    fair = study.search_of("fair-evolution", ("fair-evolution.warm_up=1",))
    assert (fair.method, fair.select) == ("spos", "evolution")
    assert fair.set == ("sampling=fair", "warm_up=1")


def test_a_method_of_a_study_may_have_its_own_length():
    words = ("gdas.epochs=30", "random.epochs=8")
    assert study.search_of("gdas", words, epochs=12).epochs == 30
    assert study.search_of("gdas", words, epochs=12).set == ()
    assert study.search_of("darts", words, epochs=12).epochs == 12
    random = study.search_of("random", words, epochs=9, preset="quick")
    assert (random.epochs, random.set) == (8, ("cells=2",))


@pytest.mark.parametrize(
    ("epochs", "preset", "cells"), [(12, "quick", 3), (4, "quick", 2), (7, "quick", 1),
                                    (50, "paper", 5), (8, "paper", 4)],
)  # fmt: skip
def test_random_search_trains_as_many_cells_as_divide_its_epochs(epochs, preset, cells):
    words_of = lambda *words: study.search_of("random", words, epochs=epochs, preset=preset).set
    assert words_of() == (f"cells={cells}",)
    assert words_of("random.cells=9") == ("cells=9",)


@pytest.mark.parametrize(
    ("methods", "seeds", "words", "cause"),
    [
        (("dart",), (0,), (), "No method is called 'dart'; there are darts"),
        (("gdas", "gdas"), (0,), (), "--methods says .*each once"),
        (("gdas",), (), (), "--seeds says .*one or more"),
        (("gdas",), (0,), ("darts.order=1",), "'darts.order=1' has no effect"),
        (("gdas",), (0,), ("gdas.epochs=1.5",), "epochs are a whole number"),
    ],
)
def test_refuses_what_is_no_study_in_one_line(methods, seeds, words, cause):
    study.check(("darts", "darts-pt"), (0, 1), ("darts-pt.interval=2",))
    with pytest.raises(ValueError, match=cause) as refusal:
        study.check(methods, seeds, words)
    assert "\n" not in str(refusal.value)


def test_rows_are_added_and_read_back(tmp_path):
    assert study.rows(tmp_path) == []
    rows = [{"method": "darts", "seed": seed, "tau": float("nan")} for seed in (0, 1)]
    for row in rows:
        study.add(tmp_path, row)
    # JSON has no NaN.
    assert study.rows(tmp_path) == [row | {"tau": None} for row in rows]
    study.add(tmp_path, rows[0])
    with pytest.raises(run.RunError, match="a row twice"):
        study.rows(tmp_path)
    (tmp_path / study.ROWS).write_text("{}\n")
    with pytest.raises(run.RunError, match="Cannot read"):
        study.rows(tmp_path)


def test_seconds_are_of_all_stages(tmp_path):
    (tmp_path / "stages" / "second").mkdir(parents=True)
    first, second = '{"time/step_ms": 1500.0}\n{"loss": 1}\n', '{"time/step_ms": 250.0}\n'
    (tmp_path / "metrics.jsonl").write_text(first)
    (tmp_path / "stages" / "second" / "metrics.jsonl").write_text(second)
    assert study.steps_s(tmp_path) == pytest.approx(1.75)


def test_methods_are_run_seed_by_seed_and_done_rows_are_left_out():
    console = rich.console.Console(file=io.StringIO(), width=200)
    done = {("a", 0)}
    pairs = study.pairs(("a", "b"), (0, 1), lambda *pair: pair in done, console)
    assert list(pairs) == [("b", 0), ("a", 1), ("b", 1)]
    first, *others = console.file.getvalue().splitlines()
    assert first == "row 1 of 4: a, seed 0: done before"
    assert others[0].startswith("row 2 of 4: b, seed 0; ETA unknown")
    assert all("ETA " in line for line in others)
