"""A network whose widths are searched: sharpDARTS's hypercuboid, and the path found in it.

https://arxiv.org/abs/1903.09900, ahundt/sharpDARTS cnn/model_search.py (MultiChannelNetwork).
Which layers halve the size is given here, where the paper searches it as well.
"""

import functools
import re
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax

from jaxnas.core.types import NONE, Network, Space, Supernet
from jaxnas.nets import batch_norm, functional, mixed_edges, ops, stems
from jaxnas.spaces.darts import sharp_ops
from jaxnas.spaces.genotype import Genotype, GenotypeError


class ResizingPool(nn.Module):
    """3x3 pooling, and where the width changes a 1x1 convolution with normalisation."""

    features: int
    stride: int
    norm: ops.Norm
    pool: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x):
        y = self.pool(self.features, self.stride, None)(x)
        if x.shape[-1] == self.features:
            return y
        return self.norm(name="norm")(ops.Pointwise(self.features, name="pointwise")(y))


def resizing(pool: Callable[..., nn.Module]) -> ops.OpFactory:
    return functools.partial(ResizingPool, pool=pool)


WIDTH = re.compile("[1-9][0-9]{0,5}")
# Candidates that may change the width.
OPS: ops.Ops = dict(sharp_ops.CONVOLUTIONS) | {
    "max_pool_3x3": resizing(ops.max_pool_3x3),
    "avg_pool_3x3": resizing(ops.avg_pool_3x3),
}


class Grid(nn.Module):
    """A stem of every width, layers from all widths to all, a classifier of the last width."""

    space: tuple[tuple[str, tuple], ...]
    candidates: tuple[tuple[str, ops.OpFactory], ...]
    widths: tuple[int, ...]
    classes: int
    reductions: tuple[int, ...]
    remat: bool
    norms: batch_norm.Norms

    @nn.compact
    def __call__(self, x: jax.Array, gates) -> jax.Array:
        make, count = dict(self.candidates), len(self.widths)
        nodes = [
            stems.Stem(width, self.norms.outside, name=f"stem_{width}")(x) for width in self.widths
        ]
        last = len(self.space) - 1
        run = lambda op, x: op(x)
        run = nn.remat(run) if self.remat else run
        for layer, (key, choice) in enumerate(self.space):
            stride = 2 if layer in self.reductions else 1
            following = [0.0] * count
            for e, ((i, j), names) in enumerate(zip(choice.edges, choice.candidates, strict=True)):
                j -= count
                # Of the last layer only the last width is read.
                for o, name in enumerate(names if layer < last or j == count - 1 else ()):
                    if name != NONE:
                        op = make[name](self.widths[j], stride, self.norms.inside)
                        y = run(op.copy(name=f"{key}_{i}_{j}_{name}"), nodes[i])
                        following[j] = following[j] + gates[key][e, o] * y
            nodes = following
        return ops.classifier(self.classes, nodes[-1])


class Path(nn.Module):
    """One width after the other, as a genotype says."""

    steps: tuple[tuple[ops.OpFactory, int], ...]  # (operation, width after it)
    width: int  # of the stem
    classes: int
    reductions: tuple[int, ...]
    norm: ops.Norm

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = stems.Stem(self.width, self.norm, name="stem")(x)
        for layer, (make, width) in enumerate(self.steps):
            stride = 2 if layer in self.reductions else 1
            x = make(width, stride, self.norm).copy(name=f"layer_{layer}")(x)
        return ops.classifier(self.classes, x)


def supernet(
    space: Space,
    *,
    widths: Sequence[int],
    classes: int = 10,
    reductions: Sequence[int] = (),
    candidates: ops.Ops = OPS,
    remat: bool = False,
) -> Supernet:
    """The search network of `choices.hypercuboid(layers, len(widths))`, for images of any size.

    Layers in `reductions` halve the size; with `remat` the backward pass recomputes each candidate.
    Raises ValueError for a space of another number of widths, unknown candidates, impossible sizes,
    a reduction that is no layer, and at `init` for images that the reductions would shrink below
    one pixel.
    """
    functional.check_sizes(len(space), min(widths, default=0), classes)
    functional.check_reductions(reductions, len(space))
    for key, choice in space.items():
        if len(choice.edges) != len(widths) ** 2:
            raise ValueError(
                f"{key!r} has {len(choice.edges)} edges, {len(widths)} widths need "
                f"{len(widths) ** 2}: make the space with space.hypercuboid(layers, len(widths))."
            )
    names = dict.fromkeys(n for c in space.values() for row in c.candidates for n in row)
    make = functools.partial(
        Grid,
        tuple(space.items()),
        mixed_edges.op_factories(names, candidates),
        tuple(widths),
        classes,
        tuple(reductions),
        remat,
    )
    return functional.supernet(space, make, affine=False, refuse=_refuse_image(reductions))


