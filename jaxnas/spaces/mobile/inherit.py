"""The weights of a found mobile network, cut out of the supernet that it is a part of."""

from collections.abc import Mapping
from typing import Any

from jaxnas.core.types import Stats, Weights
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile import superkernel
from jaxnas.spaces.mobile.chain import Block, Chain, Layer


def from_mixed(
    chain: Chain, genotype: Genotype, weights: Weights, stats: Stats
) -> tuple[Weights, Stats]:
    """(weights, statistics) of `network.network` out of `supernet.mixed`'s.

    The network then computes what the supernet does with `chain.one_hot` gates. Raises
    GenotypeError for a genotype that is not the chain's.
    """
    return _cut(chain, genotype, weights, stats, lambda layer, name, tree: tree[name])


def from_single_path(
    chain: Chain, genotype: Genotype, weights: Weights, stats: Stats
) -> tuple[Weights, Stats]:
    """The same out of `supernet.single_path`'s; equal where that closes features."""

    def centre(layer: Layer, name: str, tree: Mapping[str, Any]) -> dict[str, Any]:
        return _centre(layer, chains.block(name), tree)

    return _cut(chain, genotype, weights, stats, centre)


def _cut(chain, genotype, weights, stats, choose) -> tuple[Weights, Stats]:
    chosen, everything = chains.operations(chain, genotype), chains.layers(chain)
    found = []
    for tree in (weights, stats):
        kept = {part: tree[part] for part in ("front", "back")}
        for i, (name, layer) in enumerate(zip(chosen, everything, strict=True)):
            if name != chains.SKIP:
                part = tree[f"layer_{i}"]
                fixed = len(layer.candidates) == 1
                kept[f"layer_{i}"] = part if fixed else choose(layer, name, part)
        found.append(kept)
    return tuple(found)


def _centre(layer: Layer, what: Block, tree: Mapping[str, Any]) -> dict[str, Any]:
    hidden = chains.hidden(layer, what)
    largest = superkernel.masks(layer)[0].shape[1]
    inside = slice((largest - what.kernel) // 2, (largest + what.kernel) // 2)
    found = dict(tree)
    for norm in ("widen_norm", "look_norm"):
        if norm in tree:
            found[norm] = {name: value[:hidden] for name, value in tree[norm].items()}
    if "look" in tree:
        found["widen"] = {"kernel": tree["widen"]["kernel"][:, :hidden]}
        found["look"] = {"kernel": tree["look"]["kernel"][inside, inside, :hidden]}
        found["narrow"] = {"kernel": tree["narrow"]["kernel"][:hidden]}
    return found
