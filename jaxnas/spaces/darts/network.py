"""The networks of DARTS genotypes, with the auxiliary classifier.

https://arxiv.org/abs/1806.09055, quark0/darts cnn/model.py.
"""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.core.types import NONE, Network
from jaxnas.nets import batch_norm, functional, ops, stems
from jaxnas.nets.mixed import mixed_edges
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces.darts.supernet import INPUTS
from jaxnas.spaces.genotype import Cell, Genotype

Rate = jax.Array | None  # probability that a path is dropped; None: none is


class DARTSCell(nn.Module):
    """A cell: nodes are sums of operations, the output concatenates some of them."""

    cell: Cell
    candidates: tuple[tuple[str, ops.OpFactory], ...]
    features: int
    stride: int
    halve_first: bool  # the cell before the last one is twice as large as the last
    norm: ops.Norm

    @nn.compact
    def __call__(self, before_last: jax.Array, last: jax.Array, drop_path: Rate) -> jax.Array:
        input_op = ops.FactorizedReduce if self.halve_first else ops.ReluConvBN
        nodes = {
            0: input_op(self.features, self.norm, name="input_0")(before_last),
            1: ops.ReluConvBN(self.features, self.norm, name="input_1")(last),
        }
        make = dict(self.candidates)
        size = [-(-n // self.stride) for n in last.shape[1:3]]
        # A genotype may list edges in any order; nodes are computed in theirs.
        for i, (source, target, name) in sorted(
            enumerate(self.cell.edges), key=lambda item: item[1][1]
        ):
            stride = self.stride if source < self.cell.inputs else 1
            if name == NONE:
                y = jnp.zeros((last.shape[0], *size, self.features), last.dtype)
            else:
                op = make[name](self.features, stride, self.norm).copy(name=f"edge_{i}")
                y = op(nodes[source])
                if drop_path is not None and not isinstance(op, ops.Identity):
                    y = y * self._mask(drop_path, y)
            nodes[target] = nodes[target] + y if target in nodes else y
        return jnp.concatenate([nodes[node] for node in self.cell.concat], -1)

    def _mask(self, drop_path: jax.Array, y: jax.Array) -> jax.Array:
        """f32[B, 1, 1, 1]: 0 or 1 / keep for each image."""
        keep = 1 - jnp.asarray(drop_path, y.dtype)
        mask = jax.random.bernoulli(self.make_rng("drop_path"), keep, (y.shape[0], 1, 1, 1))
        return mask / keep


class AuxiliaryHead(nn.Module):
    """A second classifier in the middle of the network, only for training."""

    classes: int
    stride: int
    norm: ops.Norm
    last_norm: bool

    @nn.compact
    def __call__(self, x):
        # Five pixels pooled, then two by two: the paper's heads see 8 and 7 pixels a side.
        min_side = 5 + self.stride
        if min(x.shape[1:3]) < min_side:
            raise ValueError(
                f"The auxiliary head sees {x.shape[1]}x{x.shape[2]} pixels and needs {min_side} a "
                "side: give larger images, fewer `reductions`, or no auxiliary head."
            )
        x = nn.avg_pool(nn.relu(x), (5, 5), (self.stride, self.stride), "VALID")
        x = ops.Pointwise(128, name="convolution_0")(x)
        x = nn.relu(self.norm(name="norm_0")(x))
        x = ops.Rectangle(768, (2, 2), (1, 1), name="convolution_1")(x)
        x = self.norm(name="norm_1")(x) if self.last_norm else x
        return ops.classifier(self.classes, nn.relu(x))


class DARTSNetwork(nn.Module):
    """Stem, cells, global mean, linear classifier, and an auxiliary head in training.

    Calls take (images, drop_path) and give logits, in training (logits, auxiliary logits or None).
    """

    genotype_cells: tuple[tuple[str, Cell], ...]
    candidates: tuple[tuple[str, ops.OpFactory], ...]
    widths: tuple[int, ...]  # channels of the stem, then of each cell
    classes: int
    reductions: tuple[int, ...]
    imagenet: bool  # its stems
    auxiliary: bool
    training: bool

    @nn.compact
    def __call__(self, x: jax.Array, drop_path: Rate = None):
        norm = functools.partial(batch_norm.BatchNorm, affine=True, training=self.training)
        stem, *widths = self.widths
        if self.imagenet:
            before_last = stems.HalvingStem(stem, norm, name="stem_0")(x)
            last = stems.SecondStem(stem, norm, name="stem_1")(before_last)
        else:
            before_last = last = stems.Stem(stem, norm, name="stem")(x)
        auxiliary, halve_first = None, self.imagenet
        for i, features in enumerate(widths):
            reduces = i in self.reductions
            cell = DARTSCell(
                dict(self.genotype_cells)["reduce" if reduces else "normal"],
                self.candidates,
                features,
                2 if reduces else 1,
                halve_first,
                norm,
                name=f"cell_{i}",
            )
            before_last, last = last, cell(before_last, last, drop_path)
            halve_first = reduces
            if self.auxiliary and self.training and i == 2 * len(widths) // 3:
                stride = 2 if self.imagenet else 3
                head = AuxiliaryHead(
                    self.classes, stride, norm, not self.imagenet, name="auxiliary"
                )
                auxiliary = head(last)
        logits = ops.classifier(self.classes, last)
        return (logits, auxiliary) if self.training else logits


def cifar(
    genotype: Genotype,
    *,
    features: int = 36,
    cells: int = 20,
    classes: int = 10,
    auxiliary: bool = False,
    reductions: Sequence[int] | None = None,
    widths: Sequence[int] | None = None,
    candidates: ops.Ops = ops.DARTS_DERIVED,
) -> Network:
    """The network of the paper's CIFAR-10 runs, for images of any size and channels.

    Cells in `reductions` (default: `cells // 3` and `2 * cells // 3`) halve the size and double
    the features. `auxiliary` adds a second classifier after cell `2 * cells // 3`; only `apply`
    runs it. The default candidates normalise no pools; every normalisation is affine. `widths` are
    channels of the stem and of each cell, in place of `widths_of(features, cells, reductions)`.
    Raises ValueError for a genotype whose cells or operations are not known, impossible sizes,
    and at `init` for images too small.
    """
    functional.check_sizes(cells, features, classes)
    reductions = functional.default_reductions(cells) if reductions is None else tuple(reductions)
    if widths is None:
        widths = widths_of(features, cells, reductions)
    if len(widths) != cells + 1 or min(widths) < 2:
        raise ValueError(
            f"Widths are of the stem and {cells} cells, 2 channels or more each, not {widths}."
        )
    return _network(genotype, candidates, tuple(widths), classes, reductions, False, auxiliary)


def widths_of(
    features: int, cells: int, reductions: Sequence[int], stem_multiplier: int = 3
) -> tuple[int, ...]:
    """Channels of the stem and of each cell: doubled by every reduction.

    Raises ValueError for a `stem_multiplier` below 1.
    """
    if stem_multiplier < 1:
        raise ValueError(f"The stem multiplies the features by {stem_multiplier}: make it >= 1.")
    doubled = [sum(r <= i for r in set(reductions)) for i in range(cells)]
    return stem_multiplier * features, *(features * 2**times for times in doubled)


def imagenet(
    genotype: Genotype,
    *,
    features: int = 48,
    cells: int = 14,
    classes: int = 1000,
    auxiliary: bool = False,
    reductions: Sequence[int] | None = None,
    candidates: ops.Ops = ops.DARTS_DERIVED,
) -> Network:
    """The network of the paper's ImageNet runs: stems divide the size by 8 before the cells.

    Image sides must be multiples of 8. For the rest see `cifar`.
    """
    functional.check_sizes(cells, features, classes)
    reductions = functional.default_reductions(cells) if reductions is None else tuple(reductions)
    widths = widths_of(features, cells, reductions, 1)
    return _network(genotype, candidates, widths, classes, reductions, True, auxiliary)


def _network(
    genotype: Genotype,
    candidates: ops.Ops,
    widths: tuple[int, ...],
    classes: int,
    reductions: tuple[int, ...],
    imagenet: bool,
    auxiliary: bool,
) -> Network:
    _check_genotype(genotype, len(widths) - 1, reductions)
    names = dict.fromkeys(op for cell in genotype.cells.values() for _, _, op in cell.edges)
    make = functools.partial(
        DARTSNetwork,
        tuple(genotype.cells.items()),
        mixed_edges.op_factories(names, candidates),
        widths,
        classes,
        reductions,
        imagenet,
        auxiliary,
    )
    check_image = functools.partial(
        stems.check_image, halvings=len(set(reductions)), imagenet=imagenet
    )
    return functional.network(make, check_image=check_image, call=_with_dropped_paths)


def _with_dropped_paths(inputs, key, drop_path):
    return (inputs, drop_path), {"drop_path": key}


def _check_genotype(genotype: Genotype, cells: int, reductions: Sequence[int]) -> None:
    functional.check_reductions(reductions, cells)
    genotypes.check(genotype)
    kinds = {"reduce" if i in reductions else "normal" for i in range(cells)}
    for name in sorted(kinds):
        cell = genotype.cells.get(name)
        if cell is None or cell.inputs != INPUTS:
            state = "missing" if cell is None else f"one of {cell.inputs} inputs"
            raise genotypes.GenotypeError(
                f"A DARTS network needs the cell {name!r} with {INPUTS} inputs; it is {state}."
            )
