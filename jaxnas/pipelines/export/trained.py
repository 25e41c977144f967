"""The trained network of a run, built again: its functions, weights, data and figures."""

import dataclasses
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnas import data, run
from jaxnas.core.types import Network, Stats, Weights
from jaxnas.evaluators import training
from jaxnas.pipelines import genotypes, narrow, retrain, setup
from jaxnas.pipelines.export import record as records
from jaxnas.pipelines.export.record import NetworkRecord
from jaxnas.pipelines.settings import DataSettings, Recipe
from jaxnas.run import checkpoint
from jaxnas.spaces import genotype as genotype_text
from jaxnas.spaces import registry
from jaxnas.spaces.genotype import Genotype, GenotypeError

FOUND = Path("retrain") / "found"  # the folder of the network that a search found


class TrainedNetwork(NamedTuple):
    run: Path  # the run's folder
    folder: Path  # that of its training, in it
    net: Network
    weights: Weights
    stats: Stats
    record: NetworkRecord
    genotype: Genotype
    recipe: Recipe
    settings: Mapping[str, Any]  # of the training's settings.json
    result: Mapping[str, Any]  # its result.json
    summary: Mapping[str, Any]  # the run's


def locate(text: str) -> tuple[Path, Path]:
    """(the run's folder, that of the training in it) of a run, or of the genotype.json in one.

    Raises RunError for anything else, with what to do.
    """
    path = Path(text).expanduser()
    root = path.parent if path.name == "genotype.json" and path.is_file() else path
    retrain_command = f"jaxnas retrain {shlex.quote(text)}"
    is_genotype = path.is_file() or genotypes.SIGNS.search(text) or text in registry.published()
    if not root.is_dir() and not is_genotype:
        raise run.RunError(
            f"{text} does not exist: give the folder of a finished `jaxnas search`, `retrain` or "
            "`narrow`."
        )
    if not root.is_dir():
        raise run.RunError(
            f"{text!r} is no run's folder, and a genotype alone has no weights: train it with "
            f"`{retrain_command}`, then export that run."
        )
    folder = next((root / name for name in (FOUND, narrow.TUNED) if (root / name).exists()), root)
    if not (folder / retrain.RESULT).exists() or not (root / records.SUMMARY).exists():
        if root != path and not (folder / run.run_folder.SETTINGS).exists():
            raise run.RunError(
                f"{text} has no trained weights beside it: train it with `{retrain_command}`, then "
                "export that run."
            )
        raise run.RunError(
            f"{root} has no trained network: give the folder of a finished `jaxnas search`, "
            "`retrain` or `narrow`, or run its command again to finish it."
        )
    return root, folder


def load(text: str) -> TrainedNetwork:
    """The trained network of a run. Raises RunError, GenotypeError and CheckpointError."""
    root, folder = locate(text)
    record = records.read(folder)
    summary, result = _json(root / records.SUMMARY), _json(folder / retrain.RESULT)
    settings = _json(folder / run.run_folder.SETTINGS).get("settings", {})
    try:
        names = [field.name for field in dataclasses.fields(Recipe)]
        recipe = Recipe(**{name: _tupled(settings[name]) for name in names})
        genotype = genotype_text.from_json(json.dumps(settings["genotype"]))
        hyperparameters = training.Hyperparameters(
            **{name: getattr(recipe, name) for name in training.Hyperparameters._fields}
        )
    except GenotypeError:
        raise
    except (KeyError, TypeError) as error:
        raise run.RunError(
            f"{folder / run.run_folder.SETTINGS} lacks {error}: train the network again."
        ) from error
    net = _network(record, genotype, recipe, settings.get("space_sha256"))
    trainer = training.trainer(net, hyperparameters, steps_per_epoch=1)
    image = jnp.zeros((1, *record.image), jnp.float32)
    template = run.first_state(trainer.init, jax.random.key(0), image)
    state, _ = checkpoint.read(folder / "checkpoints", template)
    weights, stats = trainer.tested(state), state.stats
    return TrainedNetwork(
        root, folder, net, weights, stats, record, genotype, recipe, settings, result, summary
    )


def _network(
    record: NetworkRecord, genotype: Genotype, recipe: Recipe, space_sha256: str | None
) -> Network:
    is_file = registry.is_file(record.space)
    space = registry.get(record.space) if is_file else registry.of_genotype(genotype)
    if space.digest != space_sha256:
        raise run.RunError(
            f"{record.space} is not the file that the network was trained with: restore it."
        )
    if record.pruned is not None:
        prunable = space.prunable(genotype, recipe, record.image, len(record.class_names))
        return prunable.network(prunable.from_text(record.pruned))
    return retrain.network_of(space, genotype, recipe, len(record.class_names))


def test_data(trained: TrainedNetwork, source: Mapping[str, Any]) -> data.DataSet:
    """The data set whose test images the network was tested on, normalised as in its training.

    `source`: flags of `DataSettings` in place of the run's. Raises RunError for other images, and
    DataError.
    """
    record = trained.record
    if record.data is None and not source:
        raise run.RunError(
            "The network was trained from Python, so that its test images are not known: say with "
            "--data where they lie."
        )
    settings = DataSettings(**{**(record.data or {}), **source})
    try:
        dataset = setup.load(settings)
    except data.AbsentClassError:  # by index, few images may lack one
        dataset = setup.load(settings, split_seed=0)
    if records.digest(dataset.test) != record.test_sha256:
        raise run.RunError(
            f"The test images of {settings.data} are not those that {trained.run} was tested on: "
            "say with --data and --data-dir where those lie."
        )
    return dataset._replace(mean=record.mean, std=record.std)


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _json(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(table, dict):
            raise ValueError("it is no JSON object")
        return table
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise run.RunError(
            f"Cannot read {path} ({reason}): run the command that wrote it again."
        ) from error
