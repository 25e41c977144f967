"""What a command can be told: frozen dataclasses whose fields are the flags."""

from jaxnas.pipelines.settings.common import Place
from jaxnas.pipelines.settings.flags import command, flat
from jaxnas.pipelines.settings.recipe import Recipe
from jaxnas.pipelines.settings.retrain import RetrainSettings
from jaxnas.pipelines.settings.search import SearchSettings
from jaxnas.pipelines.settings.sources import Source

__all__ = [
    "Place",
    "Recipe",
    "RetrainSettings",
    "SearchSettings",
    "Source",
    "command",
    "flat",
]
