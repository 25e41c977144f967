"""A run asks for a method by name: its settings, and its program."""

from collections.abc import Sequence
from typing import Any, Literal

from jaxnas.core.stages import Program
from jaxnas.methods import darts_pt, overrides, registry
from jaxnas.methods.entry import Context, Method, Settings

Preset = Literal["quick", "paper"]

# What the quick preset has instead of a paper's; minutes on a CPU.
QUICK = {"epochs": 12, "learning_rate": 0.05, "arch_learning_rate": 0.03}
PT = {"interval": 5, "criterion": "accuracy"}
QUICK_PT = {"interval": 1}


def names() -> tuple[str, ...]:
    """All methods, in the order of the documentation."""
    return tuple(registry.methods())


def of(name: str) -> Method:
    """The method of that name. Raises ValueError for an unknown one."""
    methods = registry.methods()
    if name not in methods:
        raise ValueError(f"No method is called {name!r}; there are {', '.join(methods)}.")
    return methods[name]


def resolved(
    name: str, preset: Preset, flags: Settings, words: Sequence[str], perturbation: bool = False
) -> dict[str, Any]:
    """All settings of a method: its own, changed by the preset, by `flags` and by `words`.

    `flags` are epochs, learning_rate and arch_learning_rate, None where not given; `words` are
    `setting=value`. The least learning rate keeps the paper's share of the first one.
    `perturbation` adds those of `darts_pt.perturbation`. Raises ValueError for what the method
    does not know or cannot be.
    """
    method = of(name)
    own = {k: v for k, v in method.defaults.items() if k != "min_learning_rate"}
    quick = {k: v for k, v in (QUICK | method.quick).items() if k in own}
    if perturbation:
        own |= PT
        quick |= QUICK_PT
    settings = own | (quick if preset == "quick" else {})
    settings = overrides.parse(name, settings, flags, words)
    if "min_learning_rate" in method.defaults:
        share = method.defaults["min_learning_rate"] / method.defaults["learning_rate"]
        settings["min_learning_rate"] = share * settings["learning_rate"]
    return settings


def make(name: str, run: Context, settings: Settings, perturbation: bool = False) -> Program:
    """The program of a method with resolved settings. Raises ValueError for impossible ones."""
    method = of(name)
    if run.family not in method.families:
        others = [n for n, m in registry.methods().items() if run.family in m.families]
        raise ValueError(
            f"The method {name} searches spaces of the families {', '.join(method.families)}, "
            f"not {run.family}: use one of {', '.join(others)}."
        )
    if run.hypergrad is not None and not method.takes_order:
        raise ValueError(f"--order has no effect on the method {name}: leave it out.")
    if run.penalty is not None and not method.takes_target:
        held = [
            n for n, m in registry.methods().items() if m.takes_target and run.family in m.families
        ]
        rewards = "a --latency-form that rewards, or " if method.takes_reward else ""
        raise ValueError(
            f"A target has no effect on the method {name}: use {rewards}one of {', '.join(held)}."
        )
    if run.reward is not None and not method.takes_reward:
        rewarded = [n for n, m in registry.methods().items() if m.takes_reward]
        raise ValueError(
            f"The method {name} learns from no reward: take another --latency-form, or one of "
            f"{', '.join(rewarded)}."
        )
    if not perturbation:
        return method.program(run, settings)
    if method.relaxation is None:
        raise ValueError(
            f"Selection by perturbation does not follow the method {name}: use one of "
            f"{', '.join(n for n, m in registry.methods().items() if m.relaxation)}."
        )
    inner = method.program(run, {k: v for k, v in settings.items() if k not in PT})
    return darts_pt.perturbation(
        inner,
        relaxation=method.relaxation(run.entry.space),
        tuning=_tuning(settings) if settings["interval"] else None,
        criterion=settings["criterion"],
        keep=run.keep,
        seed=run.seed,
    )


def _tuning(settings: Settings) -> darts_pt.Tuning:
    """A tenth of the search's learning rate, as in the paper's code, and its other settings."""
    rate = settings["learning_rate"] / 10
    return darts_pt.Tuning(
        interval=settings["interval"],
        learning_rate=rate,
        min_learning_rate=0.4 * rate,
        weight_decay=settings["weight_decay"],
        clip_norm=settings["clip_norm"],
        arch_learning_rate=settings.get("arch_learning_rate"),
    )
