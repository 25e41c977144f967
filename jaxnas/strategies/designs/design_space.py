"""A design space: variables with finitely many values; a design is one integer for each.

Designs are rows `i64[N, variables]`; each number is the index of a variable's value.
"""

import math
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Designs = np.ndarray  # i64[N, variables]


class Variable(NamedTuple):
    """What may vary."""

    name: str
    values: tuple[Any, ...]
    is_ordered: bool = False  # a scale: neighbouring values are alike


def _unchanged(designs: Designs) -> Designs:
    return np.asarray(designs, np.int64)


def _all_valid(designs: Designs) -> np.ndarray:
    return np.ones(len(designs), bool)


class DesignSpace(NamedTuple):
    """All designs: of networks, training recipes, accelerators, or of several together."""

    variables: tuple[Variable, ...]
    decode: Callable[[np.ndarray], Any]  # i64[variables] -> what an evaluator takes
    # Equal designs become one row: variables without effect are 0.
    canonical: Callable[[Designs], Designs] = _unchanged
    is_valid: Callable[[Designs], np.ndarray] = _all_valid  # of canonical rows, bool[N]
    # What is known of canonical rows without an evaluation, f64[N] by figure: costs, scores.
    known: Mapping[str, Callable[[Designs], np.ndarray]] = types.MappingProxyType({})

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """How many values each variable has."""
        return tuple(len(variable.values) for variable in self.variables)


def of_values(values: Mapping[str, Sequence[Any]]) -> DesignSpace:
    """All combinations of values by name; a decoded design is `{name: value}`.

    Numbers in ascending or descending order are a scale. Raises ValueError for a name without
    values.
    """
    for name, of_name in values.items():
        if not len(of_name):
            raise ValueError(f"{name} has no values: give one or more.")
    variables = tuple(
        Variable(name, tuple(of_name), _is_scale(of_name)) for name, of_name in values.items()
    )

    def decode(row: np.ndarray) -> dict[str, Any]:
        return {v.name: v.values[i] for v, i in zip(variables, row, strict=True)}

    return DesignSpace(variables, decode)


def count(space: DesignSpace) -> int:
    """How many rows there are, those that are not canonical or not valid included."""
    return math.prod(space.cardinalities)


def enumerate_all(space: DesignSpace, chunk: int = 16384) -> Iterator[Designs]:
    """All canonical, valid, different designs, in chunks, i64[at most `chunk`, variables].

    In the order of the rows, the last variable fastest; a design comes where its canonical row is.
    """
    shape = space.cardinalities
    for start in range(0, math.prod(shape), chunk):
        index = np.arange(start, min(start + chunk, math.prod(shape)))
        rows = np.stack(np.unravel_index(index, shape), 1)
        rows = rows[(np.asarray(space.canonical(rows)) == rows).all(1)]
        yield rows[space.is_valid(rows)]


def keys(designs: Designs) -> list[bytes]:
    """The bytes of each row, by which designs are recognised."""
    designs = np.ascontiguousarray(designs, np.int64)
    return [row.tobytes() for row in designs]


def check(space: DesignSpace, rows: Any) -> Designs:
    """i64[N, variables]. Raises ValueError for rows that are not the space's."""
    rows, shape = np.asarray(rows), np.array(space.cardinalities)
    if rows.ndim != 2 or rows.shape[1] != len(shape) or not np.issubdtype(rows.dtype, np.integer):
        raise ValueError(
            f"Designs of this space are rows of {len(shape)} whole numbers, not {rows.dtype} of "
            f"the shape {rows.shape}: they are of another space."
        )
    wrong = (rows < 0) | (rows >= shape)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            f"{space.variables[column].name} is {rows[row, column]} in a design, which has values "
            f"0 to {shape[column] - 1}: the design is of another space."
        )
    return rows.astype(np.int64)


def _is_scale(values: Sequence[Any]) -> bool:
    is_number = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return is_number and len(values) > 1 and list(values) in (sorted(values), sorted(values)[::-1])
