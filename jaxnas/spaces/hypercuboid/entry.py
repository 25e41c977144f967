"""The search space of sharpDARTS's hypercuboid: a path through layers of searched widths.

A genotype's widths are multiples of the features, so that its network may be wider.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from jaxnas.core.types import Gates, Network, Space, Supernet
from jaxnas.nets import batch_norm, functional, stems
from jaxnas.spaces import genome, layers, pruning
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.hypercuboid import blocks, discretise, distribution
from jaxnas.spaces.hypercuboid import choices as hypercuboid_choices
from jaxnas.spaces.hypercuboid import network as networks
from jaxnas.spaces.hypercuboid import supernet as supernets
from jaxnas.spaces.search_space import LayerSpec, NetworkSize, PresetSizes, SearchSpace

NAME = "hypercuboid"
LAYERS, WIDTHS = 4, (1, 2, 4)  # defaults (ours); widths are multiples of the features
SIZES: Mapping[str, PresetSizes] = {
    "quick": PresetSizes({"cells": 4, "features": 4}, {"cells": None, "features": 4}),
    "paper": PresetSizes(None, None),
}


def entry(cells: int | None = None) -> SearchSpace:
    """The space of `cells` layers (None: 4).

    In a search all edges of a layer compete; networks are paths, which the genome encodes as a
    chain of one transition a layer.
    """
    layer_count = LAYERS if cells is None else cells
    grid = hypercuboid_choices.hypercuboid(layer_count, len(WIDTHS))
    chain = hypercuboid_choices.as_chain(grid, WIDTHS)
    return SearchSpace(
        name=NAME,
        genotype_space=NAME,
        noun="a path through a grid",
        summary="sharpDARTS's hypercuboid: a layer's operation and width; --cells are its layers",
        choices=grid,
        genome=genome.of_space(
            chain, discretise.path_of_chain, gates=functools.partial(_gates, grid)
        ),
        supernet=_supernet,
        network=_network,
        discretise=functools.partial(discretise.strongest_path, widths=WIDTHS),
        distribution=distribution.transitions(grid, WIDTHS),
        layers=lambda size: (layer for layers_ in _layers(size) for layer in layers_),
        sizes=SIZES,
        campaign_cells=LAYERS,
        ignores={"retrain": frozenset({"cells", "drop_path", "auxiliary"})},
        supports=frozenset({"joint", "search_reductions"}),
        workload=_workload,
        prunable=functools.partial(pruning.of_cells, _network, _widths),
        shaped_by_cells=True,
        cells=layer_count,
        cells_of=_layer_count,
    )


def _gates(grid: Space, rows: np.ndarray) -> Gates:
    """One-hot gates of a search, of paths i[..., layers]."""
    rows, gates = np.asarray(rows), {}
    for layer, (name, columns) in enumerate(
        zip(grid, hypercuboid_choices.transitions(grid, WIDTHS), strict=True)
    ):
        flat_index = np.array(list(columns.values()))[rows[..., layer]]
        shape = grid[name].shape
        flat = (flat_index[..., None] == np.arange(shape[0] * shape[1])).astype(np.float32)
        gates[name] = flat.reshape(*flat.shape[:-1], *shape)
    return gates


def _supernet(
    choices: Space,
    *,
    features: int,
    cells: int | None,
    classes: int,
    reductions: Sequence[int] | None,
    remat: bool,
) -> Supernet:
    if cells not in (None, len(choices)):
        raise ValueError(
            f"This grid has {len(choices)} layers, not {cells}: its entry decides that."
        )
    halved = functional.default_reductions(len(choices)) if reductions is None else reductions
    widths = [features * width for width in WIDTHS]
    return supernets.supernet(
        choices, widths=widths, classes=classes, reductions=halved, remat=remat
    )


def _network(
    genotype: Genotype,
    *,
    features: int,
    cells: int | None,
    classes: int,
    reductions: Sequence[int] | None,
    auxiliary: bool,
    widths: Sequence[int] | None = None,
) -> Network:
    if auxiliary:
        raise ValueError("A path has no auxiliary head: leave it out.")
    layer_count = _layer_count(genotype)
    if cells not in (None, layer_count):
        raise ValueError(f"The path has {layer_count} layers, not {cells}: it says so.")
    if widths is not None:
        genotype, features = networks.with_widths(genotype, widths), 1
    halved = functional.default_reductions(layer_count) if reductions is None else reductions
    return networks.network(genotype, features=features, classes=classes, reductions=halved)


def _widths(
    genotype: Genotype, features: int, cells: int | None, reductions: Sequence[int] | None
) -> pruning.NamedWidths:
    """A pool that keeps the width keeps its input's channels, else it has a convolution."""
    widths, names, unequal = networks.widths_of(genotype, features), ["stem"], []
    for i, (_, _, op) in enumerate(genotype.cells["grid"].edges):
        pools, stays = "pool" in op, widths[i] == widths[i + 1]
        names.append(names[-1] if pools and stays else f"layer_{i}")
        unequal += [(i, i + 1)] if pools and not stays else []
    return pruning.NamedWidths(widths, tuple(names), tuple(unequal))


def _layer_count(genotype: Genotype) -> int:
    return sum(len(cell.edges) for cell in genotype.cells.values())


def _layers(size: NetworkSize) -> Iterator[list[LayerSpec]]:
    """The candidates of each layer in the order of the chain. `size.cells` are the layers.

    Raises ValueError for images that become smaller than a pixel.
    """
    grid = hypercuboid_choices.hypercuboid(size.cells, len(WIDTHS))
    halved = functional.default_reductions(size.cells)
    height, width, _ = size.image
    stems.check_image(height, width, len(set(halved)), imagenet=False)
    norm = batch_norm.norms(True, training=False).outside
    for layer, names in enumerate(hypercuboid_choices.transitions(grid, WIDTHS)):
        stride = 2 if layer in halved else 1
        specs = []
        for op in names:
            name, inputs, features = networks.parse_transition(op, size.features)
            module = blocks.OPS[name](features, stride, norm)
            specs.append(layers.of_chain(NAME, op, module, height, width, inputs, features, stride))
        yield specs
        height, width = -(-height // stride), -(-width // stride)


def _workload(size: NetworkSize) -> np.ndarray:
    """f64[layers, candidates, QUANTITIES] of the chain, for one image.

    The stem has the input width of the first layer's candidate, and is counted with it.
    """
    norm = batch_norm.norms(True, training=False).outside
    height, width, channels = size.image

    def stem(layer: LayerSpec) -> LayerSpec:
        module = stems.Stem(layer.inputs, norm)
        return layers.of_chain(NAME, "stem", module, height, width, channels, layer.inputs, 1)

    first, *others = _layers(size)
    rows = [[layers.workload(layer) + layers.workload(stem(layer)) for layer in first]]
    rows += [[layers.workload(layer) for layer in of_layer] for of_layer in others]
    return layers.padded(rows)
