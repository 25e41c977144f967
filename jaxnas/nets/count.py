"""Parameters and multiply-accumulates of a network, counted exactly by tracing.

JAX traces the body of a loop once. A module that runs others in a loop therefore defines their
multiply-accumulates: a method `macs`, decorated with `nn.nowrap`, with the arguments of its call.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from jaxnas.core.types import Network, Supernet

AUXILIARY = "auxiliary"  # the part of the weights that only training uses


class Size(NamedTuple):
    parameters: int  # without the auxiliary head; architecture parameters are not weights
    auxiliary: int  # parameters of the auxiliary head
    macs: int  # of one image's inference: convolutions and linear layers alone


class Kernel(NamedTuple):
    """A kernel of a module; a depthwise one has three axes, the last of them its channels."""

    shape: tuple[int, ...]  # the channels that leave are last
    pixels: int  # at which one image is multiplied with it

    @property
    def macs(self) -> int:
        return math.prod(self.shape) * self.pixels


def size(net: Supernet | Network, image: tuple[int, int, int]) -> Size:
    """Counts `net` for images of (height, width, channels) without computing anything.

    In a supernet every candidate of every edge counts. Multiply-accumulates are those of kernels:
    products of a user's module with other parameters are not counted. Raises ValueError for an
    image that the network rejects, and for a loop over stacked weights in a module without `macs`.
    """
    # Weights are made module by module; afterwards equal cells may be one loop.
    arguments = jax.eval_shape(lambda: jax.random.key(0)), _images(image)
    weights, total = _count(lambda *a: net.init(*a)[0], *arguments, apart=AUXILIARY)
    extra = _total(weights.get(AUXILIARY, {}))
    return Size(_total(weights) - extra, extra, total)


def macs(net: Supernet | Network, image: tuple[int, int, int]) -> int:
    """Multiply-accumulates alone: see `size`."""
    return size(net, image).macs


def module_macs(module: nn.Module, *arguments: Any) -> int:
    """Multiply-accumulates of one call of a Linen module without a parent, for one image."""
    init = lambda *a: module.init(*a).get("params", {})
    return _count(init, jax.eval_shape(lambda: jax.random.key(0)), *arguments)[1]


def parameters(net: Supernet | Network, image: tuple[int, int, int]) -> int:
    """Parameters alone, auxiliary head included: see `size`."""
    return _total(_variables(net, image)[0])


def pixels(net: Network, image: tuple[int, int, int]) -> dict[tuple[str, ...], int]:
    """The pixels at which one image is multiplied with each kernel, by its path in the weights."""
    uses = {}

    def listen(call, arguments, keywords, context):
        y, module = call(*arguments, **keywords), context.module
        kernel = module.variables.get("params", {}).get("kernel")
        if hasattr(kernel, "size") and context.method_name == "__call__":
            uses[(*module.path, "kernel")] = y.size // (y.shape[0] * y.shape[-1])
        return y

    with nn.intercept_methods(listen):
        jax.eval_shape(lambda *a: net.infer(*a), *_variables(net, image), _images(image))
    return uses


def kernel_calls(
    net: Network, image: tuple[int, int, int]
) -> list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """(kernel, input, output): the shapes of each call of a module with a kernel, for one image."""
    calls = []

    def listen(call, arguments, keywords, context):
        y, module = call(*arguments, **keywords), context.module
        kernel = module.variables.get("params", {}).get("kernel")
        if hasattr(kernel, "shape") and context.method_name == "__call__":
            calls.append((kernel.shape, arguments[0].shape, y.shape))
        return y

    # A new function: JAX caches the shapes of known functions and would not run it.
    with nn.intercept_methods(listen):
        jax.eval_shape(lambda *a: net.infer(*a), *_variables(net, image), _images(image))
    return calls


def kernels(module: nn.Module, image: tuple[int, int, int]) -> tuple[list[Kernel], int]:
    """(kernels, number of all parameters) of a Linen module, for an image that enters it."""
    trees = lambda variables: (variables.get("params", {}), variables.get("stats", {}))
    net = Network(
        lambda key, x: trees(module.init(key, x)),
        None,
        lambda weights, stats, x: module.apply({"params": weights, "stats": stats}, x),
    )
    weights = flatten_dict(_variables(net, image)[0])
    uses = pixels(net, image)
    return [Kernel(weights[path].shape, n) for path, n in uses.items()], _total(weights)


def _variables(net: Supernet | Network, image: tuple[int, int, int]) -> tuple[Any, Any]:
    return jax.eval_shape(net.init, jax.eval_shape(lambda: jax.random.key(0)), _images(image))


def _images(image: tuple[int, int, int]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, *image), jnp.float32)


def _total(weights: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(weights))


def _count(make_weights: Callable[..., Any], *arguments: Any, apart: str = "") -> tuple[Any, int]:
    """(shapes of the weights, multiply-accumulates of their modules).

    A kernel `[..., O]` is multiplied once at every pixel of the module's output. Modules below
    `apart` are not counted.
    """
    total, counted, kernels = 0, False, {}

    def listen(call, arguments, keywords, context):
        nonlocal total, counted
        module = context.module
        skipped = counted or module.path[:1] == (apart,) or context.method_name != "__call__"
        if not skipped and hasattr(module, "macs"):
            counted = True  # it counts the modules that it calls
            y = call(*arguments, **keywords)
            total += module.macs(*arguments, **keywords)
            counted = False
            return y
        y = call(*arguments, **keywords)
        if not skipped:
            kernel = module.variables.get("params", {}).get("kernel")
            if hasattr(kernel, "size"):
                total += kernel.size * y.size // (y.shape[0] * y.shape[-1])
                kernels[(*module.path, "kernel")] = kernel.shape
        return y

    # A new function: JAX caches the shapes of known functions and would not run it.
    with nn.intercept_methods(listen):
        weights = jax.eval_shape(lambda *a: make_weights(*a), *arguments)
    _check_kernels(kernels, weights)
    return weights, total


def _check_kernels(kernels: Mapping[tuple[str, ...], tuple[int, ...]], weights: Any) -> None:
    """Raises ValueError if a kernel of a call is not, in this shape, among the weights.

    A loop, or `vmap`, calls slices of them. A loop with shared weights is not detected.
    """
    leaves = jax.tree_util.tree_leaves_with_path(weights)
    shapes = {tuple(getattr(key, "key", key) for key in path): leaf.shape for path, leaf in leaves}
    for path, shape in kernels.items():
        if shapes.get(path) != shape:
            raise ValueError(
                f"The kernel of {'/'.join(path[:-1])!r} is called in a loop, which hides how "
                "often: give the module that loops a method `macs`, as in nets/mixed_edges.py."
            )
