"""A row of an ablation as it is run, and `jaxnas verify` of it: the one real search of these."""

import io
import json
import re
import shutil
from types import SimpleNamespace

import jax
import pytest
import rich.console

from jaxnas import cli, run
from jaxnas.pipelines.ablation import ablate, ablation_file, finished_run, forecast, plan
from jaxnas.pipelines.ablation import verify as verify_pipeline
from jaxnas.pipelines.settings.ablation import AblateSettings
from jaxnas.run import step_runner

SPACE = """from jaxnas import space
SPACE = space.darts(1, ("none", "skip_connect"))
"""
TEXT = """
seeds = [3]
methods = ["mine"]
trainings = 2
[settings]
space = "SPACE"
limit = 60
epochs = 3
batch_size = 10
features = 2
cells = 1
reductions = []
random_cells = 0
save_every_steps = 4
[settings.retrain]
epochs = 1
features = 2
cells = 1
reductions = []
batch_size = 20
[method.mine]
method = "darts"
set.arch_weight_decay = 0.002
"""


@pytest.fixture(scope="module")
def unoptimised():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
        options = {"xla_backend_optimization_level": 0}
        patch.setattr(step_runner, "compiler_options", lambda: options)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory, unoptimised):
    """The folder of an ablation of one row."""
    home = tmp_path_factory.mktemp("ablation")
    (home / "small.py").write_text(SPACE)
    (home / "one.toml").write_text(TEXT.replace("SPACE", str(home / "small.py")))
    settings = AblateSettings(str(home / "one.toml"), out=str(home / "out"))
    return ablate.main(settings, rich.console.Console(file=io.StringIO()))


@pytest.fixture
def searched(folder):
    return folder / "runs" / "mine-seed3"


def verify(capsys, *words):
    code = cli.main(["verify", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_a_cell_is_trained_as_often_as_asked(folder, searched):
    finished = finished_run.read(searched)
    assert len(finished.accuracies) == 2
    seeds = [
        json.loads((searched / "retrain" / name / "settings.json").read_text())["seed"]
        for name in ("found", "found-1")
    ]
    assert seeds == [3, 100_006]
    (row,) = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    assert row["status"] == "done" and row["line"]["trainings"] == 2
    assert row["line"]["set.arch_weight_decay"] == 0.002


def test_steps_run_again_are_the_same_to_the_byte(searched, capsys):
    steps = sorted(int(path.name) for path in (searched / "checkpoints").glob("[0-9]*"))
    first, second = steps[-2:]
    code, text = verify(capsys, searched, "--steps", 9)
    assert code == 0, text
    assert f"steps {first + 1} to {second} were run again" in text
    assert re.search(r"the same to the byte: all \d+ arrays of the state", text)
    assert re.search(r"program    .*sha256", text)
    code, text = verify(capsys, searched, searched)
    assert code == 0 and "do not differ" in text


def test_a_metric_that_was_changed_is_found(searched, capsys, tmp_path):
    copy = shutil.copytree(searched, tmp_path / "copy")
    lines = (copy / "metrics.jsonl").read_text().splitlines()
    step = min(int(path.name) for path in (copy / "checkpoints").glob("[0-9]*")) + 1
    (index,) = [i for i, line in enumerate(lines) if f'"step": {step},' in line]
    changed = json.loads(lines[index]) | {"loss/train": 9.0}
    lines[index] = json.dumps(changed)
    (copy / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    code, text = verify(capsys, copy)
    assert code == 1 and f"DIFFERENT: loss/train of step {step} in metrics.jsonl (9.0 there" in text


def test_refuses_what_cannot_be_run_again(folder, searched, capsys, tmp_path):
    assert "is an ablation" in verify(capsys, folder)[1]
    assert "a given genotype was trained" in verify(capsys, searched / "retrain" / "found")[1]
    assert "Give one run" in verify(capsys, searched, searched, searched)[1]
    assert "--steps is 0" in verify(capsys, searched, "--steps", 0)[1]
    copy = shutil.copytree(searched, tmp_path / "copy")
    record = json.loads((copy / "settings.json").read_text())
    (copy / "settings.json").write_text(json.dumps(record | {"data": "other"}))
    code, text = verify(capsys, copy)
    assert code == 2 and "cannot be run again as it was: data" in text


@pytest.mark.parametrize(
    ("mode", "start", "wanted", "end"),
    # Epochs of 7 steps in chunks of 3, 3 and 1.
    [("step", 2, 5, 5), ("scan", 0, 2, 3), ("scan", 3, 7, 7), ("scan", 7, 9, 10)],
)
def test_a_chunk_that_is_one_program_is_run_as_a_whole(mode, start, wanted, end):
    search = SimpleNamespace(
        settings=SimpleNamespace(batch_size=2),
        dataset=SimpleNamespace(train=SimpleNamespace(labels=range(14))),
    )
    job = SimpleNamespace(execution=run.Execution(mode, 3))
    assert verify_pipeline.end_of(SimpleNamespace(search=search, job=job), start, wanted) == end


def test_a_few_steps_foretell_time_and_memory(folder, unoptimised):
    file = ablation_file.read(folder / "ablation.toml")
    (row,) = plan.rows(file, folder / "elsewhere")
    cost = forecast.measure(row.settings, 2, rich.console.Console(quiet=True))
    assert cost.search_s > 0 and cost.retrain_s > 0
    assert 1e4 < cost.bytes < 1e9
    assert forecast.memory_text(cost).endswith("MiB")
    assert not (folder / "elsewhere").exists()
