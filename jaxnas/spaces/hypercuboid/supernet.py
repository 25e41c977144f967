"""The supernet of the hypercuboid, in which operations and widths of layers are searched.

https://arxiv.org/abs/1903.09900, ahundt/sharpDARTS cnn/model_search.py (MultiChannelNetwork).
Which layers halve the size is a setting here; the paper searches it as well.
"""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax

from jaxnas.core.types import NONE, Space, Supernet
from jaxnas.nets import batch_norm, functional, ops, stems
from jaxnas.nets.mixed import mixed_edges
from jaxnas.spaces.hypercuboid import blocks


class GridSearchNetwork(nn.Module):
    """A stem of every width, layers from all widths to all, a classifier of the last width.

    Calls take (images, gates).
    """

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
        last_layer = len(self.space) - 1
        run = lambda op, x: op(x)
        run = nn.remat(run) if self.remat else run
        for layer, (key, choice) in enumerate(self.space):
            stride = 2 if layer in self.reductions else 1
            next_nodes = [0.0] * count
            for e, ((i, j), names) in enumerate(zip(choice.edges, choice.candidates, strict=True)):
                j -= count
                # Only the last width of the last layer is used.
                for o, name in enumerate(names if layer < last_layer or j == count - 1 else ()):
                    if name != NONE:
                        op = make[name](self.widths[j], stride, self.norms.inside)
                        y = run(op.copy(name=f"{key}_{i}_{j}_{name}"), nodes[i])
                        next_nodes[j] = next_nodes[j] + gates[key][e, o] * y
            nodes = next_nodes
        return ops.classifier(self.classes, nodes[-1])


def supernet(
    space: Space,
    *,
    widths: Sequence[int],
    classes: int = 10,
    reductions: Sequence[int] = (),
    candidates: ops.Ops = blocks.OPS,
    remat: bool = False,
) -> Supernet:
    """The search network of `choices.hypercuboid(layers, len(widths))`, for images of any size.

    Layers in `reductions` halve the size; `remat`: recompute each candidate in the backward pass.
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
        GridSearchNetwork,
        tuple(space.items()),
        mixed_edges.op_factories(names, candidates),
        tuple(widths),
        classes,
        tuple(reductions),
        remat,
    )
    check_image = functools.partial(
        stems.check_image, halvings=len(set(reductions)), imagenet=False
    )
    return functional.supernet(space, make, affine=False, check_image=check_image)
