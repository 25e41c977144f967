"""How large a network is: its parameters and multiply-accumulates, counted exactly."""

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from jaxnas.core.types import Network, Supernet
from jaxnas.nets import mixed_edges
from jaxnas.spaces.nasbench201 import supernet as nasbench201

AUXILIARY = "auxiliary"  # the part of the weights that only training uses


class Size(NamedTuple):
    parameters: int  # without the auxiliary head; architecture parameters are not weights
    auxiliary: int  # parameters of the auxiliary head
    macs: int  # of one image's inference: convolutions and linear layers alone


class Kernel(NamedTuple):
    """One of a module; a depthwise one has three axes, and one of channels."""

    shape: tuple[int, ...]  # the channels that leave are last
    pixels: int  # at which one image is multiplied with it

    @property
    def macs(self) -> int:
        return math.prod(self.shape) * self.pixels


def size(net: Supernet | Network, image: tuple[int, int, int]) -> Size:
    """Counts `net` for images of (height, width, channels) without computing anything.

    In a supernet every candidate of every edge counts. A multiply-accumulate belongs to a
    kernel: whatever a module of the user's own multiplies with other parameters is not seen.
    Raises ValueError for an image that the network refuses.
    """
    # Weights are made module by module; afterwards equal cells may be one loop.
    arguments = jax.eval_shape(lambda: jax.random.key(0)), _images(image)
    (weights, _), total = _run(net.init, *arguments, apart=AUXILIARY)
    extra = _total(weights.get(AUXILIARY, {}))
    return Size(_total(weights) - extra, extra, total)


def macs(net: Supernet | Network, image: tuple[int, int, int]) -> int:
    """Multiply-accumulates alone: see `size`."""
    return size(net, image).macs


def parameters(net: Supernet | Network, image: tuple[int, int, int]) -> int:
    """Parameters alone, auxiliary head included: see `size`."""
    return _total(_variables(net, image)[0])


def pixels(net: Network, image: tuple[int, int, int]) -> dict[tuple[str, ...], int]:
    """How often one image multiplies each kernel: by its path in the weights of `net.infer`."""
    found = {}

    def listen(call, arguments, keywords, context):
        y, module = call(*arguments, **keywords), context.module
        kernel = module.variables.get("params", {}).get("kernel")
        if hasattr(kernel, "size") and context.method_name == "__call__":
            found[(*module.path, "kernel")] = y.size // (y.shape[0] * y.shape[-1])
        return y

    with nn.intercept_methods(listen):
        jax.eval_shape(lambda *a: net.infer(*a), *_variables(net, image), _images(image))
    return found


def kernels(module: nn.Module, image: tuple[int, int, int]) -> tuple[list[Kernel], int]:
    """(each kernel of a Linen module alone, all its parameters), for an image that enters it."""
    parts = lambda variables: (variables.get("params", {}), variables.get("stats", {}))
    net = Network(
        lambda key, x: parts(module.init(key, x)),
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


def _run(run, *arguments, apart: str = "") -> tuple[Any, int]:
    """(shapes of what `run` returns, multiply-accumulates of the modules that it calls).

    A kernel `[..., O]` is multiplied once at every pixel of the module's output. Modules below
    `apart` are not counted.
    """
    total, deaf = 0, False

    def listen(call, arguments, keywords, context):
        nonlocal total, deaf
        module, before = context.module, total
        y = call(*arguments, **keywords)
        if deaf or module.path[:1] == (apart,) or context.method_name != "__call__":
            return y
        deaf = True  # a part counted by itself calls modules that are not called again here
        # What jit or a loop calls, it calls once, never, or as often as it likes: count what
        # stands in there by itself.
        if isinstance(module, mixed_edges.MixedEdges):
            total = before + _macs_of_edges(module, *arguments)
        elif isinstance(module, nasbench201.CellStage):
            cell = nasbench201.NASBench201SearchCell(*module.settings).clone(parent=None)
            total = before + module.cells * _macs_of_module(cell, *arguments)
        else:
            kernel = module.variables.get("params", {}).get("kernel")
            if hasattr(kernel, "size"):
                total += kernel.size * y.size // (y.shape[0] * y.shape[-1])
        deaf = False
        return y

    # A function of its own: JAX keeps the shapes of functions it knows and would not run it.
    with nn.intercept_methods(listen):
        shapes = jax.eval_shape(lambda *a: run(*a), *arguments)
    return shapes, total


def _macs_of_edges(module: mixed_edges.MixedEdges, gates, nodes, read) -> int:
    sources = nodes if read is None else read
    seen = module.features // module.mixture.partial
    image = jax.ShapeDtypeStruct((1, *sources.shape[2:-1], seen), sources.dtype)
    make, total = dict(module.candidates), 0
    for name, columns in module.plan.columns:
        op = make[name](seen, module.stride, module.norm).clone(parent=None)
        total += _macs_of_module(op, image) * sum(column >= 0 for column in columns)
    return total


def _macs_of_module(module: nn.Module, *arguments) -> int:
    return _run(module.init, jax.eval_shape(lambda: jax.random.key(0)), *arguments)[1]
