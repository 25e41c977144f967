"""The parts put together by hand find the same cell as the pipeline."""

import functools

from experiments import from_parts
from jaxnas.spaces import registry
from tests import killable_search


def test_the_genotype_is_that_of_jaxnas_search_to_the_byte(finished_search, monkeypatch):
    folder, _ = finished_search
    tiny, space = killable_search.TINY, registry.get(killable_search.TINY.space)
    one_cell = functools.partial(space.supernet, reductions=tiny.reductions)
    # What `reductions=None` is there is for more cells than one.
    plain = lambda *sizes, reductions, **more: one_cell(*sizes, **more)
    changes = {
        "SPACE": tiny.space, "CELLS": tiny.cells, "FEATURES": tiny.features,
        "BATCH_SIZE": tiny.batch_size,
    }  # fmt: skip
    for name, value in changes.items():
        monkeypatch.setattr(from_parts, name, value)
    monkeypatch.setattr(registry, "get", lambda name: space._replace(supernet=plain))
    found = from_parts.main(epochs=tiny.epochs, limit=tiny.source.limit)
    assert found == (folder / "genotype.json").read_text()
