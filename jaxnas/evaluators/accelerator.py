"""Networks and the accelerator that they run on, evaluated together: NASAIC's cost.

Yang et al. 2020, https://arxiv.org/abs/2002.04116.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxnas.evaluators import evaluator
from jaxnas.evaluators.evaluator import Evaluator
from jaxnas.hardware.accelerator import cost, space_layers
from jaxnas.hardware.accelerator.cost import Array
from jaxnas.hardware.accelerator.space_layers import LayerCounts
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.search_space import NetworkSize, SearchSpace

FIGURES = {"latency_ms": False, "energy_mj": False, "area_mm2": False}


def arrays_of(design: Mapping[str, Any]) -> tuple[Array, ...]:
    """The arrays of knobs `0.dataflow`, `0.elements`, `0.bandwidth`, `1.dataflow` and so on."""
    names = dict.fromkeys(name.partition(".")[0] for name in design)
    part = lambda name: (design[f"{name}.{field}"] for field in Array._fields)
    return tuple(Array(*part(name)) for name in names)


def accelerator(
    space: SearchSpace, sizes: Mapping[str, NetworkSize], hardware: str = "hardware"
) -> Evaluator:
    """The cost of designs `{task: genotype, ..., hardware: knobs}` of a product of design spaces.

    `sizes`: the size of the networks of each task; `knobs` as `arrays_of` takes them. Networks of
    the tasks run at once, each on the array of `cost.assign`.
    """
    counts = {task: space_layers.layer_counts(space, size) for task, size in sizes.items()}

    def figures(design: Mapping[str, Any], seed: int) -> Mapping[str, float]:
        arrays = arrays_of(design[hardware])
        costs = [_costs(space, counts[task], design[task], arrays) for task in sizes]
        _, total = cost.assign(np.array(costs))
        return total._asdict() | {"area_mm2": cost.area_mm2(arrays)}

    return evaluator.of_function(FIGURES, figures, at_once=64)


def _costs(
    space: SearchSpace, counts: LayerCounts, genotype: Genotype, arrays: Sequence[Array]
) -> list[np.ndarray]:
    row = space.genome.canonical(space.genome.encode(genotype)[None])
    return [space_layers.network_costs(counts, row, array)[0] for array in arrays]
