"""The settings of `jaxnas search`."""

import dataclasses
from typing import Annotated, Any, Literal

import tyro.conf

from jaxnas.pipelines.settings import common
from jaxnas.pipelines.settings.common import DataSettings, RunSettings
from jaxnas.pipelines.settings.limits import check_ignored, check_multiple, fail, require
from jaxnas.pipelines.settings.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Evolution:
    evaluations: int = 200
    """Networks that are evaluated with the shared weights."""
    population: int = 50
    """The youngest, of which parents are drawn."""
    tournament: int = 10
    """Of how many the parent is the best."""
    by: Literal["loss", "accuracy"] = "loss"
    """The figure on the validation images that decides."""


@dataclasses.dataclass(frozen=True)
class SearchSettings:
    source: Annotated[DataSettings, tyro.conf.arg(name="")] = DataSettings()
    train_fraction: float = 0.5
    """Share of the training images for the weights; the others are for the architecture."""
    split_seed: int | None = None
    """Divides the two at random instead of by index."""
    space: str = "darts"
    """The search space; `jaxnas spaces` lists all; or a file `*.py` of your own
    (docs/extending.md)."""
    method: str = "darts"
    """The search method; `jaxnas methods` lists all, with their settings; or MODULE:NAME of your
    own (docs/new-method.md)."""
    set: tuple[str, ...] = ()
    """Settings of the method, as `name=value`."""
    select: Literal["strongest", "perturbation", "evolution"] = "strongest"
    """The selection: the candidates with the strongest gates, or those whose removal lowers the
    accuracy most (DARTS-PT, with the settings `interval` and `criterion`), or the best of networks
    that evolve, each with the shared weights (after `spos`)."""
    evolution: Evolution = Evolution()
    """Of --select evolution."""
    order: Literal["first", "exact", "finite-difference"] | None = None
    """The gradient of the architecture, for methods that support it: first order (the default),
    or through one step of the weights, exactly or as in DARTS's code."""
    preset: Literal["quick", "paper"] = "quick"
    """`quick` for a CPU; `paper`: C=16, 8 cells and the method's own settings.
    The preset sets the defaults."""
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
    """The batch normalisation's statistics when the search network is validated."""
    remat: bool = True
    """Recompute activations in the backward pass to save memory; same result."""
    seed: int = 0
    """Of all random numbers."""
    random_cells: int = 3
    """Number of random cells that are trained for comparison."""
    table: str | None = None
    """The table of NAS-Bench-201 (docs/oracle.md), for the true scores of the found cell; by
    default the file that JAXNAS_NASBENCH201 names."""
    target_ms: float | None = None
    """Maximum milliseconds of the found network; measured at the end (docs/target.md)."""
    target_macs: float | None = None
    """Maximum multiply-accumulates of one image."""
    target_parameters: float | None = None
    """Maximum number of parameters."""
    target_models: tuple[str, ...] = ()
    """FILE=MOST: models of `jaxnas latency fit` with the maximum of their predictions: another
    device's milliseconds, energy, memory."""
    latency: str | None = None
    """The folder of the campaign for --target-ms: see `jaxnas latency measure`. By default a short
    one of this device, measured first, in minutes, and found again by the next search."""
    latency_weight: float | None = None
    """A fixed weight of the latency in the loss, in place of one that adapts to --target-ms;
    without --target-ms the found network is not constrained, and it is measured."""
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
    """The form of the latency in the loss with --latency-weight (docs/target.md), by default
    add-linear; the last three are rewards, for proxyless-reinforce."""
    risk: float | None = None
    """The margin of predictions below --target-ms, in half-widths of their interval; default 0."""
    any_device: bool = False
    """The campaign of --latency may be of another device; the found network is not measured."""
    devices: int | None = None
    """Devices that share each batch; by default all of an accelerator where the batches divide."""
    retrain: Recipe = Recipe()
    """The training of the found cell and of the random ones at the end."""
    place: Annotated[RunSettings, tyro.conf.arg(name="")] = RunSettings()


def resolved(settings: SearchSettings, space: Any) -> SearchSettings:
    """`settings` with all defaults resolved that do not depend on the data.

    `space`: the `SearchSpace` of that name, of any number of cells. Raises ValueError for a value
    that is invalid or has no effect.
    """
    sizes = space.sizes[settings.preset].search
    if sizes is None:
        fail(
            f"--preset {settings.preset} has no sizes for the space {settings.space}: use 'quick' "
            "and say what shall differ."
        )
    missing = {name: value for name, value in sizes.items() if getattr(settings, name) is None}
    full = dataclasses.replace(settings, **missing)
    require("--epochs", full.epochs, minimum=1)
    require("--batch-size", full.batch_size, minimum=1)
    require("--features", full.features, minimum=2)
    require("--cells", full.cells, minimum=1)
    require("--learning-rate", full.learning_rate, above=0)
    require("--arch-learning-rate", full.arch_learning_rate, above=0)
    require("--train-fraction", full.train_fraction, above=0, below=1)
    require("--seed", full.seed, minimum=0, below=2**32)
    require("--split-seed", full.split_seed, minimum=0, below=2**32)
    require("--random-cells", full.random_cells, minimum=0)
    if settings.table is not None and space.benchmark is None:
        fail("--table has no effect on this space: there is no table of its networks.")
    check_ignored(settings, space, "search")
    check_multiple("--features", full.features, space)
    common.check(full.place)
    return full
