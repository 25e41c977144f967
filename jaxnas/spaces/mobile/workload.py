"""How much each candidate of a mobile chain computes at each layer, from its sizes."""

from collections.abc import Sequence

import numpy as np

from jaxnas.spaces import op_names
from jaxnas.spaces.mobile import chain as chains

QUANTITIES = (
    "pointwise MACs", "depthwise MACs", "activations", "parameters", "blocks", "bytes moved once",
)  # fmt: skip


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
