"""What a command can be told: frozen dataclasses whose fields are the flags."""

from jaxnas.settings.places import Place
from jaxnas.settings.recipe import Recipe
from jaxnas.settings.retrain import RetrainSettings
from jaxnas.settings.search import SearchSettings
from jaxnas.settings.sources import Source
from jaxnas.settings.text import command, flat

__all__ = [
    "Place",
    "Recipe",
    "RetrainSettings",
    "SearchSettings",
    "Source",
    "command",
    "flat",
]
