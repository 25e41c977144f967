"""What the name of a space stands for: its choices, its networks, its way to select."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxnas import genotype as genotypes
from jaxnas import select
from jaxnas import space as spaces
from jaxnas.genotype import Genotype
from jaxnas.nets import darts, derived_darts, derived_nasbench201, nasbench201
from jaxnas.types import Gates, Network, Space, Supernet


class Entry(NamedTuple):
    """`supernet(features=, cells=, classes=, reductions=, remat=)`; `select(space, gates)`."""

    space: Space
    supernet: Callable[..., Supernet]
    select: Callable[[Space, Gates], Genotype]


def entry(name: str) -> Entry:
    """The entry of a space that ships with jaxnas. Raises ValueError for an unknown name."""
    made = {
        "darts": spaces.darts,
        "darts-no-none": spaces.darts_without_none,
        "darts-s1": spaces.s1,
        "darts-s2": spaces.s2,
        "darts-s3": spaces.s3,
        "darts-s4": spaces.s4,
    }
    if name == "nasbench201":
        space = spaces.nasbench201()
        return Entry(space, functools.partial(_benchmark, space), select.argmax)
    if name not in made:
        known = ", ".join([*made, "nasbench201"])
        raise ValueError(f"No space is called {name!r}; there are {known}.")
    space = made[name]()
    return Entry(space, functools.partial(darts.supernet, space), select.strongest_pairs)


def _benchmark(space: Space, *, reductions: Sequence[int] | None, **settings) -> Supernet:
    if reductions is not None:
        raise ValueError("NAS-Bench-201 has its own reductions: leave them out.")
    return nasbench201.supernet(space, **settings)


def network(
    genotype: Genotype,
    *,
    features: int,
    cells: int,
    classes: int,
    reductions: Sequence[int] | None = None,
    auxiliary: bool = False,
) -> Network:
    """The network of a genotype, by its space; `apply` takes None where no path is dropped.

    Raises ValueError for settings the network cannot have or a space without networks.
    """
    settings = {"features": features, "cells": cells, "classes": classes}
    if genotype.space == "darts":
        return derived_darts.cifar(
            genotype, reductions=reductions, auxiliary=auxiliary, **settings
        )
    if genotype.space != "nasbench201":
        raise genotypes.GenotypeError(
            f"Genotypes of the space {genotype.space!r} have no network here; those of 'darts' "
            "and 'nasbench201' do."
        )
    if reductions is not None or auxiliary:
        raise ValueError(
            "A NAS-Bench-201 network has its own reductions and no auxiliary head: leave both out."
        )
    net = derived_nasbench201.nasbench201(genotype, **settings)

    def apply(weights, stats, inputs, key, drop_path):
        rate = 0 if drop_path is None else drop_path
        return net.apply(weights, stats, inputs, key, rate)

    return net._replace(apply=apply)
