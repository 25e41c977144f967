import threading

import pytest

from jaxnas import run
from jaxnas.pipelines import ahead, retrain


@pytest.fixture
def started(monkeypatch):
    """Names of the trainings that were begun; they last until `go` is set."""
    names, go = [], threading.Event()

    def begin(task, mode):
        names.append(task)
        assert go.wait(60)
        if task == "broken":
            raise ValueError("cannot")
        plan = retrain.TrainingPlan(None, None, 1, run.Execution("scan", 1), {})
        return retrain.Begun(plan, None, task)

    monkeypatch.setattr(retrain, "begin", begin)
    return names, go


def tasks(*names):
    return {name: name for name in names}


def test_networks_are_begun_beside_the_search_and_given_out_by_name(started):
    names, go = started
    with ahead.compiling(tasks("a", "b"), "scan") as others:
        assert others.names == {"a", "b"}
        assert not names
        others.start()
        go.set()
        others.wait()
        assert names == ["a", "b"]
        assert others.begun("b").state == "b"


def test_what_fails_ahead_raises_where_it_is_needed(started):
    _, go = started
    go.set()
    with ahead.compiling(tasks("broken", "b"), "scan") as others:
        assert others.begun("b").state == "b"
        with pytest.raises(ValueError, match="cannot"):
            others.begun("broken")


def test_a_search_that_stops_leaves_the_rest_out(started):
    names, go = started
    with pytest.raises(KeyboardInterrupt), ahead.compiling(tasks("a", "b", "c"), "scan") as others:
        others.start()
        threading.Timer(0.2, go.set).start()
        raise KeyboardInterrupt
    assert names in (["a"], [])
