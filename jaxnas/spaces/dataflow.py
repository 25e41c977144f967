"""What is left of a genotype when dead edges are gone: what is deployed, and so measured.

An edge is dead where its operation is `none`, where nothing enters its source, or where nothing
of its target reaches the output. The first and the last change no result. The second leaves out
operations that see an empty image, whose normalisation would add one constant to every pixel: a
network is trained as pruned, or that constant is lost.
"""

from jaxnas.core.types import Space
from jaxnas.spaces.choices import NONE
from jaxnas.spaces.genotype import Cell, Genotype

NOISE = "noise"  # makes an image out of nothing


def remove_dead_edges(genotype: Genotype) -> Genotype:
    """The genotype with `none` on every dead edge: edges and their order stay."""
    return genotype._replace(
        cells={name: _without_dead_edges(c) for name, c in genotype.cells.items()}
    )


def is_connected(genotype: Genotype) -> bool:
    """Whether something of its inputs (or noise) reaches the output of every cell."""
    return all(
        any(op != NONE and target in cell.concat for _, target, op in cell.edges)
        for cell in remove_dead_edges(genotype).cells.values()
    )


def _without_dead_edges(cell: Cell) -> Cell:
    filled = set(range(cell.inputs))
    for source, target, op in sorted(cell.edges, key=lambda edge: edge[1]):
        if op != NONE and (source in filled or op == NOISE):
            filled.add(target)
    wanted = set(cell.concat)
    for source, target, op in sorted(cell.edges, key=lambda edge: -edge[1]):
        if op != NONE and target in wanted and (source in filled or op == NOISE):
            wanted.add(source)
    alive = lambda source, target, op: target in wanted and (source in filled or op == NOISE)
    edges = tuple((s, t, op if alive(s, t, op) else NONE) for s, t, op in cell.edges)
    return cell._replace(edges=edges)


def isomorph(genotype: Genotype, space: Space | None = None) -> Genotype | None:
    """Another genotype that computes the same, or None where there is none so simple.

    Two neighbouring nodes without an operation between them change places. In NAS-Bench-201:
    nodes 1 and 2 where the edge between them is `none`. With a space, the twin is of it as well.
    """
    for name, cell in genotype.cells.items():
        nodes = sorted({target for _, target, _ in cell.edges})
        for node in nodes[:-1]:
            swapped = _swapped(cell, node)
            if swapped is None or sorted(swapped.edges) == sorted(cell.edges):
                continue
            other = genotype._replace(cells=dict(genotype.cells) | {name: swapped})
            if space is None or _within(other, space):
                return other
    return None


def _swapped(cell: Cell, node: int) -> Cell | None:
    after = node + 1
    if (node in cell.concat) != (after in cell.concat):
        return None
    if any(op != NONE and {s, t} == {node, after} for s, t, op in cell.edges):
        return None
    place = {node: after, after: node}
    moved = [
        (s, t, op) if {s, t} == {node, after} else (place.get(s, s), place.get(t, t), op)
        for s, t, op in cell.edges
    ]
    # In the order in which the space lists its edges, as the genotype did.
    return cell._replace(edges=tuple(sorted(moved, key=lambda edge: (edge[1], edge[0]))))


def _within(genotype: Genotype, space: Space) -> bool:
    for name, cell in genotype.cells.items():
        choice = space.get(name)
        if choice is None:
            return False
        allowed = dict(zip(choice.edges, choice.candidates, strict=True))
        if any(op not in allowed.get((s, t), ()) for s, t, op in cell.edges):
            return False
    return True
