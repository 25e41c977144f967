"""The registry entry of a method that a user's module or another package brings."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from jaxnas.core.types import Search, Supernet
from jaxnas.methods import entry
from jaxnas.methods.entry import Method
from jaxnas.spaces.user.plugins import Plugin, PluginError

FORM = "`method(net, *, epochs=NUMBER, steps_per_epoch, setting=VALUE, ...) -> Search`"


def of_plugin(plugin: Plugin) -> Method:
    """The `Method` of a plugin: one that it is, or that of a function as `entry.single_stage`'s.

    Raises PluginError for anything else, and for a function of other parameters.
    """
    value, origin, digest = plugin
    if isinstance(value, Method):
        return value._replace(summary=f"{value.summary} ({origin})", digest=digest)
    if not callable(value) or isinstance(value, type):
        raise PluginError(
            f"{origin} is {type(value).__name__}, no method: give a function {FORM}, or a Method."
        )
    _check_parameters(value, origin)
    first = (inspect.getdoc(value) or "").partition("\n")[0].rstrip(".")
    summary = f"{first or 'a method of your own'} ({origin})"
    return entry.single_stage(summary, _giving_a_search(value, origin), digest=digest)


def _check_parameters(function: Callable[..., Any], origin: str) -> None:
    """Raises PluginError unless a run can give a function all that it needs."""
    net, *others = inspect.signature(function).parameters.values() or (None,)
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if net is None or net.kind not in positional:
        raise PluginError(f"{origin} takes no supernet: write it as {FORM}.")
    by_name = {p.name: p for p in others if p.kind is p.KEYWORD_ONLY}
    if missing := {"epochs", "steps_per_epoch"} - by_name.keys():
        raise PluginError(f"{origin} lacks {' and '.join(sorted(missing))}: write it as {FORM}.")
    has_default = lambda p: p.default is not p.empty
    without = [p.name for p in others if not has_default(p) and p.name != "steps_per_epoch"]
    if without:
        raise PluginError(f"{origin} has no default for {', '.join(without)}: give one each.")
    if unnamed := [p.name for p in others if p.name not in by_name]:
        raise PluginError(f"{origin}: no setting reaches {', '.join(unnamed)}: move * before it.")


def _giving_a_search(function: Callable[..., Any], origin: str) -> Callable[..., Search]:
    """`function`, which raises PluginError where it gives something else."""

    @functools.wraps(function)
    def checked(net: Supernet, **settings: Any) -> Search:
        search = function(net, **settings)
        if not isinstance(search, Search):
            raise PluginError(f"{origin} gives {type(search).__name__}, no Search.")
        return search

    return checked
