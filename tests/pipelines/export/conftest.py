"""A tiny network of the digits, trained and exported once."""

import io
import json

import jax
import pytest
import rich.console

from jaxnas.pipelines import retrain
from jaxnas.pipelines.export import export, trained
from jaxnas.pipelines.settings import DataSettings, Recipe, RetrainSettings, RunSettings
from jaxnas.pipelines.settings.export import ExportSettings
from tests import standalone_toys


def console():
    return rich.console.Console(file=io.StringIO(), width=200)


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The folder of a training of one epoch."""
    from jaxnas.spaces import genotype

    settings = RetrainSettings(
        genotype.to_json(standalone_toys.CELL),
        source=DataSettings(limit=100),
        recipe=Recipe(epochs=1, batch_size=20, features=4, cells=1),
        place=RunSettings(out=str(tmp_path_factory.mktemp("runs")), name="tiny"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
        return retrain.main(settings, console())


@pytest.fixture(scope="session")
def network(run):
    """It, loaded again."""
    return trained.load(str(run))


@pytest.fixture(scope="session")
def exported(run):
    """(the folder of its exports to every format that is installed, the run's summary then)."""
    names = ["stablehlo"]
    for name, package in (("flax", "safetensors"), ("onnx", "onnxruntime")):
        try:
            __import__(package)
            names.append(name)
        except ImportError:
            pass
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
        folder = export.main(ExportSettings(str(run), tuple(names)), console())
    return folder, json.loads((run / "summary.json").read_text())
