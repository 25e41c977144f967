"""What is recorded of gates after an epoch: their entropy, and the skips they would select."""

import numpy as np

from jaxnas.core.types import Gates, Space
from jaxnas.spaces import sampling
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.search_space import SearchSpace

SKIP = "skip_connect"


def of(choices: Space, gates: Gates, genotype: Genotype) -> dict[str, float]:
    """Mean entropy of an edge's gates in nats, and the skips of the current genotype."""
    rows = np.concatenate([np.asarray(gates[name]).reshape(-1) for name in choices])
    edges = sum(len(choice.edges) for choice in choices.values())
    # 0 log 0 is 0.
    entropy = -np.sum(rows * np.log(np.where(rows > 0, rows, 1))) / edges
    skips = {
        f"gates/skips/{name}": sum(op == SKIP for _, _, op in cell.edges)
        for name, cell in genotype.cells.items()
    }
    return {"gates/entropy": float(entropy), "gates/skips": sum(skips.values())} | skips


def skip_limits(space: SearchSpace) -> dict[str, int]:
    """The number of skips from which a cell counts as collapsed: more than half of its edges.

    Cells that are no choice of the space, as a path through a grid, have none.
    """
    cells = sampling.random_genotype(space, 0).cells
    can_skip = lambda choice: any(SKIP in row for row in choice.candidates)
    return {
        name: len(cell.edges) // 2 + 1
        for name, cell in cells.items()
        if name in space.choices and can_skip(space.choices[name])
    }
