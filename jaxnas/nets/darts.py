"""The DARTS search network: cells of mixed edges between a stem and a classifier.

https://arxiv.org/abs/1806.09055, quark0/darts cnn/model_search.py.
"""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas import space as spaces
from jaxnas.nets import mixed, normalise, ops, outside
from jaxnas.types import Choice, Space, Supernet

INPUTS = 2  # of a cell: the outputs of the two cells before it


class Stem(nn.Module):
    """3x3 convolution and normalisation, no ReLU (cells begin with one)."""

    features: int
    norm: ops.Norm

    @nn.compact
    def __call__(self, x):
        return self.norm(name="norm")(ops.Convolution(self.features, 3, name="convolution")(x))


class SearchCell(nn.Module):
    """One cell: its nodes are sums over mixed edges, its output their concatenation."""

    choice: Choice
    candidates: tuple[tuple[str, ops.OpFactory], ...]
    features: int
    stride: int
    after_reduction: bool
    norm: ops.Norm
    remat: bool

    @nn.compact
    def __call__(self, before_last: jax.Array, last: jax.Array, gates: jax.Array) -> jax.Array:
        fit = ops.FactorizedReduce if self.after_reduction else ops.ReluConvBN
        before_last = fit(self.features, self.norm, name="input_0")(before_last)
        last = ops.ReluConvBN(self.features, self.norm, name="input_1")(last)
        inputs = jnp.stack([before_last, last])
        count = len({target for _, target in self.choice.edges})
        batch, *size, _ = last.shape
        size = [-(-n // self.stride) for n in size]
        if self.stride == 1:
            nodes = jnp.concatenate([inputs, jnp.zeros((count, *last.shape), last.dtype)])
            nodes = self._edges("edges", self.choice.edges, 1)(gates, nodes, None)
        else:
            # Edges that leave the two inputs reduce; those between nodes do not.
            outer = [e for e in self.choice.edges if e[0] < INPUTS]
            inner = [e for e in self.choice.edges if e[0] >= INPUTS]
            nodes = jnp.zeros((INPUTS + count, batch, *size, self.features), last.dtype)
            nodes = self._edges("edges_from_inputs", outer, self.stride)(gates, nodes, inputs)
            nodes = self._edges("edges", inner, 1)(gates, nodes, None) if inner else nodes
        return jnp.concatenate(list(nodes[INPUTS:]), -1)

    def _edges(self, name: str, edges: Sequence[tuple[int, int]], stride: int) -> nn.Module:
        rows = tuple(self.choice.edges.index(e) for e in edges)
        plan = mixed.plan(self.choice, rows)
        settings = (self.candidates, self.features, stride, self.norm, self.remat)
        return mixed.MixedEdges(plan, *settings, name=name)


class SearchNetwork(nn.Module):
    """Stem, cells, global mean, linear classifier. Calls take (images, gates)."""

    space: tuple[tuple[str, Choice], ...]
    candidates: tuple[tuple[str, ops.OpFactory], ...]
    features: int
    cells: int
    classes: int
    reductions: tuple[int, ...]
    stem_multiplier: int
    norms: normalise.Norms
    remat: bool

    @nn.compact
    def __call__(self, x: jax.Array, gates) -> jax.Array:
        norm, affine = self.norms.inside, self.norms.outside
        features = self.features
        before_last = last = Stem(self.stem_multiplier * features, affine, name="stem")(x)
        for i in range(self.cells):
            kind = "reduce" if i in self.reductions else "normal"
            features *= 2 if kind == "reduce" else 1
            cell = SearchCell(
                dict(self.space)[kind],
                self.candidates,
                features,
                2 if kind == "reduce" else 1,
                i - 1 in self.reductions,
                norm,
                self.remat,
                name=f"cell_{i}",
            )
            before_last, last = last, cell(before_last, last, gates[kind])
        return ops.classifier(self.classes, last)


def supernet(
    space: Space | None = None,
    *,
    features: int = 16,
    cells: int = 8,
    classes: int = 10,
    reductions: Sequence[int] | None = None,
    stem_multiplier: int = 3,
    candidates: ops.Ops = ops.DARTS,
    remat: bool = True,
) -> Supernet:
    """The search network of `space` (default: DARTS's own), for images of any size.

    Cells in `reductions` (default: `cells // 3` and `2 * cells // 3`) halve the size and double
    the features. `remat` recomputes an edge in its backward pass instead of keeping what is
    inside; the values are the same. Normalisation inside cells is not affine, in the stem it is.
    Raises ValueError for unknown candidates, fewer than one cell, a reduction outside the cells,
    and at `init` for images that the reductions would shrink below one pixel.
    """
    space = spaces.darts() if space is None else space
    reductions = (cells // 3, 2 * cells // 3) if reductions is None else tuple(reductions)
    outside.refuse_sizes(cells, features, classes)
    outside.refuse_reductions(reductions, cells)
    names = dict.fromkeys(n for c in space.values() for row in c.candidates for n in row)
    make = functools.partial(
        SearchNetwork,
        tuple(space.items()),
        mixed.known(names, candidates),
        features,
        cells,
        classes,
        reductions,
        stem_multiplier,
        remat=remat,
    )

    def refuse(height: int, width: int) -> None:
        side, halvings = min(height, width), len(set(reductions))
        if side < 2**halvings:
            raise ValueError(
                f"{halvings} reductions shrink {side} pixels below one: give fewer `reductions`."
            )

    return outside.supernet(space, make, affine=False, refuse=refuse)
