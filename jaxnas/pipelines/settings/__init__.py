"""Settings of the commands: frozen dataclasses whose fields are the flags."""

from jaxnas.pipelines.settings.common import DataSettings, RunSettings
from jaxnas.pipelines.settings.flags import command, flat
from jaxnas.pipelines.settings.recipe import Recipe
from jaxnas.pipelines.settings.retrain import RetrainSettings
from jaxnas.pipelines.settings.search import SearchSettings

__all__ = [
    "RunSettings",
    "Recipe",
    "RetrainSettings",
    "SearchSettings",
    "DataSettings",
    "command",
    "flat",
]
