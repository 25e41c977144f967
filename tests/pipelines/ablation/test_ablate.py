"""`jaxnas ablate`: rows as they end, failures, resumption; rows are written without a search."""

import csv
import io
import types

import pytest
import rich.console

from jaxnas import run
from jaxnas.pipelines import search, study
from jaxnas.pipelines.ablation import ablate, trial
from jaxnas.pipelines.settings.ablation import AblateSettings
from tests import finished_runs

TEXT = """
seeds = [0, 1]
methods = ["darts", "gdas"]
[settings]
space = "nasbench201"
[grid]
epochs = [2, 4]
"""


class Trials:
    """In place of `trial.run`: writes what a search would; fails or dies where it is told to."""

    def __init__(self):
        self.ran, self.fail, self.die = [], set(), None

    def run(self, settings, trainings, console):
        from pathlib import Path

        place = settings.place
        self.ran.append(place.name)
        if place.name == self.die:
            raise KeyboardInterrupt
        folder = Path(place.out) / place.name
        if place.name in self.fail:
            raise FloatingPointError("loss/train is not finite\nat step 2.")
        top1 = 0.8 + 0.01 * settings.seed + 0.02 * (settings.method == "gdas")
        changes = {"method": settings.method, "epochs": settings.epochs}
        return finished_runs.write(folder, seed=settings.seed, top1=top1, **changes)


@pytest.fixture
def trials(monkeypatch, tmp_path):
    made = Trials()
    monkeypatch.setattr(trial, "run", made.run)
    monkeypatch.setattr(search, "resolve", lambda *_: types.SimpleNamespace(truth=None))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(TEXT)
    return made


def ablated(**more):
    console = rich.console.Console(file=io.StringIO(), width=200)
    folder = ablate.main(AblateSettings("small.toml", **more), console)
    return folder, console.file.getvalue()


def table(folder):
    with open(folder / "table.csv") as file:
        return list(csv.DictReader(file))


def test_one_table_and_one_page_of_all_rows(trials):
    folder, printed = ablated()
    assert folder.name == "small" and folder.parent.name == "runs"
    lines = table(folder)
    assert len(lines) == len(trials.ran) == 8
    assert {line["status"] for line in lines} == {"done"}
    of = [(line["name"], line["seed"], line["epochs"]) for line in lines[:2]]
    assert of == [("darts epochs=2", "0", "2"), ("darts epochs=4", "0", "4")]
    assert "gdas epochs=2 less darts epochs=2" in printed
    page = (folder / "report.html").read_text()
    assert "What the data show" in page and "methods = [&quot;darts&quot;" in page
    assert (folder / "ablation.toml").read_text() == TEXT
    # What is done is not run again.
    _, printed = ablated()
    assert len(trials.ran) == 8 and printed.count("done before") == 8


def test_rows_are_there_when_it_dies_and_it_goes_on(trials):
    trials.die = "gdas-epochs=2-seed0"
    with pytest.raises(KeyboardInterrupt):
        ablated()
    folder = trials_folder()
    assert [line["name"] for line in table(folder)] == ["darts epochs=2", "darts epochs=4"]
    trials.die = None
    ablated()
    assert trials.ran.count("darts-epochs=2-seed0") == 1
    assert trials.ran.count("gdas-epochs=2-seed0") == 2
    assert len(table(folder)) == 8


def trials_folder():
    from pathlib import Path

    return Path("runs") / "small"


def test_a_failure_is_a_row_with_its_reason(trials):
    trials.fail = {"gdas-epochs=2-seed0"}
    folder, printed = ablated()
    (failed,) = [line for line in table(folder) if line["status"] == "failed"]
    assert failed["reason"] == "loss/train is not finite at step 2."
    assert (failed["name"], failed["epochs"], failed["accuracy"]) == ("gdas epochs=2", "2", "")
    assert "FAILED: loss/train is not finite" in printed and "1 of 8 rows failed" in printed
    assert "FloatingPointError" in (folder / failed["folder"][11:] / "failure.txt").read_text()
    assert "They are in no figure" in (folder / "report.html").read_text()
    ablated()
    assert len(trials.ran) == 8  # only when asked
    trials.fail = set()
    ablated(retry=True)
    assert trials.ran[8:] == ["gdas-epochs=2-seed0"]
    assert {line["status"] for line in table(folder)} == {"done"}


def test_more_seeds_go_into_the_same_folder_other_settings_do_not(trials, tmp_path):
    folder, _ = ablated()
    (tmp_path / "small.toml").write_text(TEXT.replace("[0, 1]", "[0, 1, 2]"))
    ablated()
    assert len(trials.ran) == 12 == len(study.rows(folder))
    (tmp_path / "small.toml").write_text(TEXT.replace('"nasbench201"', '"nasbench201"\nlimit = 9'))
    with pytest.raises(run.RunError, match="row darts epochs=2, seed 0, of other settings"):
        ablated()


def test_data_and_spaces_are_not_mixed(trials, monkeypatch):
    monkeypatch.setattr(
        trial,
        "run",
        lambda settings, trainings, console: finished_runs.write(
            trials_folder() / "runs" / settings.place.name,
            seed=settings.seed, method=settings.method, epochs=settings.epochs,
            data=f"images of {settings.epochs}",
        ),
    )  # fmt: skip
    folder, printed = ablated()
    page = (folder / "report.html").read_text()
    assert "digits, nasbench201: groups" in page and "digits, nasbench201 (2): groups" in page
    assert "less" in printed and "epochs=4 less darts epochs=2" not in printed


def test_the_truth_needs_a_table_before_anything_is_run(trials, tmp_path):
    (tmp_path / "small.toml").write_text('by = "truth"\n' + TEXT)
    with pytest.raises(ValueError, match='by is "truth" but there is no table'):
        ablated()
    assert not trials.ran and not (tmp_path / "runs").exists()
