"""The study of targets: what is drawn, scaled and timed beside a search, and what it gained."""

import json

import numpy as np
import pytest

from experiments import targets, targets_baselines, targets_report
from jaxnas.hardware.measure.recheck import RecheckedTimes
from jaxnas.pipelines import constraints, retrain, search, search_stages
from jaxnas.spaces import dataflow, sampling
from jaxnas.spaces import genotype as genotypes
from tests.campaign_toys import SPACE, in_ms, true_ms, written
from tests.experiments import stand_ins


def test_random_networks_are_as_near_to_the_target_as_a_search_looks(model):
    limit = in_ms(model, 0.16)
    drawn = targets_baselines.draw(SPACE, limit, 9, seed=0)
    ratio = limit.cost.of_genomes(drawn) / 0.16
    assert ((ratio <= 1) & (ratio >= 0.95)).all() and len(np.unique(drawn, axis=0)) == 9
    assert not np.array_equal(drawn, targets_baselines.draw(SPACE, limit, 9, seed=1))
    assert np.array_equal(drawn[:3], targets_baselines.draw(SPACE, limit, 3, seed=0))
    with pytest.raises(ValueError, match="--random is 99999, but"):
        targets_baselines.draw(SPACE, limit, 99999, seed=0)


def test_the_widest_network_that_takes_no_longer_is_not_the_first_that_does():
    times = {2: 0.1, 4: 0.3, 6: 0.2, 8: 0.4}
    assert targets_baselines.widest(times, 0.25) == 6
    assert targets_baselines.widest(times, 0.05) == 2


def row(kind, ms, seed, top1, measured_ms):
    return {"method": kind, "kind": kind, "target_ms": ms, "seed": seed, "top1": top1,
            "measured_ms": measured_ms, "features": 4, "truth": 100 * top1 + 40}  # fmt: skip


def test_gains_are_paired_with_the_random_networks_that_hold():
    rows = [
        row("found", 1.0, 0, 0.50, 0.98), row("random", 1.0, 0, 0.40, 1.0),
        row("random", 1.0, 0, 0.56, 0.97), row("random", 1.0, 0, 0.90, 1.2),  # does not hold
        row("found", 1.0, 1, 0.50, 1.3), row("random", 1.0, 1, 0.46, 1.0),
        row("found", 2.0, 0, 0.60, 2.0), row("scaled", 2.0, 0, 0.61, 1.8),
    ]  # fmt: skip
    near = {1.0: [89.0, 93.0], 2.0: [99.0]}
    lines = {tuple(line[:2]): line[2:] for line in targets_report.gains(rows, near).rows}
    # 2 and 4 points: mean 3, standard error 1, t of one degree of freedom 12.706.
    assert lines["1", "random"] == ("2", "+3.00", "-9.71 to +15.71", "0.205", "2 of 2", "2 of 3")
    assert lines["all", "random"] == lines["1", "random"]
    assert lines["2", "scaled"] == ("1", "-1.00", "–", "–", "0 of 1", "0 of 1")
    # 90 and 90 less 91, 100 less 99.
    assert lines["all", "(all near), true"][:2] == ("3", "-0.33")
    assert lines["all", "(all near), true"][-2:] == ("1 of 3", "3 of 5")
    summary = {tuple(line[:2]): line[2:] for line in targets_report.summary(rows, near).rows}
    assert summary["1", "(all near)"][0] == "2" and summary["1", "(all near)"][-1] == "91.00 ± 2.83"
    assert summary["1", "found"][:2] == ("2", "1 of 2")
    assert summary["1", "random"][:2] == ("4", "3 of 4")
    assert summary["2", "scaled"][:2] == ("1", "0 of 1")


@pytest.fixture
def devices(monkeypatch):
    """Stand-ins of search, training and timing; gives the numbers of each."""
    calls = {"search": [], "train": [], "time": []}

    def searched(settings, console):
        folder = targets.Path(settings.place.out) / settings.place.name
        folder.mkdir()
        genotype = sampling.random_genotype(SPACE, settings.seed)
        (folder / search.GENOTYPE).write_text(genotypes.to_json(genotype))
        (folder / "metrics.jsonl").write_text('{"time/step_ms": 1500.0}\n')
        ms = {"predicted": 0.1, "interval": 0.01, "measured": 0.1, "holds": True}
        summary = {"found": {"top1": 0.5}, "target": {"targets": {"ms": ms}}}
        (folder / search.SUMMARY).write_text(json.dumps(summary))
        calls["search"].append(settings.target_ms)
        return folder

    def trained(task, folder, **_):
        calls["train"].append((task.recipe.features, task.seed))
        return {"top1": 0.4 + 0.01 * len(calls["train"])}

    def timed(campaign, networks, folder, console, *, sizes):
        calls["time"].append(len(networks))
        pruned = np.stack([SPACE.genome.encode(dataflow.remove_dead_edges(g)) for g in networks])
        widths = np.array([size.features for size in sizes])
        return RecheckedTimes(true_ms(pruned) * widths / 4, 1.0, ())

    monkeypatch.setattr(search, "main", searched)
    monkeypatch.setattr(retrain, "train", trained)
    monkeypatch.setattr(constraints, "time_genotypes", timed)
    return calls


