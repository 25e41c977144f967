"""The ranking study: supernets judged by the truth of NAS-Bench-201, at points of a schedule."""

import dataclasses
import io
import json
import types
from pathlib import Path

import numpy as np
import pytest
import rich.console

from experiments import ranking, ranking_figures
from jaxnas import run
from jaxnas.evaluators import nasbench201 as benchmark
from jaxnas.pipelines import search_stages
from jaxnas.spaces import genome, registry
from tests import paths

SPACE = registry.get("nasbench201")
TABLE = paths.SHARED / "nasbench" / "nb201.npz"
pytestmark = pytest.mark.skipif(not TABLE.exists(), reason=f"no table of NAS-Bench-201: {TABLE}")


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(ranking_figures, "DRAWS", 20)


@pytest.fixture(scope="module")
def truth():
    return benchmark.load(TABLE)


class Supernet:
    """In place of `search_stages.execute`: after every stage it knows the truth a little better."""

    def __init__(self, truth):
        self.truth, self.asked, self.stages = truth, [], []

    def __call__(self, task, program, augment, job):
        (job.folder / "metrics.jsonl").write_text('{"step": 1, "time/step_ms": 1500.0}\n')
        stage, noise = next(program), np.random.default_rng(task.settings.seed)
        try:
            while True:
                self.stages.append(stage)
                spread = 20.0 / len(self.stages)
                stage = program.send(self.result(spread, noise))
        except StopIteration as stop:
            return stop.value, None, None

    def result(self, spread, noise):
        def evaluate(gates, batches):
            self.asked.append((len(gates["cell"]), batches))
            rows = self.truth.row_of[genome.index(SPACE.choices, gates["cell"].argmax(-1))]
            accuracy = self.truth.test[0, -1, rows] / 100
            loss = -100 * accuracy + spread * noise.normal(size=len(rows))
            return accuracy, loss

        return types.SimpleNamespace(state=None, gates={}, evaluate=evaluate)


def settings(folder, **changes):
    small = ranking.Settings(
        seeds=(3, 4), data="digits", table=str(TABLE), limit=60, image_size=8, features=2,
        epochs=4, warm_up=1, batch_size=20, points=2, sample=30, images=40, point_images=20,
        evaluations=0, out=str(folder),
    )  # fmt: skip
    return dataclasses.replace(small, **changes)


def console():
    return rich.console.Console(file=io.StringIO(), width=200)


@pytest.fixture
def supernet(monkeypatch, truth):
    made = Supernet(truth)
    monkeypatch.setattr(search_stages, "execute", made)
    return made


def rows_of(folder):
    return [json.loads(line) for line in Path(folder, "rows.jsonl").read_text().splitlines()]


def test_a_study_judges_the_cells_at_every_point_and_is_never_run_twice(tmp_path, supernet):
    to = console()
    ranking.main(settings(tmp_path), to)
    # 20 of 60 images a batch: one batch at the first point, two at the end, for each seed.
    assert supernet.asked == [(30, 1), (30, 2)] * 2
    assert [stage.epochs for stage in supernet.stages] == [2] * 4
    rows = rows_of(tmp_path)
    assert [(row["method"], row["seed"]) for row in rows] == [("uniform", 3), ("uniform", 4)]
    for row in rows:
        assert [point["step"] for point in row["points"]] == [6, 12]
        assert row["points"][-1]["accuracy"]["all"] == pytest.approx(1)
        assert row["search_s"] == 1.5
    markdown = (tmp_path / "study.md").read_text()
    for text in ("| uniform: loss |", "| parameters |", "12 epochs, validation", "--seeds 3 4"):
        assert text in markdown
    page = (tmp_path / "study.html").read_text()
    assert "<svg" in page and "<script" not in page
    assert (tmp_path / "tau.svg").exists()
    assert "ETA" in to.file.getvalue()
    ranking.main(settings(tmp_path, seeds=(3, 4, 5)), console())
    assert len(supernet.asked) == 6
    assert rows_of(tmp_path)[:2] == rows


def test_scores_that_were_written_are_not_made_again(tmp_path, supernet):
    ranking.main(settings(tmp_path, seeds=(3,)), console())
    first = rows_of(tmp_path)[0]
    (tmp_path / "rows.jsonl").unlink()
    ranking.main(settings(tmp_path, seeds=(3,)), console())
    assert len(supernet.asked) == 2
    again = rows_of(tmp_path)[0]
    assert again == first | {"wall_s": None, "cpu_s": None}


