"""The parts put together by hand find the same cell as the pipeline."""

from experiments import from_parts
from jaxnas.pipelines import search
from jaxnas.pipelines.settings import DataSettings, Recipe, RunSettings, SearchSettings

LIMIT = 60  # images


def test_the_genotype_is_that_of_jaxnas_search_to_the_byte(tmp_path, monkeypatch):
    # A space of two candidates an edge compiles in a third of the time.
    for name, value in {"SPACE": "darts-s2", "CELLS": 1, "BATCH_SIZE": 15}.items():
        monkeypatch.setattr(from_parts, name, value)
    settings = SearchSettings(
        source=DataSettings(limit=LIMIT), space="darts-s2", epochs=4, cells=1, batch_size=15,
        random_cells=0, retrain=Recipe(epochs=1, cells=1), place=RunSettings(out=str(tmp_path)),
    )  # fmt: skip
    folder = search.main(settings)
    assert from_parts.main(epochs=4, limit=LIMIT) == (folder / "genotype.json").read_text()
