"""Primitives with custom adjoints: linear maps defined in both directions.

Automatic differentiation turns the slices of a shifted sum into pads and scatters, which XLA runs
ten times slower than the sum. A `custom_vjp` would avoid that but forbid forward derivatives of
gradients, which the exact hypergradient needs. These maps can be differentiated in any mode and
order.
"""

import functools
from collections.abc import Callable

import jax
from jax.experimental.xla_metadata import set_xla_metadata
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

Map = Callable[..., jax.Array]


def linear(name: str, forward: Map, backward: Map) -> Map:
    """`forward(x, *constants, **static)`, linear in `x`, and `backward`, its adjoint.

    `backward(g, *constants, **static, shape=...)` maps a cotangent of the result to one of `x`,
    which has that shape. The constants (arrays) and the static settings are not differentiated.
    """
    forward_p, backward_p = _primitive(name, forward), _primitive(f"{name}_adjoint", backward)

    def transpose_forward(g, x, *constants, **static):
        cotangent = backward_p.bind(g, *constants, shape=x.aval.shape, **static)
        return cotangent, *(None for _ in constants)

    def transpose_backward(g, x, *constants, shape, **static):
        return forward_p.bind(g, *constants, **static), *(None for _ in constants)

    for primitive, transpose in ((forward_p, transpose_forward), (backward_p, transpose_backward)):
        ad.primitive_jvps[primitive] = functools.partial(_jvp_of_first, primitive)
        ad.primitive_transposes[primitive] = transpose
    return forward_p.bind


def bilinear(name: str, compute: Map, to_left: Map, to_right: Map) -> Map:
    """`compute(x, y, **static)`, linear in either argument, with both adjoints.

    `to_left(g, y, shape, **static)` maps a cotangent of the result to one of `x`, which has that
    shape, `to_right(g, x, shape, **static)` to one of `y`. Both may call bilinear maps again.
    """
    primitive = _primitive(name, compute)
    left = lambda g, x, y, **static: to_left(g, y, x.aval.shape, **static)
    right = lambda g, x, y, **static: to_right(g, x, y.aval.shape, **static)
    ad.defbilinear(primitive, left, right)
    return primitive.bind


def standalone(name: str, compute: Map) -> Map:
    """`compute(*arrays, **static)`, compiled as a separate kernel; without derivatives."""
    return _primitive(name, compute).bind


def piecewise_linear(name: str, compute: Map, tangent: Map) -> Map:
    """`compute(x, **static)`, whose derivative along `t` is `tangent(t, x, value, **static)`.

    `tangent` is a `linear` map: its arguments besides `t` count as constant. A `custom_jvp` would
    do, but JAX drops its rule from what one loop inside another recomputes.
    """
    primitive = _primitive(name, compute)

    def jvp(primals, tangents, **static):
        value = primitive.bind(*primals, **static)
        if isinstance(tangents[0], ad.Zero):
            return value, ad.Zero.from_primal_value(value)
        return value, tangent(tangents[0], *primals, value, **static)

    ad.primitive_jvps[primitive] = jvp
    return primitive.bind


def _primitive(name: str, compute: Map) -> Primitive:
    primitive = Primitive(name)

    # One jitted function a setting, so that equal calls are traced once.
    @functools.cache
    def jitted(settings):
        return jax.jit(functools.partial(compute, **dict(settings)))

    def run(*arguments, **static):
        return jitted(tuple(static.items()))(*arguments)

    def abstract(*arguments, **static):
        result = jitted(tuple(static.items())).eval_shape(*arguments)
        return arguments[0].update(shape=result.shape, dtype=result.dtype)

    def batch(arguments, dimensions, **static):
        return jax.vmap(functools.partial(compute, **static), dimensions)(*arguments), 0

    # XLA:CPU fuses chains of shifted sums into one slow loop, and runs fusions with the update of a
    # loop's carry on one thread. Nothing is fused across a call that is not inlined.
    def run_uninlined(*arguments, **static):
        return set_xla_metadata(run(*arguments, **static), inlineable="false")

    primitive.def_impl(run)
    primitive.def_abstract_eval(abstract)
    batching.primitive_batchers[primitive] = batch
    mlir.register_lowering(primitive, mlir.lower_fun(run, multiple_results=False))
    uninlined = mlir.lower_fun(run_uninlined, multiple_results=False)
    mlir.register_lowering(primitive, uninlined, platform="cpu")
    return primitive


def _jvp_of_first(primitive: Primitive, primals, tangents, **static):
    value = primitive.bind(*primals, **static)
    tangent = tangents[0]
    if isinstance(tangent, ad.Zero):
        return value, ad.Zero.from_primal_value(value)
    return value, primitive.bind(tangent, *primals[1:], **static)
