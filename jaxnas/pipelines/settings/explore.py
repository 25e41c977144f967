"""The settings of `jaxnas explore`."""

import dataclasses
from typing import Annotated

import tyro.conf

from jaxnas.pipelines.settings import common
from jaxnas.pipelines.settings.common import DataSettings
from jaxnas.pipelines.settings.limits import fail, require
from jaxnas.pipelines.settings.recipe import Recipe

# Quick enough to be repeated: `--training.*` says otherwise.
SHORT = Recipe(epochs=3)


@dataclasses.dataclass(frozen=True)
class ExploreSettings:
    source: Annotated[DataSettings, tyro.conf.arg(name="")] = DataSettings()
    train_fraction: float = 0.8
    """Share of the training images that networks are trained with; the others validate."""
    space: str = "nasbench201"
    """The search space; `jaxnas spaces` lists all; or a file `*.py` of your own."""
    cells: int | None = None
    """Of spaces whose networks it shapes: the most layers a stage (mobile), layers (hypercuboid).
    """
    strategy: str = "regularised-evolution"
    """The search strategy; `jaxnas strategies` lists all, with their settings."""
    set: tuple[str, ...] = ()
    """Settings of the strategy, as `name=value`."""
    evaluate: str = "training"
    """What evaluates a network: `training` (a short one), `scores` (without training: those that
    --goal names), `table` (a tabular benchmark), or `supernet:RUN`, the shared weights of a
    finished `jaxnas search`."""
    goal: tuple[str, ...] = ()
    """Goals: `max:FIGURE`, `min:FIGURE`, with a limit `min:latency_ms<=8`, or a limit alone,
    `parameters<=3e5`. By default the evaluator's accuracy."""
    latency: str | None = None
    """A model of `jaxnas latency fit`, or a campaign's folder: adds the figure latency_ms."""
    vary: tuple[str, ...] = ()
    """Settings of the training that are searched with the network: `learning_rate=0.03,0.1
    epochs=2,4`."""
    evaluations: int = 40
    """The budget: different designs that are evaluated."""
    seconds: float | None = None
    """The budget in seconds of evaluations, over all sessions."""
    seed: int = 0
    """Of the strategy and of the evaluations."""
    workers: int = 0
    """Processes that evaluate side by side; 0: this process alone."""
    cluster: str | None = None
    """The address of a Ray cluster that evaluates, a design a processor; `local`: one started here.
    Data and tables must lie at the same paths on all machines."""
    time_limit_s: float | None = None
    """The most seconds of an evaluation in a worker, after which it counts as failed."""
    random_designs: int | None = None
    """Random designs that are evaluated for comparison; by default as many as --evaluations where
    they cost next to nothing (a table, shared weights), else none."""
    from_run: str | None = None
    """Another exploration of the same designs and figures, told first and not charged."""
    retry_failed: bool = False
    """Evaluate designs again that failed."""
    table: str | None = None
    """The file of the tabular benchmark (docs/oracle.md); by default the one that
    JAXNAS_NASBENCH201 names."""
    training: Recipe = SHORT
    """Of --evaluate training."""
    out: str = "runs"
    """The folder of all runs."""
    name: str | None = None
    """The run's folder in it; by default named after the settings."""
    resume: bool = False
    """Resume an existing run; an error if there is none. (The same command resumes it, too.)"""


def check(settings: ExploreSettings) -> None:
    """Raises ValueError for settings that are invalid, or without effect, for any space."""
    require("--evaluations", settings.evaluations, minimum=1)
    require("--seconds", settings.seconds, above=0)
    require("--seed", settings.seed, minimum=0, below=2**32)
    require("--workers", settings.workers, minimum=0)
    require("--time-limit-s", settings.time_limit_s, above=0)
    require("--random-designs", settings.random_designs, minimum=0)
    require("--train-fraction", settings.train_fraction, above=0, below=1)
    common.check_name(settings.name)
    kind, _, run = settings.evaluate.partition(":")
    if kind not in ("training", "scores", "table", "supernet") or (kind == "supernet") != bool(run):
        fail(
            f"--evaluate is {settings.evaluate!r}: give training, scores, table, or supernet:RUN "
            "with the folder of a search."
        )
    if settings.time_limit_s is not None and not settings.workers:
        fail("--time-limit-s has no effect without --workers: give both, or leave it out.")
    if settings.cluster is not None and settings.workers:
        fail("--workers and --cluster both say where designs are evaluated: give one of them.")
    trains = kind in ("training", "scores")  # whether networks have a recipe and images
    unused = {
        "vary": kind != "training", "training": not trains, "table": kind != "table",
        "train_fraction": not trains, "source": not trains,
    }  # fmt: skip
    defaults = ExploreSettings()
    for field, is_unused in unused.items():
        if is_unused and getattr(settings, field) != getattr(defaults, field):
            flag = {"source": "data", "training": "training.*"}.get(field, field)
            fail(f"--{flag.replace('_', '-')} has no effect on --evaluate {kind}: leave it out.")
