"""The weights of a discrete network, cut out of the supernet that it is a part of."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxnas.core.types import NONE, Choice, Space, Stats, Weights
from jaxnas.nets import edge_stacks
from jaxnas.spaces.genotype import Genotype

# What only an affine normalisation has, and the value at which it does nothing.
AFFINE = {"scale": jnp.ones, "bias": jnp.zeros}


def from_darts(
    space: Space,
    genotype: Genotype,
    reductions: Sequence[int],
    supernet: tuple[Weights, Stats],
    network: tuple[Weights, Stats],
) -> tuple[Weights, Stats]:
    """(weights, statistics) of `network.cifar(genotype, ...)`, with the supernet's values.

    `network` says the shapes: `jax.eval_shape(network.init, key, images)`. Both have the same
    cells, features, classes and stem; each edge of the genotype is one of the space's. Affine
    normalisations, which the supernet's cells do without, get scale 1 and bias 0: so the network
    computes what the supernet does with one-hot gates, if it was built with the supernet's own
    candidates (`ops.DARTS`; the default of derived networks leaves out the normalisation of
    pools). Raises ValueError where an edge or a candidate is not the supernet's, and where the
    two trees do not match.
    """
    cut = tuple(_cut(space, genotype, reductions, supernet[0], tree) for tree in supernet)
    return tuple(_overlay(old, new, ()) for old, new in zip(network, cut, strict=True))


def _cut(
    space: Space, genotype: Genotype, reductions: Sequence[int], weights: Weights, tree: Any
) -> dict[str, Any]:
    """The tree with `edge_<i>` instead of stacks of edges."""
    found = {}
    for name, part in tree.items():
        if name.startswith("cell_"):
            reduces = int(name.removeprefix("cell_")) in reductions
            part = _cut_cell(space, genotype, reduces, weights[name], part)
        found[name] = part
    return found


def _cut_cell(
    space: Space, genotype: Genotype, reduces: bool, weights: Mapping, tree: Mapping
) -> dict[str, Any]:
    kind = "reduce" if reduces else "normal"
    loops = edge_stacks.plans(space[kind], reduces)
    found = {name: part for name, part in tree.items() if name not in loops}
    for i, (source, target, op) in enumerate(genotype.cells[kind].edges):
        edge = _row(space[kind], kind, source, target, op)
        if op == NONE:
            continue
        loop = next(name for name, plan in loops.items() if edge in plan.edges)
        stack = tree.get(loop, {}).get(op)
        if stack is not None:
            row = edge_stacks.row_of_edge(loops[loop], op, edge, op in weights.get(loop, {}))
            found[f"edge_{i}"] = jax.tree.map(lambda leaf, row=row: leaf[row], stack)
    return found


def _row(choice: Choice, kind: str, source: int, target: int, op: str) -> int:
    if (source, target) not in choice.edges:
        raise ValueError(f"The space has no edge from {source} to {target} in the cell {kind!r}.")
    edge = choice.edges.index((source, target))
    if op not in choice.candidates[edge]:
        raise ValueError(
            f"{op!r} is no candidate of the edge from {source} to {target} in the cell {kind!r}: "
            f"choose among {', '.join(choice.candidates[edge])}."
        )
    return edge


def _overlay(old: Any, new: Any, path: tuple[str, ...]) -> Any:
    where = "/".join(path)
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        lost = sorted(new.keys() - old.keys())
        if lost:
            raise ValueError(f"The network has no place for the supernet's {where}/{lost[0]}.")
        return {
            name: _overlay(part, new[name], (*path, name))
            if name in new
            else _neutral(part, (*path, name))
            for name, part in old.items()
        }
    if isinstance(old, Mapping) or isinstance(new, Mapping) or old.shape != new.shape:
        raise ValueError(f"{where} has another shape in the supernet than in the network.")
    return new


def _neutral(part: Any, path: tuple[str, ...]) -> Any:
    if isinstance(part, Mapping):
        return {name: _neutral(child, (*path, name)) for name, child in part.items()}
    if path[-1] not in AFFINE:
        raise ValueError(f"The supernet has no {'/'.join(path)}, which the network needs.")
    return AFFINE[path[-1]](part.shape, part.dtype)
