"""The search space of NAS-Bench-201: one cell of six edges, each with an operation or `none`."""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence

from jaxnas.core.types import Network, Space, Supernet
from jaxnas.nets import batch_norm, ops
from jaxnas.nets.mixed import mixed_edges
from jaxnas.spaces import dataflow, discretise, distribution, edits, genome, layers, pruning
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.nasbench201 import choices as nasbench201_choices
from jaxnas.spaces.nasbench201 import network as networks
from jaxnas.spaces.nasbench201 import supernet as supernets
from jaxnas.spaces.nasbench201.notation import from_arch, to_arch
from jaxnas.spaces.search_space import BlockSpec, NetworkSize, PresetSizes, SearchSpace

NAME = "nasbench201"
SIZES: Mapping[str, PresetSizes] = {
    "quick": PresetSizes({"cells": 1, "features": 4}, {"cells": 1, "features": 4}),
    # The benchmark's own networks are not trained by DARTS's recipe.
    "paper": PresetSizes({"cells": 5, "features": 16}, None),
}
SUPPORTS = frozenset(
    {"edgewise", "cells", "partial", "candidates", "edge_weights", "sampled_layers", "execute"}
)


def entry(cells: int | None = None) -> SearchSpace:
    """The space; `cells`, of a stage, have no effect on it."""
    choices = nasbench201_choices.nasbench201()
    derived = ops.nasbench201(affine=True)
    select = functools.partial(discretise.argmax_per_edge, name=NAME)
    return SearchSpace(
        name=NAME,
        genotype_space=NAME,
        noun="a NAS-Bench-201 network",
        summary="NAS-Bench-201: one cell of 6 edges, 5 operations; accuracies are known",
        choices=choices,
        genome=genome.of_space(choices, select, has_dead_edges=True),
        supernet=_supernet,
        network=_network,
        discretise=select,
        distribution=distribution.factorised(choices),
        layers=lambda size: layers.of_cells(NAME, choices, derived, size, halves=False),
        sizes=SIZES,
        campaign_cells=1,
        ignores={
            "search": frozenset({"reductions"}),
            "retrain": frozenset({"drop_path", "auxiliary", "reductions"}),
        },
        supports=SUPPORTS,
        edits=edits.of_cells(ops.nasbench201(affine=False)),
        blocks=functools.partial(_blocks, derived),
        prunable=functools.partial(pruning.of_cells, _network, _widths),
        label=to_arch,
        parse=_parse,
        benchmark="jaxnas.evaluators.nasbench201",
    )


# In a text such as `Structure(4 nodes with |op~0|+|op~0|op~1|+|op~0|op~1|op~2|)`.
ARCH = re.compile(r"(?:\|[\w-]+~\d)+\|(?:\+(?:\|[\w-]+~\d)+\|)+")


def _supernet(choices: Space, *, reductions: Sequence[int] | None, **settings: object) -> Supernet:
    if reductions is not None:
        raise ValueError("NAS-Bench-201 has its own reductions: leave them out.")
    return supernets.supernet(choices, **settings)


def _network(
    genotype: Genotype, *, reductions: Sequence[int] | None, auxiliary: bool, **settings: object
) -> Network:
    if reductions is not None or auxiliary:
        raise ValueError(
            "A NAS-Bench-201 network has its own reductions and no auxiliary head: leave both out."
        )
    net = networks.nasbench201(genotype, **settings)

    def apply(weights, stats, inputs, key, drop_path):
        rate = 0 if drop_path is None else drop_path
        return net.apply(weights, stats, inputs, key, rate)

    return net._replace(apply=apply)


def _widths(
    genotype: Genotype, features: int, cells: int, reductions: Sequence[int] | None
) -> pruning.NamedWidths:
    """The widths of the stages, which are pruned one by one."""
    widths = networks.widths_of(features)
    return pruning.NamedWidths(widths, tuple(f"stage_{i}" for i in range(len(widths))))


def _blocks(derived: ops.Ops, genotype: Genotype, size: NetworkSize) -> Iterator[BlockSpec]:
    """The cell without dead edges, at each of the three stages."""
    norm = batch_norm.norms(True, training=False).outside
    for name, cell in dataflow.remove_dead_edges(genotype).cells.items():
        factories = mixed_edges.op_factories(dict.fromkeys(op for _, _, op in cell.edges), derived)
        for stage, (height, width) in enumerate(layers.stage_sides(size)):
            features = size.features * 2**stage
            module = networks.NASBench201Cell(cell, factories, features, norm)
            shape = {"cell": name, "features": features, "height": height, "width": width}
            label = f"{name} {features}x{height}x{width}"
            yield BlockSpec(label, module, ((height, width, features),), (), shape)


def _parse(text: str) -> Genotype | None:
    """The benchmark's notation, alone or within a log, where the last one counts."""
    if text.lstrip().startswith("|"):
        return from_arch(text)
    found = [] if text.lstrip().startswith("{") else ARCH.findall(text)
    return from_arch(found[-1]) if found else None
