"""The networks of paths through the hypercuboid: each layer has one operation and one width.

https://arxiv.org/abs/1903.09900, ahundt/sharpDARTS cnn/model_search.py (MultiChannelNetwork).
"""

import functools
import re
from collections.abc import Sequence

import flax.linen as nn
import jax

from jaxnas.core.types import Network
from jaxnas.nets import batch_norm, functional, ops, stems
from jaxnas.nets.mixed import mixed_edges
from jaxnas.spaces.genotype import Genotype, GenotypeError
from jaxnas.spaces.hypercuboid import blocks

WIDTH = re.compile("[1-9][0-9]{0,5}")


class PathNetwork(nn.Module):
    """A stem, the layers of a path, global mean, linear classifier."""

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
    """The network of a genotype of `discretise.strongest_path`; it has no drop-path.

    The channels are `features` times the widths of the genotype. Raises GenotypeError for a
    genotype that is no path, and ValueError as `supernet`.
    """
    steps = [parse_transition(op, features) for _, _, op in _edges_of_path(genotype)]
    functional.check_sizes(len(steps), min((min(w) for _, *w in steps), default=0), classes)
    if any(before[2] != after[1] for before, after in zip(steps, steps[1:], strict=False)):
        raise GenotypeError("Not a path: a layer begins with another width than the last gave.")
    functional.check_reductions(reductions, len(steps))
    make = dict(mixed_edges.op_factories([op for op, _, _ in steps], candidates))
    build = functools.partial(
        PathNetwork,
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
    """Channels of the stem and after each layer. Raises GenotypeError unless it is a path."""
    steps = [parse_transition(op, features) for _, _, op in _edges_of_path(genotype)]
    return tuple(before for _, before, _ in steps[:1]) + tuple(after for _, _, after in steps)


def with_widths(genotype: Genotype, widths: Sequence[int]) -> Genotype:
    """The path with other widths: those of the stem and after each layer.

    Raises GenotypeError for another number of them.
    """
    cell = genotype.cells["grid"]
    if len(widths) != len(cell.edges) + 1:
        raise GenotypeError(
            f"A path of {len(cell.edges)} layers has one width more than that, not {len(widths)}."
        )
    transition = lambda i, op: f"{op.partition(':')[0]}:{widths[i]}-{widths[i + 1]}"
    edges = tuple((a, b, transition(i, op)) for i, (a, b, op) in enumerate(cell.edges))
    return genotype._replace(cells={"grid": cell._replace(edges=edges)})


def parse_transition(op: str, features: int = 1) -> tuple[str, int, int]:
    """(operation, channels before, channels after) of an edge's `op:16-32`.

    Raises GenotypeError for another text.
    """
    name, _, widths = op.partition(":")
    before, _, after = widths.partition("-")
    if not (WIDTH.fullmatch(before) and WIDTH.fullmatch(after)):
        raise GenotypeError(f"Not a path: expected an operation as op:16-32, found {op[:60]!r}.")
    return name, features * int(before), features * int(after)


def _edges_of_path(genotype: Genotype) -> tuple[tuple[int, int, str], ...]:
    cell = genotype.cells.get("grid")
    if cell is None or [e[:2] for e in cell.edges] != [(n, n + 1) for n in range(len(cell.edges))]:
        raise GenotypeError("Not a path: expected one cell, 'grid', whose edges follow each other.")
    return cell.edges
