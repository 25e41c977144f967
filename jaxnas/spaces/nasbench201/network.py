"""The networks of NAS-Bench-201 genotypes.

https://arxiv.org/abs/2001.00326, D-X-Y/AutoDL-Projects xautodl/models/cell_infers.
"""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.core.types import NONE, Network
from jaxnas.nets import batch_norm, functional, ops
from jaxnas.nets.mixed import mixed_edges
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces.genotype import Cell, Genotype

STAGES = 3  # of equal cells; between them the size halves and the features double


class NASBench201Cell(nn.Module):
    """A cell: nodes are sums of operations, the last one is the output."""

    cell: Cell
    candidates: tuple[tuple[str, ops.OpFactory], ...]
    features: int
    norm: ops.Norm

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        make = dict(self.candidates)
        nodes = {0: x}
        by_target = sorted(enumerate(self.cell.edges), key=lambda item: item[1][1])
        for i, (source, target, name) in by_target:
            if name == NONE:
                y = jnp.zeros_like(x)
            else:
                op = make[name](self.features, 1, self.norm).copy(name=f"edge_{i}")
                y = op(nodes[source])
            nodes[target] = nodes[target] + y if target in nodes else y
        return nodes[self.cell.concat[0]]


class NASBench201Network(nn.Module):
    """Stem, three stages of cells, normalisation, ReLU, global mean, linear classifier."""

    cell: Cell
    candidates: tuple[tuple[str, ops.OpFactory], ...]
    widths: tuple[int, ...]  # of the stages
    cells: int
    classes: int
    training: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        norm = functools.partial(batch_norm.BatchNorm, affine=True, training=self.training)
        x = ops.Convolution(self.widths[0], 3, name="stem_convolution")(x)
        x = norm(name="stem_norm")(x)
        for stage, features in enumerate(self.widths):
            if stage:
                x = ops.ResidualReduction(features, norm, name=f"reduction_{stage}")(x)
            for i in range(self.cells):
                name = f"cell_{stage}_{i}"
                x = NASBench201Cell(self.cell, self.candidates, features, norm, name=name)(x)
        return ops.classifier(self.classes, nn.relu(norm(name="last_norm")(x)))


def nasbench201(
    genotype: Genotype,
    *,
    features: int = 16,
    cells: int = 5,
    classes: int = 10,
    widths: Sequence[int] | None = None,
    candidates: ops.Ops | None = None,
) -> Network:
    """The network that the benchmark trains: 3 stages of `cells` cells, all norms affine.

    It has neither an auxiliary head nor drop-path; `apply` raises ValueError for a `drop_path` that
    is not the number 0. Image sides must be multiples of 4, as two reductions halve them. `widths`
    are channels of the three stages, in place of `widths_of(features)`.
    Raises ValueError for a genotype that is not one cell with one input and one output, unknown
    operations, impossible sizes, and at `init` for images of other sides.
    """
    functional.check_sizes(cells, features, classes)
    widths = widths_of(features) if widths is None else tuple(widths)
    if len(widths) != STAGES or min(widths) < 2:
        raise ValueError(f"Widths are of {STAGES} stages, 2 channels or more each, not {widths}.")
    genotypes.check(genotype)
    cell = genotype.cells.get("cell")
    if cell is None or len(genotype.cells) != 1 or cell.inputs != 1 or len(cell.concat) != 1:
        raise genotypes.GenotypeError(
            "A NAS-Bench-201 network needs one cell, 'cell', with one input and one output node."
        )
    names = dict.fromkeys(op for _, _, op in cell.edges)
    table = ops.nasbench201(affine=True) if candidates is None else candidates
    factories = mixed_edges.op_factories(names, table)
    make = functools.partial(NASBench201Network, cell, factories, widths, cells, classes)
    return functional.network(make, check_image=check_image, call=_without_paths)


def check_image(height: int, width: int) -> None:
    """Raises ValueError for sides that are no multiples of 4, as two reductions halve them."""
    if height % 4 or width % 4:
        raise ValueError(
            f"NAS-Bench-201 halves the size twice, which {height}x{width} pixels do not allow: "
            "resize the images to multiples of 4."
        )


def _without_paths(inputs, key, drop_path):
    if not isinstance(drop_path, (int, float)) or drop_path != 0:
        raise ValueError("NAS-Bench-201 drops no paths: give drop_path=0.")
    return (inputs,), {}


def widths_of(features: int) -> tuple[int, ...]:
    """Channels of the stages: doubled from one to the next."""
    return tuple(features * 2**stage for stage in range(STAGES))
