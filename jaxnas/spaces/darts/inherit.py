"""Weight inheritance: the weights of a discrete DARTS network, taken from its supernet."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxnas.core.types import NONE, Choice, Space, Stats, Weights
from jaxnas.nets.mixed import edge_stacks
from jaxnas.spaces.genotype import Genotype

# The parameters of an affine normalisation, and the values at which it is the identity.
NEUTRAL = {"scale": jnp.ones, "bias": jnp.zeros}


def from_darts(
    space: Space,
    genotype: Genotype,
    reductions: Sequence[int],
    supernet: tuple[Weights, Stats],
    network: tuple[Weights, Stats],
) -> tuple[Weights, Stats]:
    """(weights, statistics) of `network.cifar(genotype, ...)`, with the supernet's values.

    `network` are its shapes: `jax.eval_shape(network.init, key, images)`. Both have the same
    cells, features, classes and stem; each edge of the genotype is one of the space's. Affine
    normalisations, which the supernet's cells do not have, get scale 1 and bias 0: so the network
    equals the supernet with one-hot gates, if it has the supernet's candidates (`ops.DARTS`; by
    default pools of derived networks have no normalisation). Raises ValueError if an edge or a
    candidate is not the supernet's, and if the two trees do not match.
    """
    inherited = (_cut(space, genotype, reductions, supernet[0], tree) for tree in supernet)
    pairs = zip(network, inherited, strict=True)
    return tuple(_fill(shapes, values, ()) for shapes, values in pairs)


def _cut(
    space: Space, genotype: Genotype, reductions: Sequence[int], weights: Weights, tree: Any
) -> dict[str, Any]:
    """The tree with `edge_<i>` instead of stacks of edges."""
    network = {}
    for name, part in tree.items():
        if name.startswith("cell_"):
            reduces = int(name.removeprefix("cell_")) in reductions
            part = _cut_cell(space, genotype, reduces, weights[name], part)
        network[name] = part
    return network


def _cut_cell(
    space: Space, genotype: Genotype, reduces: bool, weights: Mapping, tree: Mapping
) -> dict[str, Any]:
    kind = "reduce" if reduces else "normal"
    loops = edge_stacks.loops_of_cell(space[kind], reduces)
    cell = {name: part for name, part in tree.items() if name not in loops}
    for i, (source, target, op) in enumerate(genotype.cells[kind].edges):
        edge = _row_of_choice(space[kind], kind, source, target, op)
        if op == NONE:
            continue
        loop = next(name for name, loop in loops.items() if edge in loop.edges)
        stack = tree.get(loop, {}).get(op)
        if stack is not None:
            row = edge_stacks.row_of_edge(loops[loop], op, edge, op in weights.get(loop, {}))
            cell[f"edge_{i}"] = jax.tree.map(lambda leaf, row=row: leaf[row], stack)
    return cell


def _row_of_choice(choice: Choice, kind: str, source: int, target: int, op: str) -> int:
    if (source, target) not in choice.edges:
        raise ValueError(f"The space has no edge from {source} to {target} in the cell {kind!r}.")
    edge = choice.edges.index((source, target))
    if op not in choice.candidates[edge]:
        raise ValueError(
            f"{op!r} is no candidate of the edge from {source} to {target} in the cell {kind!r}: "
            f"choose among {', '.join(choice.candidates[edge])}."
        )
    return edge


def _fill(shapes: Any, values: Any, path: tuple[str, ...]) -> Any:
    """A tree of these shapes: `values`, and the identity's parameters where there are none."""
    path_text = "/".join(path)
    if isinstance(shapes, Mapping) and isinstance(values, Mapping):
        unknown = sorted(values.keys() - shapes.keys())
        if unknown:
            raise ValueError(
                f"The network has no place for the supernet's {path_text}/{unknown[0]}."
            )
        return {
            name: _fill(part, values[name], (*path, name))
            if name in values
            else _neutral(part, (*path, name))
            for name, part in shapes.items()
        }
    if isinstance(shapes, Mapping) or isinstance(values, Mapping) or shapes.shape != values.shape:
        raise ValueError(f"{path_text} has another shape in the supernet than in the network.")
    return values


def _neutral(shapes: Any, path: tuple[str, ...]) -> Any:
    if isinstance(shapes, Mapping):
        return {name: _neutral(part, (*path, name)) for name, part in shapes.items()}
    if path[-1] not in NEUTRAL:
        raise ValueError(f"The supernet has no {'/'.join(path)}, which the network needs.")
    return NEUTRAL[path[-1]](shapes.shape, shapes.dtype)
