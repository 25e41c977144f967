"""Which methods a run can be asked for: by name, with their settings, as programs."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from jaxnas import (
    catalogue,
    latency_terms,
    method_settings,
    program,
    relax,
    restrict,
    select,
    single_path_latency,
    target_terms,
    thresholds,
)
from jaxnas import space as spaces
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
    weights_only,
)
from jaxnas.nets import dropped_skip, stacks, widen
from jaxnas.program import Program
from jaxnas.types import Gates, Hypergradient, Relaxation, SearchState, Space

Settings = Mapping[str, Any]
Preset = Literal["quick", "paper"]

# Decided by the run, not by its settings.
DECIDED = (
    "net", "steps_per_epoch", "seed", "hypergrad", "widen", "own", "dropped", "relaxation",
    "penalty", "outer_objective", "reward", "costs",
)  # fmt: skip
# What the quick preset has instead of a paper's; minutes on a CPU.
QUICK = {"epochs": 12, "learning_rate": 0.05, "arch_learning_rate": 0.03}
# Drawn gates get a few gradients each: they need larger ones.
QUICK_DRAWN = {"warm_up": 2, "arch_every": 1, "arch_learning_rate": 0.03}
# Methods that change the candidates or the network of cells.
CELLS = ("darts", "nasbench201")
PT = {"interval": 5, "criterion": "accuracy"}
QUICK_PT = {"interval": 1}


class Run(NamedTuple):
    """What a program has to know of its run."""

    entry: catalogue.Entry
    family: str  # "darts", "nasbench201", "mobile" or "grid"
    steps_per_epoch: int
    seed: int
    hypergrad: Hypergradient | None = None
    penalty: target_terms.Penalty | None = None
    reward: latency_terms.Reward | None = None

    @property
    def keep(self) -> int | None:
        """Edges that a node keeps; None: all."""
        return 2 if self.family == "darts" else None


class Method(NamedTuple):
    """`program(run, settings)` of all settings; `defaults` are the paper's, `quick` what changes.

    `relaxation(space)` is that of its last stage, where selection by perturbation may follow.
    `families` are those whose spaces it searches. `shares(space, state)` are probabilities where
    gates are hard.
    """

    what: str
    program: Callable[[Run, Settings], Program]
    defaults: Settings
    quick: Settings
    takes_order: bool = False
    takes_target: bool = False
    takes_reward: bool = False
    relaxation: Callable[[Space], Relaxation] | None = None
    select: Callable[..., Any] | None = None  # None: that of the space
    families: tuple[str, ...] = ("darts", "nasbench201", "mobile")
    shares: Callable[[Space, SearchState], Gates] | None = None


def names() -> tuple[str, ...]:
    """All methods, in the order of the documentation."""
    return tuple(_methods())


def of(name: str) -> Method:
    """The method of that name. Raises ValueError for an unknown one."""
    methods = _methods()
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
    settings = method_settings.told(name, settings, flags, words)
    if "min_learning_rate" in method.defaults:
        share = method.defaults["min_learning_rate"] / method.defaults["learning_rate"]
        settings["min_learning_rate"] = share * settings["learning_rate"]
    return settings


def make(name: str, run: Run, settings: Settings, perturbation: bool = False) -> Program:
    """The program of a method with resolved settings. Raises ValueError for impossible ones."""
    method = of(name)
    if run.family not in method.families:
        others = [n for n, m in _methods().items() if run.family in m.families]
        raise ValueError(
            f"The method {name} searches spaces of the families {', '.join(method.families)}, "
            f"not {run.family}: use one of {', '.join(others)}."
        )
    if run.hypergrad is not None and not method.takes_order:
        raise ValueError(f"--order has no effect on the method {name}: leave it out.")
    if run.penalty is not None and not method.takes_target:
        held = [n for n, m in _methods().items() if m.takes_target and run.family in m.families]
        rewards = "a --latency-form that rewards, or " if method.takes_reward else ""
        raise ValueError(
            f"A target has no effect on the method {name}: use {rewards}one of {', '.join(held)}."
        )
    if run.reward is not None and not method.takes_reward:
        rewarded = [n for n, m in _methods().items() if m.takes_reward]
        raise ValueError(
            f"The method {name} learns from no reward: take another --latency-form, or one of "
            f"{', '.join(rewarded)}."
        )
    if not perturbation:
        return method.program(run, settings)
    if method.relaxation is None:
        raise ValueError(
            f"Selection by perturbation does not follow the method {name}: use one of "
            f"{', '.join(n for n, m in _methods().items() if m.relaxation)}."
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


def _methods() -> dict[str, Method]:
    softmax = lambda space: relax.softmax()
    edges = lambda space: relax.edge_normalised(space, relax.softmax())
    hard = {"execute": "surrogate"}
    watched = {"every": 1, "window": 3, "delay": 2, "start": 2}
    return {
        "darts": _search("DARTS", darts.darts, relaxation=softmax),
        "single-level": _search("one loss for weights and architecture", single_level.single_level),
        "pc-darts": _search(
            "PC-DARTS: partial channels, normalised edges",
            pc_darts.pc_darts,
            {"partial": pc_darts.PARTIAL},
            {"warm_up": 4, "partial": 2},
            relaxation=edges,
        )._replace(families=CELLS),
        "sd-darts": _search(
            "SD-DARTS: earlier supernets teach", sd_darts.sd_darts, quick={"warm_up": 2},
            relaxation=softmax,
        ),
        "rarts": _search("RARTS: two copies of the weights", rarts.rarts),
        "sharp-darts": _search(
            "sharpDARTS: Max-W, cosine power annealing", sharp_darts.sharp_darts,
            quick={"warm_up": 1},
        ),
        "hypercuboid": _hypercuboid(),
        "gdas": _search(
            "GDAS: one candidate an edge, by Gumbel", gdas.gdas, hard, {"arch_learning_rate": 0.03}
        ),
        "snas": _search("SNAS: Gumbel-softmax, one loss", snas.snas),
        "dr-nas": _search("DrNAS: Dirichlet gates", dr_nas.dr_nas),
        "dr-nas-progressive": _progressive_dr_nas(),
        "smooth-darts": _search(
            "SmoothDARTS: weights learn with perturbed gates", smooth_darts.smooth_darts,
            relaxation=softmax,
        ),
        "p-darts": _p_darts(),
        "fair-darts": _fair_darts(),
        "beta-darts": _search(
            "beta-DARTS: logits held together", beta_darts.beta_darts, relaxation=softmax
        ),
        "darts-minus": _darts_minus(),
        "idarts": _search("iDARTS: implicit gradient, Neumann series", idarts.idarts,
                          relaxation=softmax),
        "r-darts": _search(
            "R-DARTS: stops where the architecture's curvature rises", r_darts.r_darts,
            quick=watched, relaxation=softmax,
        ),
        "r-darts-adaptive": _search(
            "R-DARTS, adaptive: goes back and decays the weights more", r_darts.r_darts_adaptive,
            quick=watched, relaxation=softmax,
        ),
        "few-shot": _few_shot(),
        "blank": _search(
            "all candidates equally open: for selection by perturbation", darts_pt.blank,
            relaxation=restrict.uniform,
        ),
        "spos": _spos(),
        "random": _random(),
        "proxyless": _proxyless(),
        "proxyless-reinforce": _search(
            "ProxylessNAS: drawn candidates, by their rewards", proxyless.proxyless_reinforce,
            {"execute": "selected"}, QUICK_DRAWN,
        )._replace(families=("nasbench201", "mobile")),
        "fbnet": _fbnet(),
        "single-path": _single_path(),
    }  # fmt: skip


def _search(
    what: str,
    function: Callable[..., Any],
    net: Settings | None = None,
    quick: Settings | None = None,
    relaxation: Callable[[Space], Relaxation] | None = None,
) -> Method:
    """A method that is done after one search; `net` are settings of its supernet."""
    net = net or {}

    def make(run: Run, settings: Settings) -> Program:
        own = {k: v for k, v in settings.items() if k not in net and k != "epochs"}
        if run.hypergrad is not None:
            own["hypergrad"] = run.hypergrad
        if run.penalty is not None:
            own["penalty"] = run.penalty
        if run.reward is not None:
            own["reward"] = run.reward
        return program.one_stage(
            run.entry.space,
            settings["epochs"],
            functools.partial(function, **own),
            {k: v for k, v in settings.items() if k in net},
        )

    defaults = _defaults(function) | net
    if any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values()):
        defaults = _defaults(weights_only.weights_only) | defaults
    known = inspect.signature(function).parameters
    takes = [part in known for part in ("hypergrad", "penalty", "reward")]
    return Method(what, make, defaults, quick or {}, *takes, relaxation)


def _fair_darts() -> Method:
    method = _search("FairDARTS: every candidate for itself, by sigmoids", fair_darts.fair_darts)
    threshold = inspect.signature(select.above_threshold).parameters["threshold"].default
    quick = {"threshold": 0.5, "arch_learning_rate": 0.03}

    def make(run: Run, settings: Settings) -> Program:
        if run.family != "darts" and settings["threshold"] not in (threshold, quick["threshold"]):
            raise ValueError(
                "The setting threshold has no effect on NAS-Bench-201, whose edges all keep their "
                "strongest candidate: leave it out."
            )
        return method.program(run, {k: v for k, v in settings.items() if k != "threshold"})

    return method._replace(
        program=make,
        defaults={**method.defaults, "threshold": threshold},
        quick=quick,
        select=select.above_threshold,
        families=CELLS,
    )


def _darts_minus() -> Method:
    method = _search("DARTS-: an auxiliary skip that fades", darts_minus.darts_minus)

    def make(run: Run, settings: Settings) -> Program:
        own = {k: v for k, v in settings.items() if k != "epochs"}
        skip = run.entry.candidates["skip_connect"]
        return program.one_stage(
            spaces.with_auxiliary_skip(run.entry.space),
            settings["epochs"],
            functools.partial(darts_minus.darts_minus, **own),
            {"candidates": {**run.entry.candidates, spaces.AUXILIARY_SKIP: skip}},
        )

    return method._replace(program=make, families=CELLS)


def _p_darts() -> Method:
    def make(run: Run, settings: Settings) -> Program:
        table = run.entry.candidates
        return p_darts.p_darts(
            run.entry.space,
            steps_per_epoch=run.steps_per_epoch,
            dropped=lambda rate: dropped_skip.candidates(rate, table),
            **settings,
        )

    defaults = _defaults(p_darts.p_darts) | _defaults(p_darts.stage_search)
    quick = {"epochs": 4, "rest": 1, "cells": (2, 3, 4)}
    method = Method("P-DARTS: deeper and deeper, fewer candidates", make, defaults, quick)
    return method._replace(families=CELLS)


def _progressive_dr_nas() -> Method:
    def make(run: Run, settings: Settings) -> Program:
        return progressive_dr_nas.progressive_dr_nas(
            run.entry.space, widen=widen.widened, seed=run.seed, **settings
        )

    defaults = _defaults(progressive_dr_nas.progressive_dr_nas)
    defaults |= {
        k: v for k, v in _defaults(progressive_dr_nas.stage_search).items() if k != "epochs"
    }
    quick = {"epochs": (6, 6), "rest": 2, "partial": (4, 2)}
    method = Method("DrNAS, progressive: fewer candidates, wider", make, defaults, quick)
    return method._replace(families=CELLS)


def _hypercuboid() -> Method:
    joint = functools.partial(sharp_darts.sharp_darts, weighting="joint")
    method = _search("sharpDARTS's hypercuboid: how wide each layer is", joint)
    # Else the widths of a layer would not be weighed against each other.
    defaults = _without(method.defaults, "weighting")
    return method._replace(defaults=defaults, quick={"warm_up": 1}, families=("grid",))


def _few_shot() -> Method:
    def make(run: Run, settings: Settings) -> Program:
        return few_shot.few_shot(run.entry.space, own=stacks.own, **settings)

    defaults = _defaults(few_shot.few_shot) | _defaults(few_shot.masked_darts)
    quick = {"splits": (4, 8), "batches": 4}
    method = Method("GM: a tree of supernets, split where gradients part", make, defaults, quick)
    return method._replace(families=CELLS)


def _spos() -> Method:
    def make(run: Run, settings: Settings) -> Program:
        return spos.best_of_samples(run.entry.space, keep=run.keep, seed=run.seed, **settings)

    defaults = _defaults(spos.best_of_samples) | _defaults(spos.spos)
    return Method("single path with uniform sampling", make, _without(defaults, "keep"), {})


def _random() -> Method:
    def make(run: Run, settings: Settings) -> Program:
        return random_search.random_search(
            run.entry.space, keep=run.keep, seed=run.seed, **settings
        )

    defaults = _defaults(random_search.random_search) | _defaults(weights_only.weights_only)
    quick = {"cells": 3}
    return Method("random search with the same budget", make, _without(defaults, "keep"), quick)


def _proxyless() -> Method:
    method = _search("ProxylessNAS: binary gates, one candidate a layer", proxyless.proxyless)

    def make(run: Run, settings: Settings) -> Program:
        proxyless.relaxation(settings["mode"])  # refuses an unknown mode
        own = {k: v for k, v in settings.items() if k != "epochs"}
        return program.one_stage(
            run.entry.space,
            settings["epochs"],
            functools.partial(proxyless.proxyless, penalty=run.penalty, **own),
            {"execute": proxyless.EXECUTES[settings["mode"]]},
        )

    return method._replace(program=make, quick=QUICK_DRAWN, families=("mobile",))


def _fbnet() -> Method:
    def make(run: Run, settings: Settings) -> Program:
        return fbnet.best_of_samples(
            run.entry.space, seed=run.seed, penalty=run.penalty, **settings
        )

    defaults = _defaults(fbnet.fbnet) | _defaults(fbnet.best_of_samples)
    # At the others' rate a short search leaves the gates even (docs/results.md).
    quick = {**QUICK_DRAWN, "cooling": 0.7, "arch_learning_rate": 0.2}
    what = "FBNet: Gumbel-softmax that cools, the best of sampled networks"
    families = ("nasbench201", "mobile")
    return Method(what, make, defaults, quick, takes_target=True, families=families)


def _single_path() -> Method:
    of_table = {
        "table": "",
        "fixed_ms": single_path_latency.PIXEL1_FIXED_MS,
        "latency_weight": single_path.LATENCY_WEIGHT,
    }
    defaults = _defaults(single_path.single_path) | of_table

    def make(run: Run, settings: Settings) -> Program:
        own = {k: v for k, v in settings.items() if k not in ("epochs", *of_table)}
        if run.penalty is None:
            table = single_path_latency.read(settings["table"])
            own["costs"] = single_path_latency.costs(run.entry.space, table)
            own |= {name: settings[name] for name in ("fixed_ms", "latency_weight")}
        else:
            for name, default in of_table.items():
                if settings[name] != default:
                    raise ValueError(f"The setting {name} has no effect beside a target: leave it.")
            own["penalty"] = run.penalty
        return program.one_stage(
            run.entry.space,
            settings["epochs"],
            functools.partial(single_path.single_path, **own),
            {"superkernel": True},
        )

    what = "Single-Path NAS: one kernel a layer, cut by thresholds"
    # Thresholds answer slowly: at a tenth of it they stay where they are for 66 steps.
    quick = {"learning_rate": 0.016, "arch_learning_rate": 0.5}
    method = Method(what, make, defaults, quick, takes_target=True, families=("mobile",))
    shares = lambda space, state: thresholds.shares(space, state.arch, state.weights)
    return method._replace(shares=shares)


def _without(settings: Settings, name: str) -> dict[str, Any]:
    return {k: v for k, v in settings.items() if k != name}


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The settings of a method and what its paper has for them."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
        and parameter.default is not parameter.empty
        and name not in DECIDED
    }
