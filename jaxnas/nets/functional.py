"""A Linen search network, seen from outside: the pure functions of a `Supernet`."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp

from jaxnas.core.types import Space, Supernet
from jaxnas.nets import batch_norm


def supernet(
    space: Space,
    make: Callable[..., nn.Module],
    *,
    affine: bool,
    refuse: Callable[[int, int], None],
) -> Supernet:
    """The supernet of `make(norms=...)`, a module called with (images, gates).

    `affine` is that of the normalisation inside cells; `refuse(height, width)` raises where the
    images do not fit, when weights are made.
    """
    trained, used = (make(norms=batch_norm.norms(affine, training)) for training in (True, False))

    def init(key, inputs):
        refuse(*inputs.shape[1:3])
        gates = {name: jnp.ones(choice.shape, inputs.dtype) for name, choice in space.items()}
        variables = trained.init(key, inputs[:1], gates)
        return variables["params"], variables["stats"]

    def apply(weights, stats, gates, inputs):
        variables = {"params": weights, "stats": stats}
        logits, moved = trained.apply(variables, inputs, gates, mutable=["stats"])
        return logits, moved["stats"]

    def infer(weights, stats, gates, inputs):
        return used.apply({"params": weights, "stats": stats}, inputs, gates)

    return Supernet(space, init, apply, infer)


def default_reductions(cells: int) -> tuple[int, int]:
    """The cells, or layers, that halve the image where nothing else is said."""
    return cells // 3, 2 * cells // 3


def check_sizes(cells: int, features: int, classes: int) -> None:
    """Raises ValueError for a network that cannot be."""
    if cells < 1 or features < 2 or classes < 2:
        raise ValueError(
            f"A network has cells >= 1, features >= 2 and classes >= 2, "
            f"not {cells}, {features}, {classes}."
        )


def check_reductions(reductions: Sequence[int], cells: int) -> None:
    """Raises ValueError for a reduction that is no cell."""
    beyond = [r for r in reductions if not 0 <= r < cells]
    if beyond:
        raise ValueError(f"Reduction {beyond[0]} is not one of the cells 0 to {cells - 1}.")
