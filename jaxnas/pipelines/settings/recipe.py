"""The training recipe of a selected network: the paper's protocol, a quick one, or your own."""

import dataclasses
from typing import Any, Literal

from jaxnas.pipelines.settings.limits import check_ignored, check_multiple, fail, require

QUICK: dict[str, Any] = {
    "epochs": 8,
    "batch_size": 50,
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
    "learning_rate": 0.025,
    "weight_decay": 3e-4,
    "clip_norm": 5.0,
    "drop_path": 0.2,
    "auxiliary": 0.4,
    "cutout": 16,
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    preset: Literal["quick", "paper"] = "quick"
    """`quick` for a CPU; `paper`: C=36, 20 cells, 600 epochs, as DARTS does on CIFAR-10.
    The preset sets the defaults."""
    epochs: int | None = None
    """Passes over the training set."""
    batch_size: int | None = None
    """Images a step."""
    features: int | None = None
    """Channels of the first cells (for mobile networks: of the stem, a multiple of 4; for paths
    through the hypercuboid: of its narrowest width)."""
    cells: int | None = None
    """Cells (for NAS-Bench-201: cells a stage; mobile genotypes and paths define their layers)."""
    reductions: tuple[int, ...] | None = None
    """Which cells halve the image, by number; by default those at a third and two thirds (after a
    search of the hypercuboid: as in that search)."""
    learning_rate: float | None = None
    """At the start; falls to 0 by a half cosine, once an epoch."""
    weight_decay: float | None = None
    """Added to the gradient, for all weights."""
    clip_norm: float | None = None
    """Maximum norm of the whole gradient."""
    drop_path: float | None = None
    """Probability that a path is dropped in the last epoch; rises from 0."""
    auxiliary: float | None = None
    """Weight of the auxiliary classifier's loss; 0: no auxiliary classifier."""
    cutout: int | None = None
    """Side of the square cut out of each training image; 0: none."""
    pad: int | None = None
    """Pixels by which training images are padded before the random crop; by default an eighth of
    the side; 0: none."""
    flip: bool | None = None
    """Mirror half of the training images; by default those in colour."""
    ema: float | None = None
    """Decay of an average of the weights, which is tested then; by default none."""


def resolved(recipe: Recipe, space: Any, image: tuple[int, int, int], prefix: str = "") -> Recipe:
    """`recipe` with all defaults resolved, for a network of `space` and images of shape `image`.

    `space`: a `SearchSpace`; `prefix`: of the recipe's flags in messages. Raises ValueError for a
    value that is invalid or has no effect.
    """
    sizes = space.sizes[recipe.preset].retrain
    if sizes is None:
        fail(
            f"--{prefix}preset {recipe.preset} has no sizes for {space.noun}: use 'quick' and say "
            "what shall differ."
        )
    defaults = {**sizes, "pad": min(image[:2]) // 8, "flip": image[2] == 3}
    defaults |= PAPER if recipe.preset == "paper" else QUICK
    missing = {name: value for name, value in defaults.items() if getattr(recipe, name) is None}
    full = dataclasses.replace(recipe, **missing)
    for flag, value in (("epochs", full.epochs), ("batch-size", full.batch_size)):
        require(f"--{prefix}{flag}", value, minimum=1)
    require(f"--{prefix}cells", full.cells, minimum=1)
    require(f"--{prefix}features", full.features, minimum=2)
    require(f"--{prefix}learning-rate", full.learning_rate, above=0)
    require(f"--{prefix}weight-decay", full.weight_decay, minimum=0)
    require(f"--{prefix}clip-norm", full.clip_norm, above=0)
    require(f"--{prefix}drop-path", full.drop_path, minimum=0, below=1)
    require(f"--{prefix}auxiliary", full.auxiliary, minimum=0)
    require(f"--{prefix}cutout", full.cutout, minimum=0)
    require(f"--{prefix}pad", full.pad, minimum=0)
    require(f"--{prefix}ema", full.ema, above=0, below=1)
    check_ignored(recipe, space, "retrain", prefix)
    check_multiple(f"--{prefix}features", full.features, space)
    return full
