"""The space and the candidates of a user's Python file.

The file sets `SPACE`, a `jaxnas.types.Space`, and may set `CANDIDATES`, a mapping from names to
`factory(features, stride, norm)`: the operations that the space names, in place of
`jaxnas.nets.ops.DARTS`. See docs/extending.md. A chain of layers, for which latencies are predicted
alone, may set `WORK`, numbers [positions, candidates, quantities] (docs/own-table.md).
"""

import importlib.machinery
import importlib.util
import pathlib
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import NamedTuple

import numpy as np

from jaxnas.core.types import Space
from jaxnas.nets import ops
from jaxnas.spaces import genome


class UserSpaceError(ValueError):
    """A file that defines no space; the message is one line."""


class UserSpace(NamedTuple):
    space: Space
    candidates: ops.Ops
    work: np.ndarray | None = None  # f64[positions, candidates, quantities] of a chain


def load(path: str) -> UserSpace:
    """Runs the file at `path` and takes `SPACE`, `CANDIDATES` and `WORK` from it.

    The file's code is executed: load trusted files only. Raises UserSpaceError if the file cannot
    be read or run, sets no `SPACE`, or sets either name to something else than a mapping, and for
    `WORK` of other shapes than the layers of a chain.
    """
    return of_module(_run(pathlib.Path(path)), path)


def of_module(module: ModuleType, where: str) -> UserSpace:
    """`SPACE`, `CANDIDATES` and `WORK` of a module, which is at `where` in messages.

    Raises UserSpaceError as `load`.
    """
    names = vars(module)
    if "SPACE" not in names:
        raise UserSpaceError(f"{where} sets no SPACE: give it one, as docs/extending.md shows.")
    space, candidates = names["SPACE"], names.get("CANDIDATES", ops.DARTS)
    for name, value in (("SPACE", space), ("CANDIDATES", candidates)):
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise UserSpaceError(
                f"{where}: {name} is {type(value).__name__}, not a mapping by names."
            )
    return UserSpace(space, candidates, _work(where, space, names.get("WORK")))


def _work(path: str, space: Space, value: object) -> np.ndarray | None:
    if value is None:
        return None
    if not genome.is_chain(space):
        raise UserSpaceError(f"{path}: WORK has no effect on cells, only on chains: leave it out.")
    shape = len(genome.positions(space)), max(genome.cardinalities(space))
    try:
        work = np.asarray(value, float)
    except (TypeError, ValueError):
        work = np.empty(0)
    if work.ndim != 3 or work.shape[:2] != shape or not (np.isfinite(work) & (work >= 0)).all():
        raise UserSpaceError(
            f"{path}: WORK has the shape {work.shape}: give numbers, none negative, of "
            f"[{shape[0]} positions, {shape[1]} candidates, quantities]."
        )
    return work


def _run(path: pathlib.Path) -> ModuleType:
    if path.suffix.lower() != ".py" or not path.is_file():
        raise UserSpaceError(f"{path} is no file of Python: give the path of one, as my_space.py.")
    # Registered, since dataclasses (and thus Linen modules) look their own module up.
    name = f"jaxnas_custom_{path.stem}"
    # Its own folder is searched for modules, after all others, which it must not replace.
    if (folder := str(path.resolve().parent)) not in sys.path:
        sys.path.append(folder)
    loader = importlib.machinery.SourceFileLoader(name, str(path))  # for endings in capitals too
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except KeyboardInterrupt:
        del sys.modules[name]
        raise
    except BaseException as error:  # whatever a user's own code may raise
        del sys.modules[name]
        reason = " ".join(str(error).split()) or "no reason given"
        raise UserSpaceError(f"{path} stops with {type(error).__name__}: {reason}") from error
    return module
