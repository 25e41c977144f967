"""Each candidate at each layer of a space's networks, as a Linen module of known sizes."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from jaxnas.core.types import NONE, Space
from jaxnas.nets import batch_norm, count, ops
from jaxnas.nets.mixed import mixed_edges
from jaxnas.spaces.genome import MAX_FIXED_LAYERS
from jaxnas.spaces.genotype import GenotypeError
from jaxnas.spaces.search_space import LayerSpec, NetworkSize

STAGES = (0, 1, 2)  # of a network of cells: features * 2**stage channels, sides / 2**stage
QUANTITIES = (
    "pointwise MACs", "depthwise MACs", "activations", "parameters", "blocks", "bytes moved once",
)  # fmt: skip


def of_cells(
    name: str, choices: Space, derived: ops.Ops, size: NetworkSize, *, halves: bool
) -> Iterator[LayerSpec]:
    """Every operation of a space of cells at each stage; `halves`: cells reduce the image, too.

    Raises GenotypeError for images that are not halved evenly.
    """
    names = dict.fromkeys(op for c in choices.values() for row in c.candidates for op in row)
    norm = batch_norm.norms(True, training=False).outside
    for stage, (height, width) in enumerate(stage_sides(size)):
        for op in (op for op in names if op != NONE):
            for stride in (1, 2) if halves and stage < len(STAGES) - 1 else (1,):
                features = size.features * 2**stage * stride
                record = {
                    "format": "jaxnas operator", "space": name, "operation": op,
                    "features": features, "stride": stride, "height": height, "width": width,
                }  # fmt: skip
                label = f"{op} {features}x{height}x{width} /{stride}"
                module = mixed_edges.op_factories([op], derived)[0][1](features, stride, norm)
                yield LayerSpec(
                    label, op, module, height, width, features, features, stride, record
                )


def of_chain(
    name: str,
    op: str,
    module: Any,
    height: int,
    width: int,
    inputs: int,
    features: int,
    stride: int,
) -> LayerSpec:
    """A candidate of a layer of a chain."""
    operation = op.partition(":")[0]
    record = {
        "format": "jaxnas operator", "space": name, "operation": operation,
        "features": features, "stride": stride, "height": height, "width": width,
        "inputs": inputs,
    }  # fmt: skip
    label = f"{operation} {inputs}-{features}x{height}x{width} /{stride}"
    return LayerSpec(label, op, module, height, width, inputs, features, stride, record)


def stage_sides(size: NetworkSize) -> list[tuple[int, int]]:
    """(height, width) of the images at each stage of a network of cells."""
    height, width = size.image[:2]
    last = 2 ** STAGES[-1]
    if height % last or width % last:
        raise GenotypeError(
            f"Operations are measured at sides divided by 1, 2 and {last}, which {height}x{width} "
            f"pixels do not allow: take multiples of {last}."
        )
    return [(height >> stage, width >> stage) for stage in STAGES]


def workload(layer: LayerSpec) -> np.ndarray:
    """f64[QUANTITIES] of a layer, from its module's kernels; a pool has no MACs."""
    kernels, parameters = count.kernels(layer.module, (layer.height, layer.width, layer.inputs))
    depthwise = sum(kernel.macs for kernel in kernels if len(kernel.shape) == 3)
    dense = sum(kernel.macs for kernel in kernels) - depthwise
    activations = sum(kernel.shape[-1] * kernel.pixels for kernel in kernels)
    height, width = -(-layer.height // layer.stride), -(-layer.width // layer.stride)
    outputs = layer.features * height * width
    bytes_moved = layer.inputs * layer.height * layer.width + outputs
    return np.array([dense, depthwise, activations or outputs, parameters, 1, bytes_moved], float)


def padded(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """f64[positions, candidates, QUANTITIES]; missing candidates of narrower positions are zero."""
    max_candidates = max(map(len, rows))
    zeros = np.zeros(len(QUANTITIES))
    return np.array([list(row) + [zeros] * (max_candidates - len(row)) for row in rows])


def first_number(numbers: Collection[int], searched: Collection[int]) -> int:
    """The number that the table gives layer 0 of the chain: 0 or 1.

    numbers: of the table's layers; searched: the layers of the chain, from 0, whose times are
    needed. The first and the last layer of a network may be fixed, and missing in the table. Raises
    ValueError where a table may be counted in both ways.
    """
    lowest, highest = min(searched), max(searched)
    # Beyond the searched layers there is at most one: all fixed ones but the first.
    last = highest + MAX_FIXED_LAYERS - 1
    fits = [
        start
        for start in (0, 1)
        if min(numbers) >= start
        and max(numbers) <= last + start
        and {layer + start for layer in searched} <= set(numbers)
    ]
    if len(fits) < 2:
        return fits[0] if fits else 0
    if lowest and max(numbers) == highest + 1 and min(numbers) == 1:
        raise ValueError(
            f"The table's layers are numbered {min(numbers)} to {max(numbers)}: from 0 without the "
            "first, or from 1 without the last? Number them from 0, as the chain does, and give "
            "layer 0 too."
        )
    return fits[0]
