"""How much each candidate of a mobile chain computes at each layer, from its sizes."""

from collections.abc import Sequence

import numpy as np

from jaxnas.spaces import op_names
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile import zoo

QUANTITIES = (
    "pointwise MACs", "depthwise MACs", "activations", "parameters", "blocks", "bytes moved once",
)  # fmt: skip

# The candidates of HW-NAS-Bench's FBNet space at CIFAR's size, of which HELP's table is: its macro
# architecture (from memory) is FBNet's with stem and first halving at stride 1.
FBNET = {*zoo.FBNET} - {chains.SKIP} | {"skip"}
FBNET_SIZE, FBNET_HALVINGS = 32, 3


def of_chain(chain: chains.Chain, height: int, width: int) -> np.ndarray:
    """f64[positions, candidates, QUANTITIES] of `chain.space(chain)`, image of that size.

    Missing candidates of narrower positions are zero. Raises ValueError for a chain without
    choices.
    """
    space, everything = chains.space(chain), chains.layers(chain)
    size = sizes(everything, _halved(height, chain.stem_stride), _halved(width, chain.stem_stride))
    rows = [
        [quantities(everything[edge[0]], name, *size[edge[0]]) for name in names]
        for choice in space.values()
        for edge, names in zip(choice.edges, choice.candidates, strict=True)
    ]
    wide = max(map(len, rows))
    return np.array([row + [[0.0] * len(QUANTITIES)] * (wide - len(row)) for row in rows])


def of_table(candidates: Sequence[str], layers: int) -> np.ndarray | None:
    """f64[layers, candidates, QUANTITIES] of the chains of a public table, every candidate at
    every layer; None: their sizes are not known."""
    chain = chains.layers(chains.resized(zoo.fbnet(), halvings=FBNET_HALVINGS))
    if set(candidates) != FBNET or layers != len(chain):
        return None
    return np.array(
        [
            [quantities(layer, name, *size) for name in candidates]
            for layer, size in zip(chain, sizes(chain, FBNET_SIZE, FBNET_SIZE), strict=True)
        ]
    )


def sizes(layers: Sequence[chains.Layer], height: int, width: int) -> list[tuple[int, int]]:
    """(height, width) of the image that enters each layer."""
    found = []
    for layer in layers:
        found.append((height, width))
        height, width = _halved(height, layer.stride), _halved(width, layer.stride)
    return found


def quantities(layer: chains.Layer, name: str, height: int, width: int) -> list[float]:
    """QUANTITIES of one candidate at a layer which an image of that size enters.

    A skip where the image changes its size or features is a 1x1 convolution, as in the code of
    FBNet's authors.
    """
    before = height * width
    after = _halved(height, layer.stride) * _halved(width, layer.stride)
    if op_names.kind(name) == op_names.PASS:
        if layer.residual:
            return [0.0] * len(QUANTITIES)
        weights = layer.inputs * layer.features
        out = layer.features * after
        return [weights * after, 0, out, weights, 0, out]
    what = chains.block(name)
    hidden = chains.hidden(layer, what)
    first = 0 if what.expansion == 1 else layer.inputs * hidden // what.groups
    last = hidden * layer.features // what.groups
    taps = hidden * what.kernel**2
    moved = layer.inputs * before + layer.features * after
    inside = hidden * before + hidden * after + layer.features * after
    return [first * before + last * after, taps * after, inside, first + last + taps, 1, moved]


def _halved(size: int, stride: int) -> int:
    return -(-size // stride)