def test_a_cell_is_evolved_with_the_weights_of_the_end(tmp_path, supernet, truth):
    ranking.main(settings(tmp_path, seeds=(3,), evaluations=24), console())
    # Populations of six, asked for at once, then tens.
    assert supernet.asked == [(30, 1), (30, 2), (6, 1), (10, 1), (8, 1)]
    found = rows_of(tmp_path)[0]["evolved"]
    entry = benchmark.query(truth, found["arch"])
    assert (found["test"], found["rank"]) == entry.sets["cifar10"][3:5]
    assert "| uniform: evolved by loss, of all cells |" in (tmp_path / "study.md").read_text()
    (tmp_path / "rows.jsonl").unlink()
    ranking.main(settings(tmp_path, seeds=(3,), evaluations=24), console())
    assert len(supernet.asked) == 5
    assert rows_of(tmp_path)[0]["evolved"] == found


def test_refuses_rows_of_other_settings(tmp_path, supernet):
    ranking.main(settings(tmp_path), console())
    with pytest.raises(run.RunError, match="learning_rate"):
        ranking.main(settings(tmp_path, learning_rate=0.2), console())


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"sampling": ("even",)}, "uniform or fair, not 'even'"),
        ({"sampling": ("fair", "fair")}, "each once"),
        ({"points": 3}, "--points is 3"),
        ({"point_images": 50}, "--point-images is 50"),
        ({"images": 700}, "--images is 700"),
        ({"images": 80}, "80 images cannot judge: the validation half has 60"),
        ({"warm_up": 4}, "warm-up of 4"),
        ({"sample": 1}, "--sample is 1"),
        ({"evaluations": -1}, "--evaluations is -1"),
        ({"zero_cost": "absent.csv"}, "absent.csv is no table"),
    ],
)
def test_impossible_settings_are_refused_before_anything_is_written(tmp_path, change, cause):
    with pytest.raises(ValueError, match=cause):
        ranking.main(settings(tmp_path / "out", **change), console())
    assert not (tmp_path / "out").exists()


def test_baselines_are_those_of_the_sample(truth):
    cells = ranking_figures.sample(SPACE, truth, 300, 0, {})
    assert len(np.unique(cells.genomes, axis=0)) == 300
    largest = cells.baselines["parameters"].argmax()
    convolutions = (cells.genomes == 3).sum(1)
    assert convolutions[largest] == convolutions.max()
    # By definition of the sample's truth and connectedness.
    assert cells.truth[~cells.connected].max() < cells.truth[cells.connected].mean()
    levels = ranking_figures.levels(cells)
    assert 0.45 < levels["parameters"] < 0.7 and 0.4 < levels["12 epochs"] < 0.7


def test_a_supernet_that_knows_the_truth_has_every_figure_at_its_best(truth):
    cells = ranking_figures.sample(SPACE, truth, 100, 0, {})
    known = ranking_figures.Scores(10, cells.truth / 100, -cells.truth)
    found = ranking_figures.figures(cells, [known])
    assert list(found["points"][0]["loss"].values()) == pytest.approx([1] * 4)
    assert found["choice"]["loss"] == cells.truth.max()
    assert found["gain"]["low"] > 0 and found["gain"]["share_not_above"] == 0
    row = {"method": "uniform", "seed": 0, **found}
    text = ranking_figures.reading(
        [row, row | {"seed": 1}], {("uniform", seed): known for seed in (0, 1)}
    )
    assert text == [
        "uniform: tau by loss 1.000 ± 0.000 over 2 seeds; loss + parameters is above parameters "
        f"alone in 2 of 2, by {found['gain']['mean']:.3f} ± 0.000; two seeds agree at tau 1.00."
    ]


def test_a_score_with_gaps_is_judged_where_it_is_known(truth):
    scores = np.full(15625, np.nan)
    known = ranking_figures.sample(SPACE, truth, 40, 0, {})
    rows = truth.row_of[genome.index(SPACE.choices, known.genomes[:10])]
    scores[rows] = truth.test[0, -1, rows]
    cells = ranking_figures.sample(SPACE, truth, 40, 0, {"nwot": scores})
    end = ranking_figures.Scores(1, cells.truth, -cells.truth)
    made = ranking_figures.scores_table(
        cells, [{"method": "uniform", "seed": 0, **ranking_figures.figures(cells, [end])}]
    )
    (line,) = (line for line in made.rows if line[0] == "nwot")
    assert line[1:3] == ("10", "1.000")
