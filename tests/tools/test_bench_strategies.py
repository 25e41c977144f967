"""The comparison of strategies: figures of known searches, records that are gone on from."""

import json
import sys

import numpy as np
import pytest

from tests import paths
from tools import bench_strategies

TABLE = paths.SHARED / "nasbench" / "nb201.npz"
LATENCIES = paths.SHARED / "nasbench" / "nb201_help_latency.csv.gz"


def run(monkeypatch, capsys, *words):
    if not TABLE.exists():
        pytest.skip(f"no table of NAS-Bench-201: {TABLE}")
    words = ["bench_strategies.py", "--table", str(TABLE), "--seeds", "2", *words]
    monkeypatch.setattr(sys, "argv", words)
    bench_strategies.main()
    return json.loads(capsys.readouterr().out)


def test_goes_on_from_its_records(monkeypatch, capsys, tmp_path):
    records = tmp_path / "runs.jsonl"
    words = ("--budgets", "5", "40", "--strategies", "random", "--records", str(records))
    first = run(monkeypatch, capsys, *words)
    assert first["strategies"]["random"]["runs"] == 2
    low, high = (first["strategies"]["random"][b]["test"][0] for b in ("5", "40"))
    assert 80 < low < 94.4 and low <= high
    lines = records.read_text().splitlines(keepends=True)
    records.write_text(lines[0] + lines[1][:20])  # torn while it was written
    again = run(monkeypatch, capsys, *words)
    without_seconds = lambda of: of["strategies"]["random"] | {"seconds": None}
    assert without_seconds(again) == without_seconds(first)
    assert json.loads(records.read_text().splitlines()[0]) == json.loads(lines[0])
    records.write_text("nonsense\n" + lines[0])
    with pytest.raises(SystemExit):
        run(monkeypatch, capsys, *words)
    assert "line 1 is no record" in capsys.readouterr().err


def test_two_goals_share_the_hypervolume_of_all_cells(monkeypatch, capsys):
    words = ("--problem", "two", "--budgets", "10", "60", "--strategies", "nsga2:population=10")
    found = run(monkeypatch, capsys, *words, "--latencies", str(LATENCIES))
    shares = [found["strategies"]["nsga2:population=10"][b]["share"][0] for b in ("10", "60")]
    assert 0.5 < shares[0] < shares[1] < 1


@pytest.mark.parametrize(
    "words, cause",
    [
        (("--problem", "two"), "reads --latencies: give the file"),
        (("--seeds", "0"), "numbers from 1"),
        (("--strategies", "randm"), "Did you mean random"),
        (("--strategies", "random:batch"), "batch: write NAME:SETTING=VALUE"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(monkeypatch, capsys, words, cause):
    with pytest.raises(SystemExit) as exit_of:
        run(monkeypatch, capsys, *words)
    error = capsys.readouterr().err
    assert exit_of.value.code == 2
    assert cause in error and error.count("\n") == 1


def test_seconds_and_spread_are_over_the_runs():
    runs = [{"at": {"5": {"test": x}}, "seconds": x} for x in (1.0, 3.0)]
    found = bench_strategies.summarise(runs, [5])
    assert found == {"5": {"test": [2.0, 1.0]}, "seconds": 2.0, "runs": 2}
    assert np.isclose(found["5"]["test"][1], np.std([1, 3]))