def test_every_network_is_trained_once_and_all_are_timed_in_one_run(tmp_path, devices):
    folder = written(tmp_path / "mine")
    words = f"--latency {folder} --targets-ms 0.12 0.16 --seeds 5 --random 2 --limit 60"
    words = [*words.split(), "--retrain.epochs", "1", "--out", str(tmp_path / "out")]
    assert targets.cli(words) == 0
    assert devices["search"] == [None, 0.12, 0.16]
    assert len(devices["train"]) == 6 and {seed for _, seed in devices["train"]} == {5}
    assert devices["time"][-1] == 9  # one run of the three that were found and the six others
    rows = [json.loads(line) for line in (tmp_path / "out" / "rows.jsonl").read_text().splitlines()]
    kinds = [row["kind"] for row in rows]
    assert kinds == ["free"] + ["found"] * 2 + ["random"] * 4 + ["scaled"] * 2
    free, scaled = rows[0], [row for row in rows if row["kind"] == "scaled"]
    assert all(row["genotype"] == free["genotype"] for row in scaled)
    report = (tmp_path / "out" / "targets.md").read_text()
    assert "--random 2" in report and "| 0.12 | random |" in report
    # A second time nothing is run but the timing, whose folder has it.
    assert targets.cli([*words, "--targets-ms", "0.12"]) == 0
    assert len(devices["search"]) == 3 and len(devices["train"]) == 6
    assert devices["time"][-1] == 5


def test_a_given_network_is_scaled_without_a_search_of_its_own(tmp_path, devices):
    folder = written(tmp_path / "mine")
    conv = "|{0}~0|+|{0}~0|{0}~1|+|{0}~0|{0}~1|{0}~2|".format("nor_conv_3x3")
    words = f"--latency {folder} --targets-ms 0.16 --seeds 5 6 --limit 60".split()
    assert targets.cli([*words, "--scaled", conv, "--out", str(tmp_path / "out")]) == 0
    assert devices["search"] == [0.16, 0.16]
    # 0.35 ms at 4 channels: at 2 it takes 0.175, and there is none below.
    assert devices["train"] == [(2, 5), (2, 6)]


def test_one_search_a_seed_serves_every_target(tmp_path, devices, monkeypatch):
    folder, searched = written(tmp_path / "mine"), []

    def select(predictors, task, result, job):
        assert job.folder.name == f"{task.settings.target_ms:g}-ms-seed5"
        assert [c.limit for c in task.constraints] == [task.settings.target_ms]
        ms = {"predicted": task.settings.target_ms, "interval": [0.1, 0.2], "measured": None}
        record = json.dumps({"targets": {"ms": ms}})
        (job.folder / constraints.RECORD).write_text(record)
        return sampling.random_genotype(SPACE, 0)

    def search_once(task, augment, job):
        searched.append((job.folder.name, task.settings.target_ms, task.constraints))
        return stand_ins.search(task, augment, job)

    monkeypatch.setattr(constraints, "select", select)
    monkeypatch.setattr(search_stages, "search", search_once)
    words = f"--latency {folder} --targets-ms 0.12 0.16 --seeds 5 --limit 60 --batch-size 15"
    words = f"{words} --features 2 --once --no-confirm --scaled none --out {tmp_path / 'out'}"
    assert targets.cli(words.split()) == 0
    # Of the same folder, so that the second time it is only read.
    assert searched == [("search-seed5", None, [])] * 2
    assert devices["search"] == [] and len(devices["train"]) == 2
    report = (tmp_path / "out" / "targets.md").read_text()
    assert "| 0.12 | found | 1 |" in report and "--once" in report


def test_other_settings_of_training_are_another_study(tmp_path, devices, capsys):
    folder = written(tmp_path / "mine")
    words = f"--latency {folder} --targets-ms 0.12 --seeds 5 --limit 60 --scaled none".split()
    words += ["--out", str(tmp_path / "out"), "--retrain.epochs"]
    assert targets.cli([*words, "1"]) == 0
    assert targets.cli([*words, "2"]) == 2
    assert "retrain.epochs" in capsys.readouterr().err
