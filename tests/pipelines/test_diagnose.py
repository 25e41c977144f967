"""`jaxnas diagnose`: a run measured from its folder alone, and folders that are none."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import cli, run
from jaxnas.pipelines import diagnose, search, search_stages, setup
from jaxnas.pipelines.settings import DataSettings, Recipe, SearchSettings
from jaxnas.pipelines.settings import search as searches
from jaxnas.pipelines.settings.diagnose import DiagnoseSettings
from jaxnas.run import checkpoint, step_runner
from jaxnas.spaces import registry

RUN = SearchSettings(DataSettings(limit=120), epochs=2, batch_size=10, features=2, cells=1)
# What is quick to compile.
SPACE = """from jaxnas import space
SPACE = space.darts(1, ("none", "skip_connect"))
"""


@pytest.fixture
def folder(searched, tmp_path, monkeypatch):
    """A copy of a run folder, measured by programs that are compiled without optimisation."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
    monkeypatch.setattr(
        step_runner, "compiler_options", lambda: {"xla_backend_optimization_level": 0}
    )
    return shutil.copytree(searched, tmp_path / "run")


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A run folder as `jaxnas search` leaves it: its record and a checkpoint."""
    tmp_path = tmp_path_factory.mktemp("runs")
    (tmp_path / "small.py").write_text(SPACE)
    run_settings = dataclasses.replace(RUN, space=str(tmp_path / "small.py"), reductions=())
    space = registry.get(run_settings.space)
    settings = searches.resolved(run_settings, space)
    of_method = {f"set.{k}": v for k, v in search_stages.method_settings(settings).items()}
    settings = dataclasses.replace(
        settings, learning_rate=of_method["set.learning_rate"], retrain=Recipe(epochs=1)
    )
    dataset = setup.load(settings.source, settings.train_fraction, settings.split_seed)
    recorded = search.fingerprinted(settings) | {"space_sha256": space.digest} | of_method
    record = run.record(recorded, run.execution(6), dataset.digest)
    with run.claim(tmp_path / "run", record) as folder:
        pass
    task = search_stages.SearchTask(settings, space, dataset)
    stage = next(search_stages.plan(task).program)
    method = stage.method(search_stages.supernet(task, stage), epochs=2, steps_per_epoch=6)
    state = run.first_state(method.init, jax.random.key(5), jnp.zeros((1, 8, 8, 1)))
    with checkpoint.open_store(folder / "checkpoints", run.fingerprint(record)) as store:
        store.save(3, state._replace(step=jnp.int32(3)))
    return folder


def test_measures_a_run_from_its_folder_alone(folder, capsys):
    diagnose.main(DiagnoseSettings(str(folder), batches=1, json=True))
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((folder / "diagnostics.json").read_text())
    assert (printed["stage"], printed["step"], printed["steps"]) == ("search", 3, 12)
    assert len(printed["arch"]["spectrum"]) == 8
    assert printed["arch"]["spectrum"] == sorted(printed["arch"]["spectrum"])
    assert printed["arch"]["largest"] == printed["arch"]["spectrum"][-1]
    assert printed["gates"]["entropy"] == pytest.approx(np.log(2), abs=1e-4)
    assert printed["discretisation"]["gap"] == pytest.approx(
        printed["discretisation"]["supernet"] - printed["discretisation"]["discrete"]
    )
    assert set(printed["hypergradients"]["implicit"]) == {"exact | finite difference"}
    assert all(abs(value) <= 1 + 1e-5 for value in printed["hypergradients"]["total"].values())
    lines = diagnose.table(printed).splitlines()
    assert lines[0].endswith("after step 3 of 12; 1 batches of 10, by batch statistics")
    assert any(line.startswith("arch Hessian") and "(exact)" in line for line in lines)


def refused(capsys, *words):
    code = cli.main(["diagnose", *words])
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    return err


def test_refuses_what_is_no_search(folder, tmp_path, capsys):
    assert "No run folder at" in refused(capsys, str(tmp_path / "nothing"))
    assert "holds no settings.json" in refused(capsys, str(tmp_path))
    (tmp_path / "settings.json").write_text('{"settings": {"genotype": "DARTS_V2"}}')
    assert "a given genotype was trained" in refused(capsys, str(tmp_path))
    assert "--batches is 0" in refused(capsys, str(folder), "--batches", "0")
    assert "--radius is 0.0" in refused(capsys, str(folder), "--radius", "0")
    assert "--batches is 9" in refused(capsys, str(folder), "--batches", "9")


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"unheard_of": 1}, "another version of jaxnas, with other settings (unheard_of)"),
        ({"set.weight_decay": 7.0}, "other settings"),  # as of --set, not of these checkpoints
        ({"set.unheard_of": 7.0}, "other settings (set.unheard_of)"),
        ({"limit": 100}, "The data set digits is not the one"),
        ({"space_sha256": "0"}, "small.py is not the one"),
        ({"seed": 1}, "other settings"),
        ({"epochs": "many"}, "are damaged"),
    ],
)
def test_refuses_a_record_that_is_not_of_these_checkpoints(folder, capsys, change, cause):
    path = folder / "settings.json"
    record = json.loads(path.read_text())
    record["settings"] |= change
    path.write_text(json.dumps(record))
    assert cause in refused(capsys, str(folder))


def test_refuses_a_run_without_a_checkpoint(folder, capsys):
    (folder / "checkpoints").rename(folder / "elsewhere")
    assert "There are no checkpoints" in refused(capsys, str(folder))
