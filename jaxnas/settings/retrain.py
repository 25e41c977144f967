"""What `jaxnas retrain` can be told."""

import dataclasses
from typing import Annotated

import tyro.conf

from jaxnas.settings import places
from jaxnas.settings.limits import require
from jaxnas.settings.places import Place
from jaxnas.settings.recipe import Recipe
from jaxnas.settings.sources import Source


@dataclasses.dataclass(frozen=True)
class RetrainSettings:
    genotype: tyro.conf.Positional[str]
    """A genotype.json, a run folder, or a published name such as DARTS_V2."""
    source: Annotated[Source, tyro.conf.arg(name="")] = Source()
    recipe: Annotated[Recipe, tyro.conf.arg(name="")] = Recipe()
    seed: int = 0
    """Of the weights, the order of images and their augmentation."""
    place: Annotated[Place, tyro.conf.arg(name="")] = Place()


def check(settings: RetrainSettings) -> None:
    """Raises ValueError for what is wrong whatever the data."""
    places.check(settings.place)
    require("--seed", settings.seed, least=0, below=2**32)