def network(
    genotype: Genotype,
    *,
    features: int = 1,
    classes: int = 10,
    reductions: Sequence[int] = (),
    candidates: ops.Ops = OPS,
) -> Network:
    """The network of a path that `discretise.strongest_path` found; it drops no paths.

    A width of the genotype stands for `features` times as many channels. Raises GenotypeError for
    a genotype that is no such path, and ValueError as `supernet`.
    """
    steps = [parsed(op, features) for _, _, op in _path(genotype)]
    functional.check_sizes(len(steps), min((min(w) for _, *w in steps), default=0), classes)
    if any(before[2] != after[1] for before, after in zip(steps, steps[1:], strict=False)):
        raise GenotypeError("Not a path: a layer begins with another width than the last gave.")
    functional.check_reductions(reductions, len(steps))
    make = dict(mixed_edges.op_factories([op for op, _, _ in steps], candidates))
    build = functools.partial(
        Path,
        tuple((make[op], width) for op, _, width in steps),
        steps[0][1],
        classes,
        tuple(reductions),
    )
    trained, used = (
        build(norm=batch_norm.norms(True, training).outside) for training in (True, False)
    )
    refuse = _refuse_image(reductions)

    def init(key, inputs):
        refuse(*inputs.shape[1:3])
        variables = trained.init(key, inputs[:1])
        return variables["params"], variables["stats"]

    def apply(weights, stats, inputs, key, drop_path):
        variables = {"params": weights, "stats": stats}
        logits, moved = trained.apply(variables, inputs, mutable=["stats"])
        return (logits, None), moved["stats"]

    def infer(weights, stats, inputs):
        return used.apply({"params": weights, "stats": stats}, inputs)

    return Network(init, apply, infer)


def widths_of(genotype: Genotype, features: int = 1) -> tuple[int, ...]:
    """Channels of the stem and after each layer of a path. Raises GenotypeError for none."""
    steps = [parsed(op, features) for _, _, op in _path(genotype)]
    return tuple(before for _, before, _ in steps[:1]) + tuple(after for _, _, after in steps)


def rewidened(genotype: Genotype, widths: Sequence[int]) -> Genotype:
    """The path with other widths, those of the stem and after each layer.

    Raises GenotypeError for another number of them.
    """
    cell = genotype.cells["grid"]
    if len(widths) != len(cell.edges) + 1:
        raise GenotypeError(
            f"A path of {len(cell.edges)} layers has one width more than that, not {len(widths)}."
        )
    spell = lambda i, op: f"{op.partition(':')[0]}:{widths[i]}-{widths[i + 1]}"
    edges = tuple((a, b, spell(i, op)) for i, (a, b, op) in enumerate(cell.edges))
    return genotype._replace(cells={"grid": cell._replace(edges=edges)})


def parsed(op: str, features: int = 1) -> tuple[str, int, int]:
    """(operation, channels before, channels after) of a step `op:16-32` of a path.

    Raises GenotypeError for anything else.
    """
    name, _, widths = op.partition(":")
    before, _, after = widths.partition("-")
    if not (WIDTH.fullmatch(before) and WIDTH.fullmatch(after)):
        raise GenotypeError(f"Not a path: expected an operation as op:16-32, found {op[:60]!r}.")
    return name, features * int(before), features * int(after)


def _path(genotype: Genotype):
    cell = genotype.cells.get("grid")
    if cell is None or [e[:2] for e in cell.edges] != [(n, n + 1) for n in range(len(cell.edges))]:
        raise GenotypeError("Not a path: expected one cell, 'grid', whose edges follow each other.")
    return cell.edges


def _refuse_image(reductions: Sequence[int]) -> Callable[[int, int], None]:
    halvings = len(set(reductions))
    return lambda height, width: stems.check_image(height, width, halvings, imagenet=False)
