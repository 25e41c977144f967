"""Tabular benchmarks: the true performance of all networks of a space, looked up in a table."""

import importlib
from types import ModuleType

from jaxnas.spaces import registry
from jaxnas.spaces.search_space import SearchSpace


def of(space: SearchSpace) -> ModuleType:
    """The benchmark of a space: `load`, `locate`, `query`, `build` and the like.

    Raises ValueError for a space without one.
    """
    if space.benchmark is None:
        raise ValueError(f"There is no table of the networks of {space.name}.")
    return importlib.import_module(space.benchmark)


def default() -> ModuleType:
    """The benchmark of the first space that has one."""
    spaces = (registry.get(name) for name in registry.SPACES)
    return of(next(space for space in spaces if space.benchmark is not None))
