"""The loop: a search cut off anywhere goes on to the same log; budgets, failures, warm starts."""

import json

import numpy as np
import pytest

from jaxnas.evaluators import evaluator as evaluators
from jaxnas.run.files import RunError
from jaxnas.strategies import evaluation_log, loop, registry, workers
from jaxnas.strategies.goals import Goal
from jaxnas.strategies.loop import Budget, SearchProblem
from tests.strategies.toys import TEN, VALUES

GOALS = (Goal("score", 1), Goal("cost", -1))


def score_and_cost(design, seed):
    """Fails where both are large: deterministic, as an evaluation is."""
    if design["x"] * design["y"] > 12:
        raise FloatingPointError("the loss is nan")
    return {"score": design["x"] + design["y"] + (seed % 7) / 10, "cost": design["x"] ** 2}


EVALUATOR = evaluators.of_function({"score": True, "cost": False}, score_and_cost)


def run(folder, evaluations=24, strategy="nsga2", space=VALUES, evaluator=EVALUATOR, **more):
    settings = {"population": 5, "batch": 4} if strategy == "nsga2" else {}
    made = registry.make(strategy, space, GOALS, settings)
    staff = workers.here(workers.Task(space, evaluator, 3))
    return loop.run(
        made, SearchProblem(space, GOALS, 3), Budget(evaluations), folder, staff, **more
    )


def lines(folder):
    """The log without its seconds."""
    text = (folder / evaluation_log.FILE).read_text()
    return [
        {k: v for k, v in json.loads(line).items() if k != "seconds"} for line in text.splitlines()
    ]


def test_cut_off_at_any_byte_it_goes_on_to_the_same_log(tmp_path):
    whole = run(tmp_path)
    assert np.isnan(whole.values).any()  # failures are among them
    path, expected = tmp_path / evaluation_log.FILE, lines(tmp_path)
    content = path.read_bytes()
    for end in range(0, len(content), 97):
        path.write_bytes(content[:end])
        again = run(tmp_path)
        assert lines(tmp_path) == expected
        np.testing.assert_array_equal(again.designs, whole.designs)
        np.testing.assert_array_equal(again.values, whole.values)


def test_a_larger_budget_goes_on(tmp_path):
    run(tmp_path, 8)
    first = lines(tmp_path)
    outcome = run(tmp_path, 16)
    assert len(outcome.results) == 16
    assert lines(tmp_path)[: len(first)] == first
    assert outcome.reason == "the budget is used up"


def test_a_space_that_is_used_up_ends_the_search(tmp_path):
    fine = evaluators.of_function(
        EVALUATOR.maximise, lambda d, seed: {"score": d["a"], "cost": 1.0}
    )
    outcome = run(tmp_path, 50, "random", TEN, fine)
    assert len(outcome.results) == 10
    assert outcome.reason == "the strategy knows no other design"


def test_the_budget_in_seconds_is_over_all_sessions(tmp_path):
    run(tmp_path, 4)
    path = tmp_path / evaluation_log.FILE
    slow = [json.loads(line) | {"seconds": 100.0} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in slow))
    made = registry.make("random", VALUES, GOALS)
    staff = workers.here(workers.Task(VALUES, EVALUATOR, 3))
    budget = Budget(24, seconds=300)
    outcome = loop.run(made, SearchProblem(VALUES, GOALS, 3), budget, tmp_path, staff)
    assert (len(outcome.results), outcome.reason) == (4, "the seconds are used up")
    with pytest.raises(ValueError, match="The budget is 0 evaluations"):
        run(tmp_path, 0)


@pytest.mark.parametrize(
    "figures", [{"score": 1.0}, {"score": np.inf, "cost": 1.0}, ValueError("no")]
)
def test_five_failures_in_a_row_stop_it_and_can_be_retried(tmp_path, figures):
    def fails(design, seed):
        if isinstance(figures, Exception):
            raise figures
        return figures

    broken = evaluators.of_function(EVALUATOR.maximise, fails)
    with pytest.raises(RunError, match="5 evaluations failed one after another.*--retry-failed"):
        run(tmp_path, evaluator=broken)
    mended = evaluators.of_function(
        EVALUATOR.maximise, lambda d, seed: {"score": d["x"], "cost": 1}
    )
    outcome = run(tmp_path, 12, evaluator=mended, retry_failed=True)
    assert len(outcome.results) == 12 and not np.isnan(outcome.values).any()


def test_results_of_another_run_are_told_first_and_not_charged(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = run(tmp_path / "a", 10)
    given = "a", evaluation_log.read(tmp_path / "a" / evaluation_log.FILE, VALUES).results
    outcome = run(tmp_path / "b", 6, given=given)
    assert len(outcome.results) == 16
    np.testing.assert_array_equal(outcome.designs[:10], first.designs)
    assert lines(tmp_path / "b")[0]["from"] == "a"
    again = run(tmp_path / "b", 6, given=given)  # a resumed run has them already
    np.testing.assert_array_equal(again.designs, outcome.designs)


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (b"garbage\n", "line 3 is no record of an evaluation"),
        (b'{"of": [9, 0], "figures": {}, "seconds": 1}\n', "line 3.*x is 9 in a design"),
        (b'{"of": [1], "figures": {}, "seconds": 1}\n', "line 3.*another space"),
        (b'{"ask": 7, "designs": []}\n', "line 3.*ask 7 where 1 is due"),
        (b'{"of": [1, 1], "figures": {"score": NaN}, "seconds": 1}\n', "line 3.*not finite"),
        (b'{"of": [1, 1]}\n', "line 3"),
        (b"[]\n", "line 3"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, cause):
    run(tmp_path, 4)
    path = tmp_path / evaluation_log.FILE
    content = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*content[:2], line, *content[2:]]))
    with pytest.raises(RunError, match=cause):
        run(tmp_path, 8)
