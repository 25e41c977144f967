"""The workload of each candidate at each layer of a mobile chain: MACs, parameters, bytes."""

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
    """f64[positions, candidates, QUANTITIES] of `chain.space(chain)`, for images of that size.

    Missing candidates of narrower positions are zero. Raises ValueError for a chain without
    choices.
    """
    space, layers = chains.space(chain), chains.layers(chain)
    sizes_of_layers = sizes(
        layers, _halved(height, chain.stem_stride), _halved(width, chain.stem_stride)
    )
    rows = [
        [quantities(layers[edge[0]], name, *sizes_of_layers[edge[0]]) for name in names]
        for choice in space.values()
        for edge, names in zip(choice.edges, choice.candidates, strict=True)
    ]
    max_candidates = max(map(len, rows))
    return np.array([row + [[0.0] * len(QUANTITIES)] * (max_candidates - len(row)) for row in rows])


def of_table(candidates: Sequence[str], layers: int) -> np.ndarray | None:
    """f64[layers, candidates, QUANTITIES] of the chains of a public table, every candidate at
    every layer; None for a table of unknown sizes."""
    chain_layers = chains.layers(chains.resized(zoo.fbnet(), halvings=FBNET_HALVINGS))
    if set(candidates) != FBNET or layers != len(chain_layers):
        return None
    return np.array(
        [
            [quantities(layer, name, *size) for name in candidates]
            for layer, size in zip(
                chain_layers, sizes(chain_layers, FBNET_SIZE, FBNET_SIZE), strict=True
            )
        ]
    )


def sizes(layers: Sequence[chains.Layer], height: int, width: int) -> list[tuple[int, int]]:
    """(height, width) of each layer's input."""
    layer_sizes = []
    for layer in layers:
        layer_sizes.append((height, width))
        height, width = _halved(height, layer.stride), _halved(width, layer.stride)
    return layer_sizes


def quantities(layer: chains.Layer, name: str, height: int, width: int) -> list[float]:
    """QUANTITIES of one candidate at a layer with inputs of that size.

    A skip at a layer that changes the size or the features is a 1x1 convolution, as in the code of
    FBNet's authors.
    """
    input_pixels = height * width
    output_pixels = _halved(height, layer.stride) * _halved(width, layer.stride)
    if op_names.kind(name) == op_names.PASS:
        if layer.residual:
            return [0.0] * len(QUANTITIES)
        weights = layer.inputs * layer.features
        outputs = layer.features * output_pixels
        return [weights * output_pixels, 0, outputs, weights, 0, outputs]
    block = chains.block(name)
    hidden = chains.hidden(layer, block)
    first = 0 if block.expansion == 1 else layer.inputs * hidden // block.groups
    last = hidden * layer.features // block.groups
    depthwise_weights = hidden * block.kernel**2
    bytes_moved = layer.inputs * input_pixels + layer.features * output_pixels
    activations = hidden * input_pixels + hidden * output_pixels + layer.features * output_pixels
    return [
        first * input_pixels + last * output_pixels,
        depthwise_weights * output_pixels,
        activations,
        first + last + depthwise_weights,
        1,
        bytes_moved,
    ]


def _halved(size: int, stride: int) -> int:
    return -(-size // stride)
