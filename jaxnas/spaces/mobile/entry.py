"""The mobile search spaces: a chain of layers, each a choice among inverted bottlenecks.

A space is named after the paper of its chain; `--cells` is the maximum of layers in a stage,
`--features` the stem's features.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnas.core.types import Network, Space, Supernet
from jaxnas.nets import batch_norm
from jaxnas.nets.mixed import mixed_layer
from jaxnas.spaces import distribution, genome, layers
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.mobile import (
    blocks,
    chain_file,
    pruning,
    sizing,
    superkernel_gates,
    superkernel_latency,
    supernet,
    workload,
)
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile import network as networks
from jaxnas.spaces.mobile.chain import Chain
from jaxnas.spaces.search_space import (
    LayerSpec,
    NetworkSize,
    PresetSizes,
    Prunable,
    SearchSpace,
    Superkernel,
)

QUICK_STEM = 8


class MobileChain(NamedTuple):
    """The chain of a paper and the size of the space made of it."""

    paper: Chain
    name: str
    repeats: int | None  # maximum of layers in a stage; None: as in the paper


def entry(
    make_chain: Callable[[], Chain], cells: int | None = None, *, name: str, summary: str
) -> SearchSpace:
    """The space of `make_chain()`, with at most `cells` layers a stage; None: as in the paper.

    Its supernets and networks raise ValueError for another number of `cells`.
    """
    mobile = MobileChain(make_chain(), name, cells)
    chain = sizing.sized(mobile.paper, name, repeats=cells)
    choices = chains.space(chain)
    select = lambda space, gates: chains.select(chain, gates)
    return SearchSpace(
        name=name,
        genotype_space=chain.name,
        noun="a mobile network",
        summary=summary,
        choices=choices,
        genome=genome.of_space(choices, select),
        supernet=functools.partial(_supernet, mobile),
        network=functools.partial(_network, mobile),
        discretise=select,
        distribution=distribution.factorised(choices),
        layers=functools.partial(_layers, mobile),
        sizes=_sizes(mobile.paper),
        campaign_cells=1,
        ignores={
            "search": frozenset({"reductions"}),
            "retrain": frozenset({"cells", "drop_path", "auxiliary", "reductions"}),
        },
        supports=frozenset(
            {"edgewise", "execute", "sampled_layers", "binary_gates", "superkernel"}
        ),
        workload=functools.partial(_workload, mobile),
        prunable=functools.partial(_prunable, mobile),
        superkernel=_superkernel(choices),
        shaped_by_cells=True,
        cells=cells,
        cells_of=functools.partial(sizing.repeats_of, mobile.paper, name),
        features_multiple=4,
    )


def _superkernel(choices: Space) -> Superkernel:
    return Superkernel(
        superkernel_gates.relaxation,
        superkernel_gates.shares,
        functools.partial(superkernel_latency.costs, choices),
        superkernel_latency.PIXEL1_FIXED_MS,
    )


def _sizes(paper: Chain) -> Mapping[str, PresetSizes]:
    return {
        "quick": PresetSizes(
            {"cells": 1, "features": QUICK_STEM}, {"cells": None, "features": QUICK_STEM}
        ),
        "paper": PresetSizes({"cells": 4, "features": paper.stem}, None),
    }


def _supernet(
    mobile: MobileChain,
    choices: Space,
    *,
    features: int,
    cells: int | None,
    classes: int,
    reductions: Sequence[int] | None,
    **mixture: Any,
) -> Supernet:
    chain = _chain(mobile, features, cells, reductions)
    if dict(choices) != dict(chains.space(chain)):
        name = mobile.name
        raise ValueError(f"A supernet of {name} has the candidates of {name}, no more or fewer.")
    make_supernet = _maker(**mixture)
    supernet_for = lambda inputs: make_supernet(
        sizing.for_image(chain, *inputs.shape[1:3]), classes=classes
    )
    return Supernet(
        choices,
        lambda key, inputs: supernet_for(inputs).init(key, inputs),
        lambda weights, stats, gates, inputs: supernet_for(inputs).apply(
            weights, stats, gates, inputs
        ),
        lambda weights, stats, gates, inputs: supernet_for(inputs).infer(
            weights, stats, gates, inputs
        ),
    )


def _maker(
    *, remat: bool, execute: mixed_layer.Execute = "all", superkernel: bool = False
) -> Callable[..., Supernet]:
    if superkernel:
        return supernet.single_path
    # Mixtures that execute one candidate at a time already recompute it.
    recomputes = execute in ("recomputed", "two")
    return functools.partial(
        supernet.mixed, remat=remat and not recomputes, mixture=mixed_layer.mixture(execute)
    )


def _network(
    mobile: MobileChain,
    genotype: Genotype,
    *,
    features: int,
    cells: int | None,
    classes: int,
    reductions: Sequence[int] | None,
    auxiliary: bool,
) -> Network:
    if auxiliary:
        raise ValueError("A mobile network has no auxiliary head: leave it out.")
    chain = _chain(mobile, features, cells, reductions)

    def network_for(inputs):
        fitted_chain = sizing.for_image(chain, *inputs.shape[1:3])
        return networks.network(fitted_chain, genotype, classes=classes)

    networks.network(chain, genotype, classes=classes)  # raises for an invalid genotype
    return Network(
        lambda key, inputs: network_for(inputs).init(key, inputs),
        lambda weights, stats, inputs, *arguments: network_for(inputs).apply(
            weights, stats, inputs, *arguments
        ),
        lambda weights, stats, inputs: network_for(inputs).infer(weights, stats, inputs),
    )


def _chain(
    mobile: MobileChain, features: int, cells: int | None, reductions: Sequence[int] | None
) -> Chain:
    paper, name, repeats = mobile
    if reductions is not None:
        raise ValueError("A mobile network halves the image as its chain says: no reductions.")
    if cells is not None and cells != repeats:
        layers = "as many as in the paper" if repeats is None else repeats
        raise ValueError(
            f"The layers a stage of this {name} are {layers}, not {cells}: its entry decides that."
        )
    return sizing.sized(paper, name, features=features, repeats=repeats)


def _of_size(mobile: MobileChain, size: NetworkSize) -> Chain:
    chain = sizing.sized(mobile.paper, mobile.name, features=size.features, repeats=size.cells)
    return sizing.for_image(chain, *size.image[:2])


def _layers(mobile: MobileChain, size: NetworkSize) -> Iterator[LayerSpec]:
    """Each inverted bottleneck at each layer. `size.cells`: the maximum of layers in a stage.

    Raises ValueError for images too small for the chain's halvings.
    """
    height, width = size.image[:2]
    chain = _of_size(mobile, size)
    chains.check_image(chain, height, width)
    norm = blocks.chain_norm(chain, batch_norm.norms(True, training=False).outside)
    chain_layers = chains.layers(chain)
    stride = chain.stem_stride
    sides = workload.sizes(chain_layers, -(-height // stride), -(-width // stride))
    for layer, (rows, columns) in zip(chain_layers, sides, strict=True):
        for op in (op for op in layer.candidates if op != chains.SKIP):
            module = blocks.bottleneck(layer, op, chain, norm)
            yield layers.of_chain(
                mobile.name, op, module, rows, columns, layer.inputs, layer.features, layer.stride
            )


def _prunable(
    mobile: MobileChain,
    genotype: Genotype,
    recipe: Any,
    image: tuple[int, int, int],
    classes: int,
) -> Prunable:
    """A pruned network is a fixed chain."""
    repeats = sizing.repeats_of(mobile.paper, mobile.name, genotype)
    chain = sizing.sized(mobile.paper, mobile.name, features=recipe.features, repeats=repeats)
    unpruned = pruning.fixed_chain(sizing.for_image(chain, *image[:2]), genotype)
    return Prunable(
        unpruned,
        lambda remaining: pruning.network(remaining, classes),
        lambda remaining: pruning.prunable_network(remaining, classes),
        lambda remaining: pruning.macs(remaining, image, classes),
        lambda multiple: pruning.narrowest(unpruned, multiple),
        lambda remaining: {key: group.width for key, group in pruning.groups(remaining).items()},
        "chain.json",
        chain_file.to_json,
        chain_file.from_json,
    )


def _workload(mobile: MobileChain, size: NetworkSize) -> np.ndarray:
    return workload.of_chain(_of_size(mobile, size), *size.image[:2])
