"""Linen modules as the pure functions of a `Supernet` or a `Network`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.core.types import Key, Network, Space, Supernet
from jaxnas.nets import batch_norm

# (height, width); raises ValueError for images that do not fit.
CheckImage = Callable[[int, int], None]
# The arguments of a module in training, and its random streams, from those of a `Network`'s
# `apply`: (inputs, key, drop_path) -> (arguments, {stream: key}).
Call = Callable[[jax.Array, Key, Any], tuple[tuple, Mapping[str, Key]]]


def supernet(
    space: Space,
    make: Callable[..., nn.Module],
    *,
    affine: bool,
    check_image: CheckImage,
) -> Supernet:
    """The supernet of `make(norms=...)`, a module called with (images, gates).

    `affine` is that of the normalisation inside cells; `check_image` is called at `init`.
    """
    training, inference = (make(norms=batch_norm.norms(affine, mode)) for mode in (True, False))

    def init(key, inputs):
        check_image(*inputs.shape[1:3])
        gates = {name: jnp.ones(choice.shape, inputs.dtype) for name, choice in space.items()}
        variables = training.init(key, inputs[:1], gates)
        return variables["params"], variables["stats"]

    def apply(weights, stats, gates, inputs):
        variables = {"params": weights, "stats": stats}
        logits, new = training.apply(variables, inputs, gates, mutable=["stats"])
        return logits, new["stats"]

    def infer(weights, stats, gates, inputs):
        return inference.apply({"params": weights, "stats": stats}, inputs, gates)

    return Supernet(space, init, apply, infer)


def images_alone(inputs: jax.Array, key: Key, drop_path: Any) -> tuple[tuple, Mapping[str, Key]]:
    """A `Call` of a network without random numbers: key and rate have no effect."""
    return (inputs,), {}


def network(
    make: Callable[..., nn.Module],
    *,
    check_image: CheckImage,
    call: Call = images_alone,
    init_rngs: Callable[[Key], Any] = lambda key: key,
) -> Network:
    """The network of `make(training=...)`, a module from images to logits.

    In training it may return (logits, auxiliary logits), and has the arguments of `call`. `init`
    has the random streams `init_rngs(key)` and calls `check_image` first.
    """
    training, inference = make(training=True), make(training=False)

    def init(key, inputs):
        check_image(*inputs.shape[1:3])
        image = jnp.zeros((1, *inputs.shape[1:]), inputs.dtype)
        variables = training.init(init_rngs(key), image)
        return variables["params"], variables["stats"]

    def apply(weights, stats, inputs, key, drop_path):
        arguments, rngs = call(inputs, key, drop_path)
        variables = {"params": weights, "stats": stats}
        outputs, new = training.apply(variables, *arguments, mutable=["stats"], rngs=rngs)
        return outputs if isinstance(outputs, tuple) else (outputs, None), new["stats"]

    def infer(weights, stats, inputs):
        return inference.apply({"params": weights, "stats": stats}, inputs)

    return Network(init, apply, infer)


def default_reductions(cells: int) -> tuple[int, int]:
    """The cells, or layers, that halve the image by default."""
    return cells // 3, 2 * cells // 3


def check_sizes(cells: int, features: int, classes: int) -> None:
    """Raises ValueError unless cells >= 1, features >= 2 and classes >= 2."""
    if cells < 1 or features < 2 or classes < 2:
        raise ValueError(
            f"A network has cells >= 1, features >= 2 and classes >= 2, "
            f"not {cells}, {features}, {classes}."
        )


def check_reductions(reductions: Sequence[int], cells: int) -> None:
    """Raises ValueError for a reduction that is no index of a cell."""
    beyond = [r for r in reductions if not 0 <= r < cells]
    if beyond:
        raise ValueError(f"Reduction {beyond[0]} is not one of the cells 0 to {cells - 1}.")
