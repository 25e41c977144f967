"""The layers of paths through the hypercuboid: as programs to time, and what each computes."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxnas.hardware import programs
from jaxnas.hardware.programs import OPERATOR, NetworkSize, Program
from jaxnas.nets import batch_norm, count, functional, stems
from jaxnas.spaces import genome, registry
from jaxnas.spaces.hypercuboid import network as hypercuboid_network
from jaxnas.spaces.mobile import workload


class Step(NamedTuple):
    """A candidate of a layer, where it stands: an image enters and leaves."""

    operation: str
    module: Any  # of Linen
    entering: tuple[int, int, int]  # height, width, channels
    features: int  # that leave
    stride: int


def operators(size: NetworkSize) -> list[Program]:
    """Each candidate of each layer alone, those of equal sizes once.

    `size.cells` are the layers. Raises ValueError for images that become smaller than a pixel.
    """
    found = {}
    for step in (step for layer in _layers(size) for step in layer):
        height, width, inputs = step.entering
        name = step.operation.partition(":")[0]
        said = {
            "format": "jaxnas operator", "space": registry.GRID, "operation": name,
            "features": step.features, "stride": step.stride,
            "height": height, "width": width, "inputs": inputs,
        }  # fmt: skip
        title = f"{name} {inputs}-{step.features}x{height}x{width} /{step.stride}"
        if title not in found:
            x = programs.images_of(size.batch, *step.entering)
            found[title] = programs.module_alone(title, OPERATOR, said, step.module, x)
    return list(found.values())


def work_of(size: NetworkSize) -> np.ndarray:
    """f64[layers, candidates, work.QUANTITIES] of the space of `registry.measured`, an image each.

    The stem, which is as wide as the first layer's candidate expects, counts with it. Missing
    candidates of the last layer are zero. Raises ValueError as `operators`.
    """
    norm = batch_norm.norms(True, training=False).outside

    def with_stem(step: Step) -> np.ndarray:
        width = step.entering[2]
        stem = Step("stem", stems.Stem(width, norm), size.image, width, 1)
        return _quantities(step) + _quantities(stem)

    first, *others = _layers(size)
    rows = [[with_stem(step) for step in first]]
    rows += [[_quantities(step) for step in layer] for layer in others]
    wide = max(map(len, rows))
    nothing = np.zeros(len(workload.QUANTITIES))
    return np.array([row + [nothing] * (wide - len(row)) for row in rows])


def _layers(size: NetworkSize) -> Iterator[list[Step]]:
    """The candidates of each layer, in the order of the space of `registry.measured`."""
    entry = registry.measured(registry.GRID, size.cells)
    halved = functional.default_reductions(size.cells)
    height, width, _ = size.image
    stems.check_image(height, width, len(set(halved)), imagenet=False)
    norm = batch_norm.norms(True, training=False).outside
    for position in sorted(genome.positions(entry.space), key=lambda each: each.edge):
        stride = 2 if position.edge[0] in halved else 1
        layer = []
        for op in position.candidates:
            name, inputs, features = hypercuboid_network.parsed(op, size.features)
            module = entry.derived[name](features, stride, norm)
            layer.append(Step(op, module, (height, width, inputs), features, stride))
        yield layer
        height, width = -(-height // stride), -(-width // stride)


def _quantities(step: Step) -> np.ndarray:
    """`workload.QUANTITIES` of a step, from its module's kernels: none of a pool is multiplied."""
    kernels, parameters = count.kernels(step.module, step.entering)
    depthwise = sum(kernel.macs for kernel in kernels if len(kernel.shape) == 3)
    dense = sum(kernel.macs for kernel in kernels) - depthwise
    made = sum(kernel.shape[-1] * kernel.pixels for kernel in kernels)
    height, width, inputs = step.entering
    leaving = step.features * -(-height // step.stride) * -(-width // step.stride)
    moved = inputs * height * width + leaving
    return np.array([dense, depthwise, made or leaving, parameters, 1, moved], float)
