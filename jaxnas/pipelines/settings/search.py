"""What `jaxnas search` can be told."""

import dataclasses
from typing import Annotated, Any, Literal

import tyro.conf

from jaxnas.pipelines.settings import common
from jaxnas.pipelines.settings.common import RunSettings
from jaxnas.pipelines.settings.limits import refuse, require
from jaxnas.pipelines.settings.recipe import Recipe
from jaxnas.pipelines.settings.sources import DataSettings

QUICK: dict[str, Any] = {"features": 4}
# DARTS, section 3.1 and quark0/darts cnn/train_search.py.
PAPER: dict[str, Any] = {"features": 16}
CELLS = {
    "quick": {"darts": 3, "nasbench201": 1, "mobile": 1, "grid": 4},
    "paper": {"darts": 8, "nasbench201": 5, "mobile": 4},
}
# The mobile spaces, with the channels of their papers' stems.
STEMS = {"mobile-proxyless": 32, "mobile-fbnet": 16, "mobile-single-path": 32}
QUICK_STEM = 8


@dataclasses.dataclass(frozen=True)
class SearchSettings:
    source: Annotated[DataSettings, tyro.conf.arg(name="")] = DataSettings()
    train_fraction: float = 0.5
    """Share of the training images that the weights learn from; the rest is the architecture's."""
    split_seed: int | None = None
    """Divides the two at random instead of by index."""
    space: str = "darts"
    """What may be found: darts, darts-no-none, darts-s1 to darts-s4, darts-sharp, nasbench201,
    mobile-proxyless, mobile-fbnet, mobile-single-path, hypercuboid, or a file `*.py` of your own
    (docs/extending.md)."""
    method: str = "darts"
    """How it is searched; `jaxnas methods` lists all, with their settings."""
    set: tuple[str, ...] = ()
    """Settings of the method, as `name=value`."""
    select: Literal["strongest", "perturbation"] = "strongest"
    """What is taken of what was learned: the strongest gates, or the candidates whose removal
    hurts most (DARTS-PT, with the settings `interval` and `criterion`)."""
    order: Literal["first", "exact", "finite-difference"] | None = None
    """The gradient of the architecture, for methods that leave it open: first order (the default),
    or through one step of the weights, exactly or as in DARTS's code."""
    preset: Literal["quick", "paper"] = "quick"
    """`quick` for a CPU; `paper`: C=16, 8 cells and the method's own settings.
    The preset decides whatever is not given."""
    epochs: int | None = None
    """Passes over the training half, in each stage of the method."""
    batch_size: int = 64
    """Images a step, of either half."""
    features: int | None = None
    """Channels of the first cells (for mobile spaces: of the stem, a multiple of 4; for the
    hypercuboid: of its narrowest width)."""
    cells: int | None = None
    """Cells of the search network (for NAS-Bench-201: cells a stage; for mobile spaces: the most
    layers a stage; for the hypercuboid: layers)."""
    reductions: tuple[int, ...] | None = None
    """Which cells halve the image, by number; by default those at a third and two thirds."""
    learning_rate: float | None = None
    """Of the weights, at the start."""
    arch_learning_rate: float | None = None
    """Of the architecture."""
    statistics: Literal["batch", "running", "recalibrated"] = "batch"
    """By which statistics batch normalisation works where the search network is validated."""
    remat: bool = True
    """Recompute in the backward pass what would not fit in memory; same result."""
    seed: int = 0
    """Of all that is random."""
    random_cells: int = 3
    """How many random cells are trained for comparison."""
    table: str | None = None
    """The scores of NAS-Bench-201 (docs/oracle.md), to say what a found cell is really worth; by
    default the file that JAXNAS_NASBENCH201 names."""
    target_ms: float | None = None
    """Milliseconds that the found network may take; measured in the end (docs/target.md)."""
    target_macs: float | None = None
    """Multiply-accumulates that it may do for one image."""
    target_parameters: float | None = None
    """Parameters that it may have."""
    target_models: tuple[str, ...] = ()
    """FILE=MOST: models that `jaxnas latency fit` made, and the most that each may predict: another
    device's milliseconds, energy, memory."""
    latency: str | None = None
    """The folder of the campaign that --target-ms goes by: see `jaxnas latency measure`."""
    latency_weight: float | None = None
    """The fixed weight of the latency in the loss, in the place of one that adapts to --target-ms;
    without that, nothing holds the found network, and it is measured."""
    latency_form: (
        Literal[
            "add-linear",
            "one-sided",
            "absolute",
            "mul-log",
            "fbnet",
            "proxyless",
            "mnasnet",
            "tunas",
        ]
        | None
    ) = None
    """How the latency enters the loss with --latency-weight (docs/target.md), add-linear unless
    told; the last three are rewards, for proxyless-reinforce."""
    risk: float | None = None
    """How many half-widths of the predicted interval lie below --target-ms; 0 unless told."""
    any_device: bool = False
    """The campaign may be of another device; the found network is then not measured."""
    retrain: Recipe = Recipe()
    """How the found cell and the random ones are trained at the end."""
    place: Annotated[RunSettings, tyro.conf.arg(name="")] = RunSettings()


def family(space: str) -> str:
    """Whose networks a space is for: `darts`, `nasbench201`, `mobile` or `grid`."""
    if space in STEMS:
        return "mobile"
    if space == "hypercuboid":
        return "grid"
    return "nasbench201" if space == "nasbench201" else "darts"


def resolved(settings: SearchSettings) -> SearchSettings:
    """`settings` with nothing left open but what the data decide.

    Raises ValueError for a value that is impossible or has no effect.
    """
    kind = family(settings.space)
    if kind not in CELLS[settings.preset]:
        refuse(
            f"--preset {settings.preset} has no sizes for the space {settings.space}: use 'quick' "
            "and say what shall differ."
        )
    preset = PAPER if settings.preset == "paper" else QUICK
    defaults = preset | {"cells": CELLS[settings.preset][kind]}
    if kind == "mobile":
        paper = settings.preset == "paper"
        defaults["features"] = STEMS[settings.space] if paper else QUICK_STEM
    missing = {k: v for k, v in defaults.items() if getattr(settings, k) is None}
    full = dataclasses.replace(settings, **missing)
    require("--epochs", full.epochs, least=1)
    require("--batch-size", full.batch_size, least=1)
    require("--features", full.features, least=2)
    require("--cells", full.cells, least=1)
    require("--learning-rate", full.learning_rate, above=0)
    require("--arch-learning-rate", full.arch_learning_rate, above=0)
    require("--train-fraction", full.train_fraction, above=0, below=1)
    require("--seed", full.seed, least=0, below=2**32)
    require("--split-seed", full.split_seed, least=0, below=2**32)
    require("--random-cells", full.random_cells, least=0)
    if settings.table is not None and kind != "nasbench201":
        refuse("--table has no effect on this space: it holds the cells of NAS-Bench-201.")
    if settings.reductions is not None and kind == "nasbench201":
        refuse("--reductions has no effect on NAS-Bench-201, which has its own: leave it out.")
    if kind == "mobile" and full.features % 4:
        refuse(f"--features is {full.features}: a mobile stem has a multiple of 4.")
    if settings.reductions is not None and kind == "mobile":
        refuse("--reductions has no effect on a mobile space, whose chain halves: leave it out.")
    common.check(full.place)
    return full
