"""A campaign of NAS-Bench-201 on a stand-in device, whose true milliseconds are known."""

import numpy as np

from jaxnas.core.types import Constraint
from jaxnas.hardware import cost, programs, timing
from jaxnas.hardware.measure import campaign_file
from jaxnas.spaces import genome, genotype, registry

SPACE = registry.get("nasbench201")
ALL_CELLS = np.concatenate(list(genome.enumerate_all(SPACE.genome.space)))
# Milliseconds of none, skip, 1x1, 3x3, pool on a live edge.
OF_OP = np.array([0.0, 0.001, 0.02, 0.05, 0.01])
FIXED = 0.05
DEVICE = {"platform": "cpu", "kind": "cpu", "host_cpu": "stand-in", "threads": 1, "jax": "0"}


def true_ms(networks):
    """f64[N] of i[N, positions]."""
    return FIXED + OF_OP[SPACE.genome.canonical(networks)].sum(1)


def raw(count=25, space="nasbench201", noise=0.0, **settings):
    """A campaign of the reference and `count` networks, five rounds."""
    networks = ALL_CELLS[np.random.default_rng(0).permutation(len(ALL_CELLS))[:count]]
    genotypes = [SPACE.genome.decode(network) for network in networks]
    labels = ("reference", *map(programs.label, genotypes))
    texts = ("{}", *map(genotype.compact, genotypes))
    ms = np.concatenate([[1.0], true_ms(networks)])
    shake = 1 + noise * np.random.default_rng(1).standard_normal((5, count + 1))
    defaults = {"space": space, "features": 4, "cells": 1, "classes": 10, "image": [8, 8, 1],
                "batch": 1, "space_sha256": None}  # fmt: skip
    header = {"device": DEVICE, "settings": defaults | settings, "begun": "", "spent_s": 1.0,
              "load": [None, None]}  # fmt: skip
    return campaign_file.Raw(
        header, labels, ("reference", *["network"] * count), texts,
        np.full(count + 1, -1, np.int32), np.ones(count + 1, np.int32),
        np.ones((count + 1, len(timing.FACTS))), ms * shake, np.empty((5, 0, 2)),
        np.arange(5.0), np.zeros(5, np.int32),
    )  # fmt: skip


def written(folder, *arguments, **settings):
    """The folder, made, with `raw` of the arguments."""
    folder.mkdir(exist_ok=True)
    campaign_file.write(folder / campaign_file.RAW, raw(*arguments, **settings))
    return folder


def in_ms(model, limit, risk=0.0, quantity="ms"):
    """A constraint of what a model predicts."""
    return cost.check(Constraint(cost.predicted(SPACE, model, quantity), limit, risk))


def counted(size, quantity, limit):
    """A constraint of MACs or parameters."""
    return Constraint(cost.counted(SPACE, size, quantity, limit), limit)


def gates_of(seed=0):
    """Random gates of the cell."""
    drawn = np.random.default_rng(seed).dirichlet(np.full(5, 0.7), 6)
    return {"cell": drawn.astype(np.float32)}
