"""The space and the candidates of a user's Python file.

The file sets `SPACE`, a `jaxnas.types.Space`, and may set `CANDIDATES`, a mapping from names to
`factory(features, stride, norm)`: the operations that the space names, in place of
`jaxnas.nets.ops.DARTS`. See docs/extending.md.
"""

import importlib.util
import pathlib
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import NamedTuple

from jaxnas.core.types import Space
from jaxnas.nets import ops


class UserSpaceError(ValueError):
    """A file that defines no space; the message is one line."""


class UserSpace(NamedTuple):
    space: Space
    candidates: ops.Ops


def load(path: str) -> UserSpace:
    """Runs the file at `path` and takes `SPACE` and `CANDIDATES` from it.

    The file's code is executed: load trusted files only. Raises UserSpaceError if the file cannot
    be read or run, sets no `SPACE`, or sets either name to something else than a mapping.
    """
    names = vars(_run(pathlib.Path(path)))
    if "SPACE" not in names:
        raise UserSpaceError(f"{path} sets no SPACE: give it one, as docs/extending.md shows.")
    space, candidates = names["SPACE"], names.get("CANDIDATES", ops.DARTS)
    for name, value in (("SPACE", space), ("CANDIDATES", candidates)):
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise UserSpaceError(
                f"{path}: {name} is {type(value).__name__}, not a mapping by names."
            )
    return UserSpace(space, candidates)


def _run(path: pathlib.Path) -> ModuleType:
    if path.suffix != ".py" or not path.is_file():
        raise UserSpaceError(f"{path} is no file of Python: give the path of one, as my_space.py.")
    # Registered, since dataclasses (and thus Linen modules) look their own module up.
    name = f"jaxnas_custom_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's own code may raise
        del sys.modules[name]
        reason = " ".join(str(error).split()) or "no reason given"
        raise UserSpaceError(f"{path} stops with {type(error).__name__}: {reason}") from error
    return module
