"""The methods by name, their settings resolved, and their programs: the one place to register.

Methods of other packages are found by their entry points, or named as `module:name`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from jaxnas.core import names as names_of
from jaxnas.core.stages import Program
from jaxnas.methods import (
    beta_darts,
    darts,
    darts_minus,
    darts_pt,
    dr_nas,
    fair_darts,
    fbnet,
    few_shot,
    gdas,
    idarts,
    overrides,
    p_darts,
    pc_darts,
    progressive_dr_nas,
    proxyless,
    r_darts,
    random_search,
    rarts,
    sd_darts,
    sharp_darts,
    single_level,
    single_path,
    smooth_darts,
    snas,
    spos,
    user_method,
)
from jaxnas.methods.entry import Context, Method, Settings
from jaxnas.spaces.search_space import SearchSpace
from jaxnas.spaces.user import plugins
from jaxnas.spaces.user.plugins import PluginError

Preset = Literal["quick", "paper"]

# In the order of the documentation.
METHODS: Mapping[str, Method] = {
    "darts": darts.METHOD,
    "single-level": single_level.METHOD,
    "pc-darts": pc_darts.METHOD,
    "sd-darts": sd_darts.METHOD,
    "rarts": rarts.METHOD,
    "sharp-darts": sharp_darts.METHOD,
    "hypercuboid": sharp_darts.HYPERCUBOID,
    "gdas": gdas.METHOD,
    "snas": snas.METHOD,
    "dr-nas": dr_nas.METHOD,
    "dr-nas-progressive": progressive_dr_nas.METHOD,
    "smooth-darts": smooth_darts.METHOD,
    "p-darts": p_darts.METHOD,
    "fair-darts": fair_darts.METHOD,
    "beta-darts": beta_darts.METHOD,
    "darts-minus": darts_minus.METHOD,
    "idarts": idarts.METHOD,
    "r-darts": r_darts.METHOD,
    "r-darts-adaptive": r_darts.ADAPTIVE,
    "few-shot": few_shot.METHOD,
    "blank": darts_pt.BLANK,
    "spos": spos.METHOD,
    "random": random_search.METHOD,
    "proxyless": proxyless.METHOD,
    "proxyless-reinforce": proxyless.REINFORCE,
    "fbnet": fbnet.METHOD,
    "single-path": single_path.METHOD,
}
# What the quick preset has in the place of a paper's settings; minutes on a CPU.
QUICK = {"epochs": 12, "learning_rate": 0.05, "arch_learning_rate": 0.03}


def names() -> tuple[str, ...]:
    """All methods, in the order of the documentation; then those that other packages register."""
    return (*METHODS, *plugins.installed(plugins.METHODS, METHODS))


def label(name: str) -> str:
    """A method's name as a part of a folder's."""
    return name.replace(":", "-")


def get(name: str) -> Method:
    """The method of that name, or the object `module:name`.

    Raises ValueError for an unknown one, and PluginError for one that cannot be loaded.
    """
    if name in METHODS:
        return METHODS[name]
    if plugins.is_object(name):
        return user_method.of_plugin(plugins.of_object(name, plugins.METHODS))
    points = plugins.installed(plugins.METHODS, METHODS)
    if name in points:
        return user_method.of_plugin(plugins.load(points[name]))
    there = (*METHODS, *points)
    raise ValueError(
        f"{names_of.hint(name, there)}No method is called {name!r}; there are "
        f"{', '.join(there)}, and MODULE:NAME of your own."
    )


def get_all() -> dict[str, Method]:
    """All methods; warns of those of other packages that cannot be loaded, and leaves them out."""
    methods = {}
    for name in names():
        try:
            methods[name] = get(name)
        except PluginError as error:
            plugins.warn(str(error))
    return methods


def fits(method: Method, space: SearchSpace) -> bool:
    """Whether a space supports all that a method needs."""
    return method.needs <= space.supports


def resolve(
    name: str, preset: Preset, flags: Settings, words: Sequence[str], perturbation: bool = False
) -> dict[str, Any]:
    """All settings of a method: its own, changed by the preset, by `flags` and by `words`.

    `flags` are epochs, learning_rate and arch_learning_rate, None where not given; `words` are
    `setting=value`. The minimal learning rate keeps its ratio to the initial one in the paper,
    unless a word gives it.
    `perturbation` adds those of `darts_pt.perturbation`. Raises ValueError for unknown or invalid
    settings.
    """
    method = get(name)
    settings = dict(method.defaults)
    quick = {k: v for k, v in {**QUICK, **method.quick}.items() if k in settings}
    if perturbation:
        settings |= darts_pt.SETTINGS
        quick |= darts_pt.QUICK
    settings |= quick if preset == "quick" else {}
    settings = overrides.parse(f"the method {name}", settings, flags, words)
    given = {word.partition("=")[0].replace("-", "_") for word in words}
    if "min_learning_rate" in method.defaults and "min_learning_rate" not in given:
        share = method.defaults["min_learning_rate"] / method.defaults["learning_rate"]
        settings["min_learning_rate"] = share * settings["learning_rate"]
    return settings


def program(name: str, context: Context, settings: Settings, perturbation: bool = False) -> Program:
    """The program of a method with resolved settings. Raises ValueError for impossible ones."""
    method = get(name)
    _check(name, method, context)
    if not perturbation:
        return method.program(context, settings)
    if method.relaxation is None:
        followed = ", ".join(n for n, m in get_all().items() if m.relaxation)
        raise ValueError(
            f"Selection by perturbation does not follow the method {name}: use one of {followed}."
        )
    of_method = {k: v for k, v in settings.items() if k not in darts_pt.SETTINGS}
    return darts_pt.perturbation(
        method.program(context, of_method),
        relaxation=method.relaxation(context.space.choices),
        tuning=darts_pt.tuning_of(settings),
        criterion=settings["criterion"],
        edges_per_node=context.space.edges_per_node,
        seed=context.seed,
    )


def _check(name: str, method: Method, context: Context) -> None:
    """Raises ValueError if the space does not fit the method or a setting has no effect on it."""
    space = context.space
    if not fits(method, space):
        missing = ", ".join(sorted(method.needs - space.supports))
        others = ", ".join(n for n, m in get_all().items() if fits(m, space))
        raise ValueError(
            f"The method {name} needs what the space {space.name} does not support ({missing}): "
            f"use one of {others}."
        )
    if context.hypergrad is not None and "hypergrad" not in method.accepts:
        raise ValueError(f"--order has no effect on the method {name}: leave it out.")
    if context.constraints and "constraints" not in method.accepts:
        accepting = [
            n for n, m in get_all().items() if "constraints" in m.accepts and fits(m, space)
        ]
        rewards = "a --latency-form that rewards, or " if "reward" in method.accepts else ""
        raise ValueError(
            f"A target has no effect on the method {name}: use {rewards}one of "
            f"{', '.join(accepting)}."
        )
    if context.reward is not None and "reward" not in method.accepts:
        rewarded = ", ".join(n for n, m in get_all().items() if "reward" in m.accepts)
        raise ValueError(
            f"The method {name} learns from no reward: take another --latency-form, or one of "
            f"{rewarded}."
        )
