"""Workers: processes give what this process gives, survive a death, and keep a time limit."""

import os
import pathlib
import time

import numpy as np
import pytest

from jaxnas.evaluators import evaluator as evaluators
from jaxnas.strategies import workers
from tests.strategies.toys import TEN


def figures(design, seed):
    """Dies once at 2, hangs at 3, fails at 4."""
    flag = pathlib.Path(os.environ["JAXNAS_TEST_FLAG"])
    if design == {"a": 2, "b": "x"} and not flag.exists():
        flag.touch()
        os._exit(9)
    if design == {"a": 3, "b": "x"}:
        time.sleep(60)
    if design == {"a": 4, "b": "x"}:
        raise ValueError("bad design")
    return {"score": design["a"] + seed / 2**32}


def build():
    return workers.Task(TEN, evaluators.of_function({"score": True}, figures), 5)


def test_processes_give_what_this_process_gives(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXNAS_TEST_FLAG", str(tmp_path / "flag"))
    designs = np.array([[0, 0], [1, 0], [2, 0], [3, 0], [4, 0], [0, 1], [1, 1]])
    with workers.processes(2, build, time_limit_s=5) as staff:
        assert staff.count == 2
        found = dict(staff.run(designs))
    assert (tmp_path / "flag").exists()  # one died, and was tried once more
    assert found[2].failure == "TimeoutError: it took more than 5 s"
    assert found[3].failure == "ValueError: bad design"
    fine = [0, 1, 4, 5, 6]
    here = dict(workers.here(build()).run(designs[fine]))
    assert [here[i].figures for i in range(5)] == [found[row].figures for row in fine]


def test_no_workers_are_refused():
    with pytest.raises(ValueError, match="There are 0 workers"):
        workers.processes(0, build).__enter__()
