"""All that a command asks of a search space: choices, genome, networks, sizes, what fits it.

One `SearchSpace` a space, made by `entry` in the space's folder and registered in `registry`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnas.core.types import Arch, Gates, Network, Relaxation, Space, Supernet, Weights
from jaxnas.spaces.distribution import ArchDistribution
from jaxnas.spaces.genome import Genome
from jaxnas.spaces.genotype import Genotype


class NetworkSize(NamedTuple):
    """The common settings of the networks of a campaign."""

    features: int = 16
    cells: int = 1  # for NAS-Bench-201 and mobile spaces: of a stage
    classes: int = 10
    image: tuple[int, int, int] = (32, 32, 3)  # height, width, channels
    batch: int = 1


class LayerSpec(NamedTuple):
    """A candidate where it stands in the networks of a size, to be timed or counted alone."""

    label: str  # equal for equal programs
    operation: str
    module: Any  # of Linen
    height: int  # of the image that enters
    width: int
    inputs: int  # channels that enter
    features: int  # channels that leave
    stride: int
    record: Mapping[str, Any]  # what a campaign's table says of it, as JSON values


class BlockSpec(NamedTuple):
    """A cell of a network, alone, to be timed."""

    label: str
    module: Any  # of Linen
    inputs: tuple[tuple[int, int, int], ...]  # height, width, channels of each image that enters
    arguments: tuple  # of the module's call, after the images
    record: Mapping[str, Any]


class Prunable(NamedTuple):
    """How channels are taken from a network: what `narrow` needs to know of it.

    A pruned network is `Any` value `left` that names its widths; `whole` is the one that has all.
    """

    whole: Any
    network: Callable[[Any], Network]
    groups: Callable[[Any], Any]  # left -> `nets.channel_groups.PrunableNetwork`
    macs: Callable[[Any], int]
    narrowest: Callable[[int], Any | None]  # no multiple of channels leaves fewer; None: unknown
    widths: Callable[[Any], Mapping[str, int]]  # left -> channels of each group
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
    # (choices, arch, weights) -> how likely each candidate is, as the gates are 0 or 1
    probabilities: Callable[[Space, Arch, Weights], Gates]
    # (layer -> milliseconds of its four candidates) -> milliseconds of each candidate
    layer_costs: Callable[[Mapping[int, Sequence[float]]], Mapping[str, Any]]
    fixed_ms: float  # of the paper's device outside the searched layers


class SearchSpace(NamedTuple):
    """A search space under the name that `--space` has for it."""

    name: str
    genotype_space: str  # the name that genotypes of it bear
    noun: str  # what its networks are called in messages
    summary: str  # for `jaxnas spaces`
    choices: Space  # whose gates a search has
    genome: Genome
    # (choices, *, features, cells, classes, reductions, remat, **settings of a stage)
    supernet: Callable[..., Supernet]
    # (genotype, *, features, cells, classes, reductions, auxiliary[, widths])
    network: Callable[..., Network]
    discretise: Callable[[Space, Gates], Genotype]
    distribution: ArchDistribution  # of the networks that gates mean
    # size -> each candidate where it stands
    layers: Callable[[NetworkSize], Iterator[LayerSpec]]
    sizes: Mapping[str, PresetSizes]  # by preset
    campaign_cells: int  # of a campaign's networks by default
    ignores: Mapping[str, frozenset[str]]  # command -> flags without effect on this space
    supports: frozenset[str]  # what methods may need: see methods/entry
    # f64[positions, candidates, quantities] of a chain at a size
    workload: Callable[[NetworkSize], np.ndarray] | None = None
    blocks: Callable[[Genotype, NetworkSize], Iterator[BlockSpec]] | None = None
    # (genotype, recipe, image, classes); None: its networks are not narrowed by the command
    prunable: Callable[..., Prunable] | None = None
    edits: Edits | None = None
    superkernel: Superkernel | None = None
    edges_per_node: int | None = None  # that a node keeps; None: all
    shaped_by_cells: bool = False  # whether another number of cells is another space
    cells: int | None = None  # that shaped it; None: as in the paper
    cells_of: Callable[[Genotype], int | None] = lambda genotype: None  # `cells` of a network
    features_multiple: int = 1
    label: Callable[[Genotype], str] | None = None  # a short text that names a genotype uniquely
    parse: Callable[[str], Genotype | None] | None = None  # the field's own notation; None: not it
    published: Mapping[str, Genotype] = {}  # that others found, by name
    check: Callable[[Genotype], None] = lambda genotype: None  # beyond `genotype.check`
    benchmark: str | None = None  # the module of a tabular benchmark of it
    digest: str | None = None  # SHA-256 of a user's file
