"""Weight inheritance: the weights of a mobile network, taken from its supernet."""

from collections.abc import Callable, Mapping
from typing import Any

from jaxnas.core.types import Stats, Weights
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile import superkernel
from jaxnas.spaces.mobile.chain import Block, Chain, Layer


def from_mixed(
    chain: Chain, genotype: Genotype, weights: Weights, stats: Stats
) -> tuple[Weights, Stats]:
    """(weights, statistics) of `network.network`, taken from those of `supernet.mixed`.

    The network then computes what the supernet does with `chain.one_hot` gates. Raises
    GenotypeError for a genotype that is not the chain's.
    """
    return _cut(chain, genotype, weights, stats, lambda layer, name, tree: tree[name])


def from_single_path(
    chain: Chain, genotype: Genotype, weights: Weights, stats: Stats
) -> tuple[Weights, Stats]:
    """As `from_mixed`, from `supernet.single_path`; equal if its `closing` is "features"."""

    def centre(layer: Layer, name: str, tree: Mapping[str, Any]) -> dict[str, Any]:
        return _centre(layer, chains.block(name), tree)

    return _cut(chain, genotype, weights, stats, centre)


def _cut(
    chain: Chain,
    genotype: Genotype,
    weights: Weights,
    stats: Stats,
    take_candidate: Callable[[Layer, str, Any], Any],
) -> tuple[Weights, Stats]:
    """`take_candidate(layer, candidate, tree)`: a candidate's tree, of that of a searched layer."""
    pairs = list(zip(chains.operations(chain, genotype), chains.layers(chain), strict=True))
    network = []
    for tree in (weights, stats):
        parts = {part: tree[part] for part in ("front", "back")}
        for i, (name, layer) in enumerate(pairs):
            if name != chains.SKIP:
                part = tree[f"layer_{i}"]
                is_fixed = len(layer.candidates) == 1
                parts[f"layer_{i}"] = part if is_fixed else take_candidate(layer, name, part)
        network.append(parts)
    return tuple(network)


def _centre(layer: Layer, block: Block, tree: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a superkernel's tree that is the tree of `block`."""
    hidden = chains.hidden(layer, block)
    largest = superkernel.masks(layer)[0].shape[1]
    centre = slice((largest - block.kernel) // 2, (largest + block.kernel) // 2)
    part = dict(tree)
    for norm in ("widen_norm", "look_norm"):
        if norm in tree:
            part[norm] = {name: value[:hidden] for name, value in tree[norm].items()}
    if "look" in tree:
        part["widen"] = {"kernel": tree["widen"]["kernel"][:, :hidden]}
        part["look"] = {"kernel": tree["look"]["kernel"][centre, centre, :hidden]}
        part["narrow"] = {"kernel": tree["narrow"]["kernel"][:hidden]}
    return part
