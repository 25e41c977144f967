"""What gates mean: independent draws that together say which network it is.

A law for each way in which a space's networks are selected: every edge by itself, two edges a
node, steps of a path. What they are expected to cost, and which are likely, follow from it alone.
"""

import itertools
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnas import space as spaces
from jaxnas import target_terms
from jaxnas.latency import layout
from jaxnas.space import AUXILIARY_SKIP, NONE
from jaxnas.types import Gates, Space

Array = Any  # of numpy or of jax.numpy
KEPT = 2  # edges of a node of DARTS's cells
LEAST = 1e-9  # a share: gates that are shut leave the others' shares defined


class Law(NamedTuple):
    """D draws, the d-th of `sizes[d]` outcomes, say a network i[positions] as `latency.layout`."""

    sizes: tuple[int, ...]
    shares: Callable[[Gates], Gates]  # gates as probabilities, up to what `rows` makes of them
    rows: Callable[[Gates], list[Array]]  # f[sizes[d]] each: the probabilities of its outcomes
    network: Callable[[Array, ModuleType], Array]  # i[N, D] -> i[N, positions]
    told: Callable[[np.ndarray], np.ndarray]  # i[N, D] -> bool[N, D]: the draws that had a say
    gates: Callable[[np.ndarray], Gates]  # i[positions] -> a search's gates, open for it alone


def edges(space: Space) -> Law:
    """Every edge takes a candidate by its own gates: chains, and cells that keep all edges."""

    def rows(gates: Gates) -> list[Array]:
        layout.check_gates(space, gates)
        return [gates[position.choice][position.row] for position in layout.positions(space)]

    return Law(
        layout.sizes(space),
        target_terms.normalised,
        rows,
        lambda codes, xp: codes,
        lambda codes: np.ones(codes.shape, bool),
        lambda network: layout.one_hot(space, network),
    )


def pairs(space: Space) -> Law:
    """Every node takes two of its edges, each of them a candidate: DARTS's cells.

    An edge weighs as much as its candidates but `none` together. The first edge of a node is drawn
    by weight, the second by weight among the others; a candidate by its gate within its edge. It is
    what `select.strongest_pairs` takes of gates that are disturbed by Gumbel noise, but for the
    edge's strongest candidate in the place of their sum. Ours.
    """
    places = layout.positions(space)
    # The outcomes of an edge's draw, as candidates of its position.
    taken = [
        [o for o, op in enumerate(place.candidates) if op not in (NONE, AUXILIARY_SKIP)]
        for place in places
    ]
    nodes: dict[tuple[str, int], list[int]] = {}
    for p, place in enumerate(places):
        nodes.setdefault((place.choice, place.edge[1]), []).append(p)
    several = [own for own in nodes.values() if len(own) > KEPT]
    couples = [list(itertools.combinations(range(len(own)), KEPT)) for own in several]
    first = len(several)  # draws of pairs come first, then one an edge

    def rows(gates: Gates) -> list[Array]:
        layout.check_gates(space, gates)
        open_ = [
            gates[place.choice][place.row][jnp.array(own)] + LEAST
            for place, own in zip(places, taken, strict=True)
        ]
        weights = [row.sum() for row in open_]
        found = []
        for own, of_node in zip(several, couples, strict=True):
            weight = jnp.stack([weights[p] for p in own])
            weight = weight / weight.sum()
            others = (1 - np.eye(len(own))) @ weight  # not 1 - weight, which may be no number's
            either = lambda i, j, w=weight, o=others: w[i] * w[j] * (1 / o[i] + 1 / o[j])
            found.append(jnp.stack([either(i, j) for i, j in of_node]))
        return found + [row / total for row, total in zip(open_, weights, strict=True)]

    def kept(codes: Array, xp: ModuleType) -> Array:
        columns = [xp.ones(len(codes), bool)] * len(places)
        for d, (own, of_node) in enumerate(zip(several, couples, strict=True)):
            for e, p in enumerate(own):
                columns[p] = xp.asarray(np.array([e in pair for pair in of_node]))[codes[:, d]]
        return xp.stack(columns, 1)

    def network(codes: Array, xp: ModuleType) -> Array:
        ops = [xp.asarray(np.array(own))[codes[:, first + p]] for p, own in enumerate(taken)]
        return xp.where(kept(codes, xp), xp.stack(ops, 1), -1)

    return Law(
        (*map(len, couples), *map(len, taken)),
        lambda gates: gates,
        rows,
        network,
        lambda codes: np.concatenate([np.ones((len(codes), first), bool), kept(codes, np)], 1),
        lambda found: layout.one_hot(space, found),
    )


def steps(grid: Space, widths: Sequence[int]) -> Law:
    """A path through a hypercuboid: from the width that it has come to, one of the steps on.

    Networks are those of `space.paths`. The first layer draws among all steps, each later one
    among those from every width, of which the one that is needed has a say. Ours.
    """
    ways = spaces.steps(grid, widths)
    ends = lambda step: step.partition(":")[2].split("-")
    starts = [[None], *([str(width) for width in widths] for _ in ways[1:])]
    # Each draw: its layer, and the steps among which it is.
    draws = [
        (n, [i for i, step in enumerate(layer) if start in (None, ends(step)[0])])
        for n, layer in enumerate(ways)
        for start in starts[n]
    ]
    first = [next(d for d, (n, _) in enumerate(draws) if n == layer) for layer in range(len(ways))]

    def rows(gates: Gates) -> list[Array]:
        layout.check_gates(grid, gates)
        laid = [
            jnp.reshape(gates[key], -1)[jnp.array(list(layer.values()))] + LEAST
            for key, layer in zip(grid, ways, strict=True)
        ]
        some = [laid[n][jnp.array(own)] for n, own in draws]
        return [row / row.sum() for row in some]

    def followed(codes: Array, xp: ModuleType) -> tuple[list[Array], list[Array]]:
        """(the draw of each layer that had a say, the step it takes), i[N] each."""
        at, found, taken = xp.zeros(len(codes), int), [], []
        for n, layer in enumerate(ways):
            table = [own for layer_of, own in draws if layer_of == n]
            wide = max(map(len, table))
            table = xp.asarray(np.array([own + [0] * (wide - len(own)) for own in table]))
            draw = first[n] + at
            step = table[at, codes[xp.arange(len(codes)), draw]]
            after = [widths.index(int(ends(name)[1])) for name in layer]
            found, taken, at = [*found, draw], [*taken, step], xp.asarray(np.array(after))[step]
        return found, taken

    def told(codes: np.ndarray) -> np.ndarray:
        mask = np.zeros(codes.shape, bool)
        for draw in followed(codes, np)[0]:
            mask[np.arange(len(codes)), draw] = True
        return mask

    def gates(found: np.ndarray) -> Gates:
        opened = {key: np.zeros(choice.shape, np.float32) for key, choice in grid.items()}
        for key, layer, code in zip(grid, ways, found, strict=True):
            opened[key].reshape(-1)[list(layer.values())[code]] = 1
        return opened

    return Law(
        tuple(len(own) for _, own in draws),
        lambda gates: gates,
        rows,
        lambda codes, xp: xp.stack(followed(codes, xp)[1], 1),
        told,
        gates,
    )
