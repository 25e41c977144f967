"""Design spaces made of others: products, and spaces with fewer designs."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxnas.strategies.designs.design_space import Designs, DesignSpace


def product(**spaces: DesignSpace) -> DesignSpace:
    """All combinations of designs of several spaces; decoded: `{name: decoded design}`.

    Variables and known figures are named `NAME.variable`.
    """
    ends = np.cumsum([len(space.variables) for space in spaces.values()])
    slices = {
        name: slice(int(end) - len(space.variables), int(end))
        for (name, space), end in zip(spaces.items(), ends, strict=True)
    }
    variables = tuple(
        variable._replace(name=f"{name}.{variable.name}")
        for name, space in spaces.items()
        for variable in space.variables
    )

    def decode(row: np.ndarray) -> dict[str, Any]:
        return {name: space.decode(row[slices[name]]) for name, space in spaces.items()}

    def canonical(designs: Designs) -> Designs:
        designs = np.asarray(designs, np.int64)
        parts = [space.canonical(designs[:, slices[name]]) for name, space in spaces.items()]
        return np.concatenate(parts, 1)

    def is_valid(designs: Designs) -> np.ndarray:
        parts = [space.is_valid(designs[:, slices[name]]) for name, space in spaces.items()]
        return np.all(parts, 0)

    # The part's columns are bound now, as a loop's variables change.
    known = {
        f"{name}.{figure}": lambda rows, of=of, part=slices[name]: of(np.asarray(rows)[:, part])
        for name, space in spaces.items()
        for figure, of in space.known.items()
    }
    return DesignSpace(variables, decode, canonical, is_valid, known)


def restricted(space: DesignSpace, allowed: Callable[[Designs], np.ndarray]) -> DesignSpace:
    """The designs of a space that `allowed`, bool[N] of canonical rows, keeps."""
    return space._replace(is_valid=lambda rows: space.is_valid(rows) & allowed(rows))


def without(space: DesignSpace, pairs: Sequence[tuple[int, int]]) -> DesignSpace:
    """The designs without (variable, value) pairs, both as indices."""
    columns, values = np.array(pairs, np.int64).reshape(-1, 2).T

    def allowed(rows: Designs) -> np.ndarray:
        return ~(np.asarray(rows)[:, columns] == values).any(1)

    return restricted(space, allowed)
