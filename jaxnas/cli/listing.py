"""`jaxnas methods`, `strategies` and `spaces`: all of them, a line each, or one in detail."""

from collections.abc import Iterable, Mapping
from typing import Any

from jaxnas.methods import darts_pt, overrides
from jaxnas.methods import registry as methods_registry
from jaxnas.report import table
from jaxnas.spaces import registry
from jaxnas.spaces.search_space import PresetSizes, SearchSpace
from jaxnas.strategies import registry as strategies_registry
from jaxnas.strategies.registry import STRATEGIES


def methods(settings: Any) -> None:
    """Prints all methods, or the settings of one. Raises ValueError for an unknown one."""
    if settings.axes:
        if settings.name is not None:
            raise ValueError("--axes is a table of all methods: leave the name out.")
        print(table.text(axes()), end="")
    elif settings.name is None:
        _print_table({name: m.summary for name, m in methods_registry.get_all().items()})
    else:
        print("\n".join(_method(settings.name)))


def axes() -> table.TextTable:
    """All methods and strategies by the four axes of hardware-aware search.

    Benmeziane et al. 2021, https://arxiv.org/abs/2101.09336. A strategy takes every space, and is
    accelerated by what evaluates it.
    """
    all_spaces = list(registry.get_all())
    rows = []
    for name, method in methods_registry.get_all().items():
        fitting = [space.name for space in all_spaces if methods_registry.fits(method, space)]
        where = "all" if len(fitting) == len(all_spaces) else f"{len(fitting)} of {len(all_spaces)}"
        costs = ", ".join(method.cost_sources) or "none"
        rows.append((f"search --method {name}", where, method.strategy, method.acceleration, costs))
    for name, entry in STRATEGIES.items():
        evaluators = "table, shared weights, scores, short training"
        costs = "measured, predicted, counted"
        rows.append((f"explore --strategy {name}", "all", entry.kind, evaluators, costs))
    return table.TextTable(("", "spaces", "strategy", "acceleration", "costs"), rows)


def spaces(settings: Any) -> None:
    """Prints all spaces, or one in detail. Raises ValueError for an unknown one."""
    if settings.name is None:
        _print_table({space.name: space.summary for space in registry.get_all()})
    else:
        print("\n".join(_space(registry.get(settings.name))))


def strategies(settings: Any) -> None:
    """Prints all strategies, or the settings of one. Raises ValueError for an unknown one."""
    if settings.name is None:
        _print_table({name: entry.summary for name, entry in STRATEGIES.items()})
    else:
        print("\n".join(_strategy(settings.name)))


def _strategy(name: str) -> Iterable[str]:
    entry = strategies_registry.get(name)
    yield f"{name}: {entry.summary}"
    yield f"  {entry.kind}; {entry.paper}; defaults: {entry.source}"
    width = max(map(len, entry.settings), default=0)
    for key, value in entry.settings.items():
        yield f"  {key:{width}}  {_setting_text(value)}"
    if entry.objectives is not None:
        yield f"  goals to maximise or minimise: at most {entry.objectives}"


def _method(name: str) -> Iterable[str]:
    method = methods_registry.get(name)
    paper = method.defaults
    quick = {k: v for k, v in {**methods_registry.QUICK, **method.quick}.items() if k in paper}
    width = max(map(len, paper))
    yield f"{name}: {method.summary}"
    for key, value in paper.items():
        flag = f"--{key.replace('_', '-')}" if key in overrides.FLAGS else key
        change = f"   quick: {_setting_text(quick[key])}" if key in quick else ""
        if key == "min_learning_rate":
            change = "   or the same share of another --learning-rate"
        yield f"  {flag:{width + 2}}  {_setting_text(value)}{change}"
    if method.relaxation:
        yield "  may be followed by --select perturbation, with:"
        yield from (f"    {k:{width}}  {_setting_text(v)}" for k, v in darts_pt.SETTINGS.items())
    if method.samples_paths:
        yield "  may be followed by --select evolution"
    if "hypergrad" in method.accepts:
        yield "  --order may be first, exact or finite-difference"


def _space(space: SearchSpace) -> Iterable[str]:
    yield f"{space.name}: {space.summary}"
    for name, choice in space.choices.items():
        candidates = list(dict.fromkeys(op for row in choice.candidates for op in row))
        yield f"  choice {name}: {len(choice.edges)} edges, each one of {choice.shape[1]} of"
        yield f"    {', '.join(candidates)}"
    for preset, sizes in space.sizes.items():
        yield f"  --preset {preset}: {_sizes(sizes)}"
    yield f"  networks that `jaxnas latency measure` times: --cells {space.campaign_cells}"
    if space.shaped_by_cells:
        yield "  another number of --cells is another space"
    for command, flags in space.ignores.items():
        if flags:
            named = ", ".join(f"--{flag.replace('_', '-')}" for flag in sorted(flags))
            yield f"  without effect on {command}: {named}"
    all_methods = methods_registry.get_all().items()
    fitting = [name for name, method in all_methods if methods_registry.fits(method, space)]
    yield f"  methods: {', '.join(fitting)}"


def _sizes(sizes: PresetSizes) -> str:
    sizes_of_command = {"search": sizes.search, "retraining": sizes.retrain}
    return (
        "; ".join(
            f"{command} {' '.join(f'--{k} {v}' for k, v in size.items() if v is not None)}"
            for command, size in sizes_of_command.items()
            if size is not None
        )
        or "none"
    )


def _print_table(rows: Mapping[str, str]) -> None:
    width = max(map(len, rows))
    for name, text in rows.items():
        print(f"{name:{width}}  {text}")


def _setting_text(value: object) -> str:
    """A setting as on the command line."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
