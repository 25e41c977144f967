"""The choices of the hypercuboid: a grid of widths, layer by layer."""

from collections.abc import Sequence

from jaxnas.core.types import AUXILIARY_SKIP, NONE, Choice, Space
from jaxnas.spaces import choices


def hypercuboid(
    layers: int, widths: int, candidates: Sequence[str] = ("sep_conv_3x3", "max_pool_3x3")
) -> Space:
    """A grid of hyperparameters: the width of each layer, and its operation.

    Choice `layer_l` has an edge (i, widths + j) from every width before the layer to every width
    after it; its gates are one softmax, `relax.joint_softmax`. sharpDARTS's hypercuboid,
    https://arxiv.org/abs/1903.09900. Raises ValueError for a grid without layers or widths.
    """
    if layers < 1 or widths < 1:
        raise ValueError(f"A grid has layers >= 1 and widths >= 1, not {layers} and {widths}.")
    edges = [(i, widths + j) for i in range(widths) for j in range(widths)]
    return {f"layer_{n}": choices.uniform(edges, candidates) for n in range(layers)}


def transitions(grid: Space, widths: Sequence[int]) -> tuple[dict[str, int], ...]:
    """The transitions of each layer of a `hypercuboid`: `op:from-to` -> index into its flat gates.

    Without `none`; those of the last layer end at the last width. Raises ValueError for layers of
    another number of widths, and for an edge whose only candidate is `none`.
    """
    of_layers, count = [], len(widths)
    for layer, (key, choice) in enumerate(grid.items(), 1):
        if len(choice.edges) != count**2:
            raise ValueError(f"{key!r} is no layer of {count} widths.")
        flat_indices = {}
        for e, ((i, j), names) in enumerate(zip(choice.edges, choice.candidates, strict=True)):
            ops = [o for o, name in enumerate(names) if name not in (NONE, AUXILIARY_SKIP)]
            if not ops:
                raise ValueError(f"An edge whose only candidate is {NONE!r} can keep nothing.")
            if layer < len(grid) or j == 2 * count - 1:
                step = f"{widths[i]}-{widths[j - count]}"
                flat_indices |= {f"{names[o]}:{step}": e * len(names) + o for o in ops}
        of_layers.append(flat_indices)
    return tuple(of_layers)


def as_chain(grid: Space, widths: Sequence[int]) -> Space:
    """The paths through a `hypercuboid` as a chain: one choice of operation and width a layer.

    Layer n is the edge (n, n + 1), whose candidates are its `transitions`. The last layer, which
    has fewer, is the choice `last`, all others are in `grid`. Raises ValueError as `transitions`.
    """
    rows = [tuple(of_layer) for of_layer in transitions(grid, widths)]
    edges = tuple((n, n + 1) for n in range(len(rows)))
    chain = {"grid": Choice(edges[:-1], tuple(rows[:-1])), "last": Choice(edges[-1:], (rows[-1],))}
    return {name: choice for name, choice in chain.items() if choice.edges}
