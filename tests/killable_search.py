"""A search as a process to be killed: `python killable_search.py KILL OUT`.

KILL is `WHERE:NUMBER`, where the process ends itself with SIGKILL: `save:N` inside the N-th save,
`chunk:N` before the N-th chunk of steps, `picture:N` before the cells are drawn for the N-th time,
`page:N` before the N-th report.
"""

import dataclasses
import sys

import orbax.checkpoint as ocp

from jaxnas.pipelines import genotypes, search
from jaxnas.pipelines.settings import DataSettings, Recipe, RunSettings, SearchSettings
from jaxnas.report import run_page
from jaxnas.run import step_runner
from tests import killable

PLACES = {
    "save": (ocp.StandardCheckpointHandler, "finalize"),
    "chunk": (step_runner, "chunk_length"),
    "picture": (genotypes, "pictures"),
    "page": (run_page, "write"),
}
SIZE = {"features": 2, "cells": 1, "reductions": ()}
TINY = SearchSettings(
    source=DataSettings(limit=100),
    space="darts-s2",
    epochs=3,
    batch_size=10,
    random_cells=1,
    retrain=Recipe(epochs=2, batch_size=20, **SIZE),
    place=RunSettings(name="tiny", save_every_steps=4),
    **SIZE,
)


def tiny(out: object, **changes: object) -> SearchSettings:
    """The settings of the search, in a folder."""
    place = dataclasses.replace(TINY.place, out=str(out))
    return dataclasses.replace(TINY, place=place, **changes)


def main(kill: str, out: str) -> None:
    where, _, number = kill.partition(":")
    holder, name = PLACES[where]
    setattr(
        holder, name, killable.die_at(int(number), getattr(holder, name), after=where == "save")
    )
    search.main(tiny(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
