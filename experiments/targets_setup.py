"""What the rows of the study of targets share: its settings, checked, and what they name."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import rich.console

from experiments.targets_report import FREE
from jaxnas import data
from jaxnas.core.types import Constraint
from jaxnas.evaluators import tabular
from jaxnas.hardware import cost, device
from jaxnas.hardware.measure import dataset
from jaxnas.hardware.measure.dataset import CampaignDataset
from jaxnas.methods import registry as methods
from jaxnas.pipelines import constraints, setup
from jaxnas.pipelines import genotypes as named_genotypes
from jaxnas.pipelines.settings import DataSettings, Recipe, SearchSettings
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.pipelines.settings.limits import fail, require
from jaxnas.run import compilation_cache
from jaxnas.spaces.genotype import Genotype

NONE = "none"


@dataclasses.dataclass(frozen=True)
class Settings:
    latency: str = ""
    """The folder of a campaign."""
    targets_ms: tuple[float, ...] = ()
    """Milliseconds, one search a seed each."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of all that is random in a row."""
    data: str = "digits"
    """The images, of the size that the campaign timed."""
    data_dir: str | None = None
    """Where prepared TFDS sets lie."""
    limit: int | None = None
    """The first N training images and N // 5 test images."""
    image_size: int | None = None
    """Scales every image to this many pixels a side."""
    method: str = "gdas"
    """How it is searched."""
    set: tuple[str, ...] = ()
    """Settings of the method, as `name=value`."""
    epochs: int | None = None
    """Of the search."""
    features: int | None = None
    """Channels of the search network."""
    batch_size: int = 64
    """Images a step of the search, of either half."""
    retrain: Recipe = Recipe()
    """How every network is trained in the end; its size is that of the campaign."""
    once: bool = False
    """Search once a seed, without a target, and select for every target from its gates and shared
    weights; else once a target, whose milliseconds are then in the loss."""
    confirm: bool = True
    """Let each search measure its candidates, too; without, the model decides and only the run in
    the end measures."""
    random: int = 0
    """Random networks a target and seed that are predicted to be within 5 % below the target."""
    scaled: str = FREE
    """The network that is trained as wide as each target allows: a genotype or its file, or `free`:
    of a search without a target, or `none`."""
    judge: Literal["training", "table"] = "training"
    """How networks are judged: each is trained, or, with --once and --scaled none, looked up."""
    table: str | None = None
    """A table of the space's networks (docs/oracle.md), for their true accuracies beside those of
    this study."""
    out: str = "runs/targets"
    """The study's folder."""


class StudyTask(NamedTuple):
    """What all rows share."""

    settings: Settings
    campaign: CampaignDataset
    limits: Mapping[float, Constraint]  # by milliseconds
    to_scale: Genotype | None  # None: what the search without a target found
    truth: Callable[[Genotype], float] | None  # test accuracy in %; None: no table
    images: data.DataSet
    recipe: Recipe  # resolved, at the campaign's size
    folder: Path
    console: rich.console.Console


def resolve(settings: Settings, console: rich.console.Console) -> StudyTask:
    """The task of the settings. Raises ValueError for impossible ones; writes nothing."""
    if not settings.targets_ms or len(set(settings.targets_ms)) < len(settings.targets_ms):
        fail("--targets-ms names one target or more, each once.")
    if not settings.seeds or len(set(settings.seeds)) < len(settings.seeds):
        fail(f"--seeds says {list(settings.seeds)}: give one or more, each once.")
    for ms in settings.targets_ms:
        require("--targets-ms", ms, above=0)
    require("--random", settings.random, minimum=0)
    if settings.judge == "table":
        if not (settings.table and settings.once and settings.scaled == NONE):
            fail("--judge table needs --table, --once and --scaled none: no network is trained.")
        if settings.retrain != Recipe():
            fail("--retrain has no effect with --judge table: leave it out.")
    campaign = dataset.load(Path(settings.latency))
    if campaign.settings.get("threads") is not None:
        # Before JAX opens its devices: rows without a target are timed as the campaign was, too.
        device.pin(campaign.settings["threads"])
    latency = cost.predicted(campaign.space, dataset.fit_predictor(campaign))
    limits = {ms: cost.check(Constraint(latency, ms)) for ms in settings.targets_ms}
    method = methods.get(settings.method)
    if "constraints" not in method.accepts or not methods.fits(method, campaign.space):
        name = campaign.space.name
        fail(f"--method {settings.method} searches {name} to no target: take another.")
    compilation_cache.enable()
    searched = search_settings(settings, campaign, settings.seeds[0])
    images = setup.load(searched.source, searched.train_fraction, searched.split_seed)
    shape = images.train.inputs.shape[1:]
    recipe = recipes.resolved(searched.retrain, campaign.space, shape, "retrain.")
    to_scale = None
    if settings.scaled not in (FREE, NONE):
        to_scale = named_genotypes.named(settings.scaled)[0]
    truth = _table(settings, campaign)
    folder = Path(settings.out).expanduser()
    return StudyTask(settings, campaign, limits, to_scale, truth, images, recipe, folder, console)


def _table(settings: Settings, campaign: CampaignDataset) -> Callable[[Genotype], float] | None:
    """Test accuracy in % of a network after 200 epochs; None without a table."""
    if settings.table is None:
        return None
    benchmark = tabular.of(campaign.space)
    table = benchmark.load(benchmark.locate(settings.table))
    return lambda genotype: next(iter(benchmark.query(table, genotype).sets.values())).test_200


def search_settings(
    settings: Settings, campaign: CampaignDataset, seed: int, **more: Any
) -> SearchSettings:
    """A search whose network is retrained at the size that the campaign timed."""
    predictors = constraints.Predictors(campaign, None)
    # A genotype of a space that its cells shape says them by itself, and they are the search's.
    searched = {"cells": campaign.size.cells} if campaign.space.shaped_by_cells else {}
    source = DataSettings(settings.data, settings.data_dir, settings.limit, settings.image_size)
    return SearchSettings(
        source=source,
        space=campaign.settings["space"],
        method=settings.method,
        set=settings.set,
        epochs=settings.epochs,
        features=settings.features,
        batch_size=settings.batch_size,
        seed=seed,
        random_cells=0,
        retrain=constraints.recipe(predictors, settings.retrain),
        **searched,
        **more,
    )
