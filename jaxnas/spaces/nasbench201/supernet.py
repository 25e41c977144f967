"""The NAS-Bench-201 search network: three stages of equal cells of mixed edges.

https://arxiv.org/abs/2001.00326, D-X-Y/AutoDL-Projects xautodl/models/cell_searchs.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.core.types import Choice, Space, Supernet
from jaxnas.nets import batch_norm, count, functional, ops
from jaxnas.nets.mixed import edge_stacks, loop_body, mixed_edges
from jaxnas.spaces.nasbench201 import choices as spaces
from jaxnas.spaces.nasbench201 import network


class NASBench201SearchCell(nn.Module):
    """A cell: node 0 is the input, the others are sums over mixed edges, the last is the output."""

    choice: Choice
    candidates: tuple[tuple[str, ops.OpFactory], ...]
    features: int
    norm: ops.Norm
    mixture: loop_body.Mixture

    @nn.compact
    def __call__(self, x: jax.Array, gates: jax.Array) -> tuple[jax.Array, None]:
        output = max(target for _, target in self.choice.edges)
        nodes = jnp.concatenate([x[None], jnp.zeros((output, *x.shape), x.dtype)])
        loop = edge_stacks.edge_loop(self.choice, tuple(range(len(self.choice.edges))))
        settings = (self.candidates, self.features, 1, self.norm, self.mixture)
        nodes = mixed_edges.MixedEdges(loop, *settings, name="edges")(gates, nodes, None)
        return nodes[output], None


class CellStage(nn.Module):
    """`cells` equal cells, one after the other, as a loop: XLA compiles one body for all."""

    cells: int
    settings: tuple  # of each cell

    @nn.compact
    def __call__(self, x: jax.Array, gates: jax.Array) -> jax.Array:
        looped = nn.scan(
            NASBench201SearchCell,
            variable_axes={"params": 0, "stats": 0},
            split_rngs={"params": True},
            in_axes=nn.broadcast,
            length=self.cells,
        )
        return looped(*self.settings, name="cells")(x, gates)[0]

    @nn.nowrap
    def macs(self, x: jax.Array, gates: jax.Array) -> int:
        """Multiply-accumulates of all cells for one image."""
        cell = NASBench201SearchCell(*self.settings, parent=None)
        return self.cells * count.module_macs(cell, x, gates)


class NASBench201SearchNetwork(nn.Module):
    """Stem, stages, normalisation, ReLU, global mean, classifier. Calls take (images, gates)."""

    choice: Choice
    candidates: tuple[tuple[str, ops.OpFactory], ...]
    features: int
    cells: int
    classes: int
    norms: batch_norm.Norms
    mixture: loop_body.Mixture

    @nn.compact
    def __call__(self, x: jax.Array, gates) -> jax.Array:
        norm, affine = self.norms.inside, self.norms.outside
        x = ops.Convolution(self.features, 3, name="stem_convolution")(x)
        x = affine(name="stem_norm")(x)
        for stage in range(network.STAGES):
            features = self.features * 2**stage
            if stage:
                x = ops.ResidualReduction(features, affine, name=f"reduction_{stage}")(x)
            settings = (self.choice, self.candidates, features, norm, self.mixture)
            x = CellStage(self.cells, settings, name=f"stage_{stage}")(x, gates["cell"])
        return ops.classifier(self.classes, nn.relu(affine(name="last_norm")(x)))


def supernet(
    space: Space | None = None,
    *,
    features: int = 16,
    cells: int = 5,
    classes: int = 10,
    affine: bool = False,
    candidates: ops.Ops | None = None,
    **mixture: Any,
) -> Supernet:
    """The search network of the benchmark: 3 stages of `cells` cells.

    Normalisation inside cells is affine if `affine`; otherwise convolutions there have biases, as
    in the benchmark's code. `mixture`: `partial`, `execute` and `remat`, the fields of
    `loop_body.Mixture`. Raises ValueError for unknown candidates, impossible sizes, a `partial`
    that does not divide `features`, a space that is not one cell with one input, and at `init` for
    images whose sides are not multiples of 4.
    """
    space = spaces.nasbench201() if space is None else space
    functional.check_sizes(cells, features, classes)
    mixture_settings = loop_body.Mixture(**mixture)
    loop_body.check_mixture(mixture_settings, features)
    if set(space) != {"cell"} or min(s for s, _ in space["cell"].edges) != 0:
        raise ValueError("A NAS-Bench-201 space is one cell, 'cell', whose input is node 0.")
    choice = space["cell"]
    names = dict.fromkeys(n for row in choice.candidates for n in row)
    table = ops.nasbench201(affine) if candidates is None else candidates
    make = functools.partial(
        NASBench201SearchNetwork,
        choice,
        mixed_edges.op_factories(names, table),
        features,
        cells,
        classes,
        mixture=mixture_settings,
    )
    return functional.supernet(space, make, affine=affine, check_image=network.check_image)
