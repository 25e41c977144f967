"""How a found network is trained: the paper's protocol, a quick one, or your own."""

import dataclasses
from typing import Any, Literal

from jaxnas.pipelines.settings.limits import refuse, require

QUICK: dict[str, Any] = {
    "epochs": 8,
    "batch_size": 50,
    "features": 4,
    "learning_rate": 0.05,
    "weight_decay": 3e-4,
    "clip_norm": 5.0,
    "drop_path": 0.0,
    "auxiliary": 0.0,
    "cutout": 0,
}
# DARTS, section 3.1 and quark0/darts cnn/train.py: its CIFAR-10 network.
PAPER: dict[str, Any] = {
    "epochs": 600,
    "batch_size": 96,
    "features": 36,
    "learning_rate": 0.025,
    "weight_decay": 3e-4,
    "clip_norm": 5.0,
    "drop_path": 0.2,
    "auxiliary": 0.4,
    "cutout": 16,
}
# Mobile genotypes and paths through a grid say their layers by themselves.
CELLS = {
    "quick": {"darts": 3, "nasbench201": 1, "mobile": None, "grid": None},
    "paper": {"darts": 20},
}
QUICK_STEM = 8
# What networks of a family are called, and which flags have no effect on them.
WITHOUT = {
    "nasbench201": ("a NAS-Bench-201 network", ("drop_path", "auxiliary", "reductions")),
    "mobile": ("a mobile network", ("cells", "drop_path", "auxiliary", "reductions")),
    "grid": ("a path through a grid", ("cells", "drop_path", "auxiliary")),
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    preset: Literal["quick", "paper"] = "quick"
    """`quick` for a CPU; `paper`: C=36, 20 cells, 600 epochs, as DARTS does on CIFAR-10.
    The preset decides whatever is not given below."""
    epochs: int | None = None
    """Passes over the training set."""
    batch_size: int | None = None
    """Images a step."""
    features: int | None = None
    """Channels of the first cells (for mobile networks: of the stem, a multiple of 4; for paths
    through the hypercuboid: of its narrowest width)."""
    cells: int | None = None
    """Cells (for NAS-Bench-201: cells a stage; mobile genotypes and paths say their layers)."""
    reductions: tuple[int, ...] | None = None
    """Which cells halve the image, by number; by default those at a third and two thirds (after a
    search of the hypercuboid: as in that search)."""
    learning_rate: float | None = None
    """At the start; falls to 0 by a half cosine, once an epoch."""
    weight_decay: float | None = None
    """Added to the gradient, for all weights."""
    clip_norm: float | None = None
    """Largest norm of the whole gradient."""
    drop_path: float | None = None
    """Chance that a path is dropped in the last epoch; rises from 0."""
    auxiliary: float | None = None
    """Weight of the auxiliary classifier's loss; 0: no auxiliary classifier."""
    cutout: int | None = None
    """Side of the square cut out of each training image; 0: none."""
    pad: int | None = None
    """Training images are framed by so many pixels and cropped; by default an eighth of the
    side; 0: not at all."""
    flip: bool | None = None
    """Mirror half of the training images; by default those in colour."""
    ema: float | None = None
    """Decay of an average of the weights, which is then what is tested; by default none."""


def resolved(recipe: Recipe, family: str, image: tuple[int, int, int], prefix: str = "") -> Recipe:
    """`recipe` with nothing left open, for a cell of `family` and images of `image`'s shape.

    `prefix` stands before the names of its flags. Raises ValueError for a value that is
    impossible or has no effect.
    """
    if family not in CELLS[recipe.preset]:
        refuse(
            f"--{prefix}preset {recipe.preset} is for DARTS cells, not for {family}: use 'quick' "
            "and say what shall differ."
        )
    open_now = {"cells": CELLS[recipe.preset][family], "pad": min(image[:2]) // 8}
    open_now |= {"flip": image[2] == 3} | (PAPER if recipe.preset == "paper" else QUICK)
    if family == "mobile":
        open_now["features"] = QUICK_STEM
    given = {k: v for k, v in dataclasses.asdict(recipe).items() if v is not None}
    full = dataclasses.replace(recipe, **{k: v for k, v in open_now.items() if k not in given})
    for flag, value in (("epochs", full.epochs), ("batch-size", full.batch_size)):
        require(f"--{prefix}{flag}", value, least=1)
    require(f"--{prefix}cells", full.cells, least=1)
    require(f"--{prefix}features", full.features, least=2)
    require(f"--{prefix}learning-rate", full.learning_rate, above=0)
    require(f"--{prefix}weight-decay", full.weight_decay, least=0)
    require(f"--{prefix}clip-norm", full.clip_norm, above=0)
    require(f"--{prefix}drop-path", full.drop_path, least=0, below=1)
    require(f"--{prefix}auxiliary", full.auxiliary, least=0)
    require(f"--{prefix}cutout", full.cutout, least=0)
    require(f"--{prefix}pad", full.pad, least=0)
    require(f"--{prefix}ema", full.ema, above=0, below=1)
    what, without = WITHOUT.get(family, ("", ()))
    for flag in without:
        if given.get(flag):
            refuse(f"--{prefix}{flag.replace('_', '-')} has no effect on {what}: leave it out.")
    if family == "mobile" and full.features % 4:
        refuse(f"--{prefix}features is {full.features}: a mobile stem has a multiple of 4.")
    return full
