"""The network of a path through the hypercuboid.

https://arxiv.org/abs/1903.09900, ahundt/sharpDARTS cnn/model_search.py (MultiChannelNetwork).
"""

import functools
import re
from collections.abc import Sequence

import flax.linen as nn
import jax

from jaxnas.core.types import Network
from jaxnas.nets import batch_norm, functional, mixed_edges, ops, stems
from jaxnas.spaces.genotype import Genotype, GenotypeError
from jaxnas.spaces.hypercuboid import blocks

WIDTH = re.compile("[1-9][0-9]{0,5}")


class Path(nn.Module):
    """One width after the other, as a genotype says."""

    steps: tuple[tuple[ops.OpFactory, int], ...]  # (operation, width after it)
    width: int  # of the stem
    classes: int
    reductions: tuple[int, ...]
    training: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        norm = batch_norm.norms(True, self.training).outside
        x = stems.Stem(self.width, norm, name="stem")(x)
        for layer, (make, width) in enumerate(self.steps):
            stride = 2 if layer in self.reductions else 1
            x = make(width, stride, norm).copy(name=f"layer_{layer}")(x)
        return ops.classifier(self.classes, x)


def network(
    genotype: Genotype,
    *,
    features: int = 1,
    classes: int = 10,
    reductions: Sequence[int] = (),
    candidates: ops.Ops = blocks.OPS,
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
    check_image = functools.partial(
        stems.check_image, halvings=len(set(reductions)), imagenet=False
    )
    return functional.network(build, check_image=check_image)


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
