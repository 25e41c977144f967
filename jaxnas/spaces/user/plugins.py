"""Parts that other packages bring: by entry points in their metadata, or as `module:name`.

Entry points: https://packaging.python.org/en/latest/specifications/entry-points/
"""

import functools
import importlib.metadata
import os
import sys
import warnings
from collections.abc import Collection, Mapping
from importlib.metadata import EntryPoint
from typing import Any, NamedTuple

from jaxnas.core import names
from jaxnas.spaces.user import source_digest

SPACES, METHODS = "jaxnas.spaces", "jaxnas.methods"  # groups of entry points


class PluginError(ValueError):
    """A part of another package that cannot be used; the message is one line."""


class PluginWarning(UserWarning):
    """A part of another package that is left out; the message is one line."""


class Plugin(NamedTuple):
    value: Any
    origin: str  # the package and its version, or the object, for people
    digest: str | None  # SHA-256 of the file that defines it; None: it is in no file of Python


def installed(group: str, taken: Collection[str]) -> Mapping[str, EntryPoint]:
    """The entry points of a group by name; nothing is imported.

    Warns of a name that jaxnas has itself (`taken`) or that two packages register, and leaves the
    later one out.
    """
    points: dict[str, EntryPoint] = {}
    for point in _entry_points(group, tuple(sys.path)):
        if point.name not in taken and point.name not in points:
            points[point.name] = point
            continue
        owner = origin(points[point.name]) if point.name in points else "jaxnas itself"
        warn(
            f"{origin(point)} registers {point.name!r} in {group}, which is a name of {owner}: it "
            "is left out. Rename it there."
        )
    return points


@functools.cache
def _entry_points(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Those of a group in the packages on `path`, which is `sys.path`; it takes milliseconds."""
    return tuple(importlib.metadata.entry_points(group=group))


def is_object(name: str) -> bool:
    """Whether a name is that of an object in a module, `module:name`."""
    return ":" in name


def of_object(name: str, group: str) -> Plugin:
    """The object `module:name`; modules in the current folder are found after all others.

    The module's code is executed: name trusted ones only. Raises PluginError.
    """
    module, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        raise PluginError(f"{name!r} is no object of a module: give MODULE:NAME.")
    if (folder := os.getcwd()) not in sys.path:
        sys.path.append(folder)
    return load(EntryPoint(name=name, value=name, group=group))


def load(point: EntryPoint) -> Plugin:
    """Imports what an entry point names. Raises PluginError, which names the package."""
    try:
        value = point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a package's own code may raise
        raise PluginError(_failure(point, error)) from error
    file = getattr(sys.modules[point.module], "__file__", None) or ""
    digest = source_digest.digest(file) if file.endswith(".py") else None
    return Plugin(value, origin(point), digest)


def _failure(point: EntryPoint, error: BaseException) -> str:
    """Why an entry point cannot be imported, and what to do."""
    reason = " ".join(str(error).split()).rstrip(".") or "no reason given"
    meant = ""
    if isinstance(error, AttributeError) and error.name is not None:
        meant = names.hint(error.name, dir(error.obj)).rstrip()
    cure = "Modules are looked for among the installed ones and in the current folder."
    use = ""
    if point.dist is not None:
        use = f", which it registers as {point.name!r} in {point.group}"
        cure = "Update or remove that package."
    cause = f"{type(error).__name__}: {reason}"
    return f"{origin(point)} cannot be imported{use}: {cause}. {meant or cure}"


def origin(point: EntryPoint) -> str:
    """`PACKAGE VERSION (module:name)`, or `module:name` of an object without a package."""
    if point.dist is None:
        return point.value
    return f"{point.dist.name} {point.dist.version} ({point.value})"


def warn(text: str) -> None:
    """Says in one line that a part is left out, once for each text."""
    warnings.warn(text, PluginWarning, stacklevel=2)
