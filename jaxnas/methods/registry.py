"""The methods by name: what the paper and the quick preset set, and what is particular to each."""

import functools
import inspect
from typing import Any

from jaxnas.core import stages
from jaxnas.core.gates import relax, samplers
from jaxnas.core.stages import Program
from jaxnas.methods import (
    beta_darts,
    darts,
    darts_minus,
    darts_pt,
    dr_nas,
    entry,
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
from jaxnas.methods.entry import Context, Method, Settings
from jaxnas.nets import edge_stacks, net2wider, skip_dropout
from jaxnas.spaces import choices as spaces
from jaxnas.spaces import discretise
from jaxnas.spaces.mobile import superkernel_gates, superkernel_latency

# Drawn gates get a few gradients each: they need larger ones.
QUICK_DRAWN = {"warm_up": 2, "arch_every": 1, "arch_learning_rate": 0.03}
# Methods that change the candidates or the network of cells.
CELLS = ("darts", "nasbench201")


def methods() -> dict[str, Method]:
    """All methods by name, in the order of the documentation."""
    search = entry.search
    softmax = lambda space: relax.softmax()
    edges = lambda space: relax.edge_normalised(space, relax.softmax())
    hard = {"execute": "surrogate"}
    watched = {"every": 1, "window": 3, "delay": 2, "start": 2}
    return {
        "darts": search("DARTS", darts.darts, relaxation=softmax),
        "single-level": search("one loss for weights and architecture", single_level.single_level),
        "pc-darts": search(
            "PC-DARTS: partial channels, normalised edges",
            pc_darts.pc_darts,
            {"partial": pc_darts.PARTIAL},
            {"warm_up": 4, "partial": 2},
            relaxation=edges,
        )._replace(families=CELLS),
        "sd-darts": search(
            "SD-DARTS: earlier supernets teach", sd_darts.sd_darts, quick={"warm_up": 2},
            relaxation=softmax,
        ),
        "rarts": search("RARTS: two copies of the weights", rarts.rarts),
        "sharp-darts": search(
            "sharpDARTS: Max-W, cosine power annealing", sharp_darts.sharp_darts,
            quick={"warm_up": 1},
        )._replace(takes_target=False),  # Max-W's gates are no probabilities
        "hypercuboid": _hypercuboid(),
        "gdas": search(
            "GDAS: one candidate an edge, by Gumbel", gdas.gdas, hard, {"arch_learning_rate": 0.03}
        ),
        "snas": search("SNAS: Gumbel-softmax, one loss", snas.snas),
        "dr-nas": search("DrNAS: Dirichlet gates", dr_nas.dr_nas),
        "dr-nas-progressive": _progressive_dr_nas(),
        "smooth-darts": search(
            "SmoothDARTS: weights learn with perturbed gates", smooth_darts.smooth_darts,
            relaxation=softmax,
        ),
        "p-darts": _p_darts(),
        "fair-darts": _fair_darts(),
        "beta-darts": search(
            "beta-DARTS: logits held together", beta_darts.beta_darts, relaxation=softmax
        ),
        "darts-minus": _darts_minus(),
        "idarts": search("iDARTS: implicit gradient, Neumann series", idarts.idarts,
                          relaxation=softmax),
        "r-darts": search(
            "R-DARTS: stops where the architecture's curvature rises", r_darts.r_darts,
            quick=watched, relaxation=softmax,
        ),
        "r-darts-adaptive": search(
            "R-DARTS, adaptive: goes back and decays the weights more", r_darts.r_darts_adaptive,
            quick=watched, relaxation=softmax,
        ),
        "few-shot": _few_shot(),
        "blank": search(
            "all candidates equally open: for selection by perturbation", darts_pt.blank,
            relaxation=samplers.uniform,
        ),
        "spos": _spos(),
        "random": _random(),
        "proxyless": _proxyless(),
        "proxyless-reinforce": search(
            "ProxylessNAS: drawn candidates, by their rewards", proxyless.proxyless_reinforce,
            {"execute": "selected"}, QUICK_DRAWN,
        )._replace(families=("nasbench201", "mobile")),
        "fbnet": _fbnet(),
        "single-path": _single_path(),
    }  # fmt: skip


def _fair_darts() -> Method:
    method = entry.search(
        "FairDARTS: every candidate for itself, by sigmoids", fair_darts.fair_darts
    )
    threshold = inspect.signature(discretise.above_threshold).parameters["threshold"].default
    quick = {"threshold": 0.5, "arch_learning_rate": 0.03}

    def make(run: Context, settings: Settings) -> Program:
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
        select=discretise.above_threshold,
        families=CELLS,
    )


def _darts_minus() -> Method:
    method = entry.search("DARTS-: an auxiliary skip that fades", darts_minus.darts_minus)

    def make(run: Context, settings: Settings) -> Program:
        own = {k: v for k, v in settings.items() if k != "epochs"}
        skip = run.entry.candidates["skip_connect"]
        return stages.one_stage(
            spaces.with_auxiliary_skip(run.entry.space),
            settings["epochs"],
            functools.partial(darts_minus.darts_minus, **own),
            {"candidates": {**run.entry.candidates, spaces.AUXILIARY_SKIP: skip}},
        )

    return method._replace(program=make, families=CELLS)


def _p_darts() -> Method:
    def make(run: Context, settings: Settings) -> Program:
        table = run.entry.candidates
        return p_darts.p_darts(
            run.entry.space,
            steps_per_epoch=run.steps_per_epoch,
            dropped=lambda rate: skip_dropout.candidates(rate, table),
            **settings,
        )

    defaults = entry.defaults(p_darts.p_darts) | entry.defaults(p_darts.stage_search)
    quick = {"epochs": 4, "rest": 1, "cells": (2, 3, 4)}
    method = Method("P-DARTS: deeper and deeper, fewer candidates", make, defaults, quick)
    return method._replace(families=CELLS)


