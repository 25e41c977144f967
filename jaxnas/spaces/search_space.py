"""A search space: choices, genome, networks, preset sizes, and which methods support it.

One `SearchSpace` a space, made by `entry` in the space's folder and registered in `registry`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnas.core.types import Arch, Gates, Network, Relaxation, Space, Supernet, Weights
from jaxnas.spaces.distribution import ArchDistribution
from jaxnas.spaces.genome import Genome
from jaxnas.spaces.genotype import Genotype

# What a method may need (`Method.needs`) and a space support: word -> what the space then has.
CAPABILITIES: Mapping[str, str] = {
    "edgewise": "gates of each edge by themselves",
    "joint": "gates of all edges of a choice together: one path through them",
    "cells": "cells whose nodes keep edges by the strength of their gates",
    "execute": "a supernet with the setting `execute`: sampled candidates alone are computed",
    "sampled_layers": "one candidate a layer, sampled by its gates",
    "binary_gates": "a supernet whose `execute` may be `two` and `recomputed`",
    "partial": "a supernet with the setting `partial`: candidates see that share of the channels",
    "candidates": "a supernet with the setting `candidates`: other operations; and `edits`",
    "edge_weights": "`edits.edge_mask`: the weights of an edge",
    "superkernel": "`SearchSpace.superkernel`",
    "search_reductions": "networks whose reductions are those of the search",
}


class NetworkSize(NamedTuple):
    """The common settings of the networks of a campaign."""

    features: int = 16
    cells: int = 1  # for NAS-Bench-201 and mobile spaces: of a stage
    classes: int = 10
    image: tuple[int, int, int] = (32, 32, 3)  # height, width, channels
    batch: int = 1


class LayerSpec(NamedTuple):
    """A candidate at a layer of networks of a size, to be timed or counted alone."""

    label: str  # equal for equal programs
    operation: str
    module: Any  # of Linen
    height: int  # of the input image
    width: int
    inputs: int  # input channels
    features: int  # output channels
    stride: int
    record: Mapping[str, Any]  # its entry in a campaign's table, as JSON values


class BlockSpec(NamedTuple):
    """A cell of a network, alone, to be timed."""

    label: str
    module: Any  # of Linen
    inputs: tuple[tuple[int, int, int], ...]  # height, width, channels of each input image
    arguments: tuple  # of the module's call, after the images
    record: Mapping[str, Any]


class Prunable(NamedTuple):
    """A network whose channels `narrow` can prune.

    A value `remaining` (`Any`: widths or a chain) describes a pruned network.
    """

    unpruned: Any  # `remaining` of the network with all channels
    network: Callable[[Any], Network]
    groups: Callable[[Any], Any]  # remaining -> `nets.channel_groups.PrunableNetwork`
    macs: Callable[[Any], int]
    # multiple of channels -> the smallest network, or a lower bound of it; None: unknown
    narrowest: Callable[[int], Any | None]
    widths: Callable[[Any], Mapping[str, int]]  # remaining -> channels of each group
    file: str  # name of the file that it is written to
    to_text: Callable[[Any], str]
    from_text: Callable[[str], Any]


class PresetSizes(NamedTuple):
    """The sizes of a preset; None: the preset has none for this space."""

    search: Mapping[str, int] | None  # "cells", "features"
    retrain: Mapping[str, int | None] | None


class Edits(NamedTuple):
    """Changes of a supernet that some methods make."""

    auxiliary_skip: Mapping[str, Any]  # candidates with DARTS-'s auxiliary skip
    # (step -> rate) -> candidates whose skips drop their output: P-DARTS
    skip_dropout: Callable[..., Mapping[str, Any]]
    # (old_space, new_space, old, new, seed) -> (weights, statistics) of more channels: Net2Wider
    widen: Callable[..., Any]
    edge_mask: Callable[..., Any]  # (space, weights, choice, edge) -> 1 at the edge's weights


class Superkernel(NamedTuple):
    """The gates of supernets with one kernel a layer: Single-Path NAS."""

    relaxation: Callable[..., Relaxation]  # (choices, *, warmup_steps, keep)
    # (choices, arch, weights) -> probabilities of the candidates, as the gates are 0 or 1
    probabilities: Callable[[Space, Arch, Weights], Gates]
    # layer -> milliseconds of its four candidates; result: milliseconds of each candidate
    layer_costs: Callable[[Mapping[int, Sequence[float]]], Mapping[str, Any]]
    fixed_ms: float  # of the paper's device outside the searched layers


class SearchSpace(NamedTuple):
    """A search space."""

    name: str  # of `--space`
    genotype_space: str  # `Genotype.space` of its genotypes
    noun: str  # for its networks in messages
    summary: str  # for `jaxnas spaces`
    choices: Space  # whose gates a search has
    genome: Genome
    # (choices, *, features, cells, classes, reductions, remat, **settings of a stage)
    supernet: Callable[..., Supernet]
    # (genotype, *, features, cells, classes, reductions, auxiliary[, widths])
    network: Callable[..., Network]
    discretise: Callable[[Space, Gates], Genotype]
    distribution: ArchDistribution  # of networks, given gates
    # size -> each candidate at each layer
    layers: Callable[[NetworkSize], Iterator[LayerSpec]]
    sizes: Mapping[str, PresetSizes]  # by preset
    campaign_cells: int  # of a campaign's networks by default
    ignores: Mapping[str, frozenset[str]]  # command -> flags without effect on this space
    supports: frozenset[str]  # of CAPABILITIES
    # f64[positions, candidates, quantities] of a chain at a size
    workload: Callable[[NetworkSize], np.ndarray] | None = None
    blocks: Callable[[Genotype, NetworkSize], Iterator[BlockSpec]] | None = None
    # (genotype, recipe, image, classes); None: `jaxnas narrow` does not support its networks
    prunable: Callable[..., Prunable] | None = None
    edits: Edits | None = None
    superkernel: Superkernel | None = None
    # (genotype, reductions, supernet's weights and statistics, shapes of the network's) -> the
    # network's, taken from the supernet
    inherit: Callable[..., Any] | None = None
    edges_per_node: int | None = None  # that a node keeps; None: all
    shaped_by_cells: bool = False  # whether another number of cells is another space
    cells: int | None = None  # of a space shaped by cells; None: as in the paper
    cells_of: Callable[[Genotype], int | None] = lambda genotype: None  # `cells` of a genotype
    features_multiple: int = 1
    label: Callable[[Genotype], str] | None = None  # a short text that names a genotype uniquely
    parse: Callable[[str], Genotype | None] | None = None  # the field's own notation; None: not it
    published: Mapping[str, Genotype] = {}  # by name
    check: Callable[[Genotype], None] = lambda genotype: None  # in addition to `genotype.check`
    benchmark: str | None = None  # the module of a tabular benchmark of it
    digest: str | None = None  # SHA-256 of a user's file