def _progressive_dr_nas() -> Method:
    def make(run: Context, settings: Settings) -> Program:
        return progressive_dr_nas.progressive_dr_nas(
            run.entry.space, widen=net2wider.widen, seed=run.seed, **settings
        )

    defaults = entry.defaults(progressive_dr_nas.progressive_dr_nas)
    defaults |= {
        k: v for k, v in entry.defaults(progressive_dr_nas.stage_search).items() if k != "epochs"
    }
    quick = {"epochs": (6, 6), "rest": 2, "partial": (4, 2)}
    method = Method("DrNAS, progressive: fewer candidates, wider", make, defaults, quick)
    return method._replace(families=CELLS)


def _hypercuboid() -> Method:
    joint = functools.partial(sharp_darts.sharp_darts, weighting="joint")
    method = entry.search("sharpDARTS's hypercuboid: how wide each layer is", joint)
    # Else the widths of a layer would not be weighed against each other.
    defaults = _without(method.defaults, "weighting")
    return method._replace(defaults=defaults, quick={"warm_up": 1}, families=("grid",))


def _few_shot() -> Method:
    def make(run: Context, settings: Settings) -> Program:
        return few_shot.few_shot(run.entry.space, own=edge_stacks.edge_mask, **settings)

    defaults = entry.defaults(few_shot.few_shot) | entry.defaults(few_shot.masked_darts)
    quick = {"splits": (4, 8), "batches": 4}
    method = Method("GM: a tree of supernets, split where gradients part", make, defaults, quick)
    return method._replace(families=CELLS)


def _spos() -> Method:
    def make(run: Context, settings: Settings) -> Program:
        return spos.best_of_samples(run.entry.space, keep=run.keep, seed=run.seed, **settings)

    defaults = entry.defaults(spos.best_of_samples) | entry.defaults(spos.spos)
    return Method("single path with uniform sampling", make, _without(defaults, "keep"), {})


def _random() -> Method:
    def make(run: Context, settings: Settings) -> Program:
        return random_search.random_search(
            run.entry.space, keep=run.keep, seed=run.seed, **settings
        )

    defaults = entry.defaults(random_search.random_search) | entry.defaults(
        weights_only.weights_only
    )
    quick = {"cells": 3}
    return Method("random search with the same budget", make, _without(defaults, "keep"), quick)


def _proxyless() -> Method:
    method = entry.search("ProxylessNAS: binary gates, one candidate a layer", proxyless.proxyless)

    def make(run: Context, settings: Settings) -> Program:
        proxyless.relaxation(settings["mode"])  # refuses an unknown mode
        own = {k: v for k, v in settings.items() if k != "epochs"}
        return stages.one_stage(
            run.entry.space,
            settings["epochs"],
            functools.partial(proxyless.proxyless, penalty=run.penalty, **own),
            {"execute": proxyless.EXECUTES[settings["mode"]]},
        )

    return method._replace(program=make, quick=QUICK_DRAWN, families=("mobile",))


def _fbnet() -> Method:
    def make(run: Context, settings: Settings) -> Program:
        return fbnet.best_of_samples(
            run.entry.space, seed=run.seed, penalty=run.penalty, **settings
        )

    defaults = entry.defaults(fbnet.fbnet) | entry.defaults(fbnet.best_of_samples)
    # At the others' rate a short search leaves the gates even (docs/results.md).
    quick = {**QUICK_DRAWN, "cooling": 0.7, "arch_learning_rate": 0.2}
    what = "FBNet: Gumbel-softmax that cools, the best of sampled networks"
    families = ("nasbench201", "mobile")
    return Method(what, make, defaults, quick, takes_target=True, families=families)


def _single_path() -> Method:
    of_table = {
        "table": "",
        "fixed_ms": 0.0,
        "latency_weight": single_path.LATENCY_WEIGHT,
    }
    defaults = entry.defaults(single_path.single_path) | of_table

    def make(run: Context, settings: Settings) -> Program:
        own = {k: v for k, v in settings.items() if k not in ("epochs", *of_table)}
        if run.penalty is None:
            table = superkernel_latency.read(settings["table"])
            own["costs"] = superkernel_latency.costs(run.entry.space, table)
            if not settings["fixed_ms"]:
                raise ValueError(
                    "A table has the searched layers alone: give the milliseconds of the rest of "
                    f"the network, fixed_ms={superkernel_latency.PIXEL1_FIXED_MS} for the paper's."
                )
            own |= {name: settings[name] for name in ("fixed_ms", "latency_weight")}
        else:
            for name, default in of_table.items():
                if settings[name] != default:
                    raise ValueError(f"The setting {name} has no effect beside a target: leave it.")
            own["penalty"] = run.penalty
        return stages.one_stage(
            run.entry.space,
            settings["epochs"],
            functools.partial(single_path.single_path, **own),
            {"superkernel": True},
        )

    what = "Single-Path NAS: one kernel a layer, cut by thresholds"
    # Thresholds answer slowly: at a tenth of it they stay where they are for 66 steps.
    quick = {"learning_rate": 0.016, "arch_learning_rate": 0.5}
    method = Method(what, make, defaults, quick, takes_target=True, families=("mobile",))
    shares = lambda space, state: superkernel_gates.shares(space, state.arch, state.weights)
    return method._replace(shares=shares)


def _without(settings: Settings, name: str) -> dict[str, Any]:
    return {k: v for k, v in settings.items() if k != name}
