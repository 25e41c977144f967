"""Primitives whose adjoint is chosen, not derived: both directions of a linear map are given.

Automatic differentiation turns the slices of a shifted sum into pads and scatters, which XLA runs
ten times slower than the sum itself. A `custom_vjp` would mend that and forbid forward derivatives,
which the exact hypergradient takes of a gradient. These maps may be differentiated in any order.
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

    `backward(g, *constants, **static, shape=...)` takes a value to the side of `x`, whose shape it
    is told. The constants (arrays) and the static settings are not differentiated.
    """
    there, back = _primitive(name, forward), _primitive(f"{name}_adjoint", backward)

    def transpose_there(g, x, *constants, **static):
        return back.bind(g, *constants, shape=x.aval.shape, **static), *(None for _ in constants)

    def transpose_back(g, x, *constants, shape, **static):
        return there.bind(g, *constants, **static), *(None for _ in constants)

    for primitive, transpose in ((there, transpose_there), (back, transpose_back)):
        ad.primitive_jvps[primitive] = functools.partial(_jvp_of_first, primitive)
        ad.primitive_transposes[primitive] = transpose
    return there.bind


def bilinear(name: str, compute: Map, to_left: Map, to_right: Map) -> Map:
    """`compute(x, y, **static)`, linear in either argument, with both adjoints.

    `to_left(g, y, shape, **static)` takes a value to the side of `x`, whose shape it is told;
    `to_right(g, x, shape, **static)` to the side of `y`. Both may call bilinear maps again.
    """
    primitive = _primitive(name, compute)
    left = lambda g, x, y, **static: to_left(g, y, x.aval.shape, **static)
    right = lambda g, x, y, **static: to_right(g, x, y.aval.shape, **static)
    ad.defbilinear(primitive, left, right)
    return primitive.bind


def alone(name: str, compute: Map) -> Map:
    """`compute(*arrays, **static)` as a kernel of its own, without derivatives."""
    return _primitive(name, compute).bind


def piecewise(name: str, compute: Map, change: Map) -> Map:
    """`compute(x, **static)`, whose derivative along `t` is `change(t, x, value, **static)`.

    `change` is a linear map of this file: what it is told besides `t` counts as constant. A
    `custom_jvp` would do, but JAX drops its rule from what one loop inside another recomputes.
    """
    primitive = _primitive(name, compute)

    def jvp(primals, tangents, **static):
        value = primitive.bind(*primals, **static)
        if isinstance(tangents[0], ad.Zero):
            return value, ad.Zero.from_primal_value(value)
        return value, change(tangents[0], *primals, value, **static)

    ad.primitive_jvps[primitive] = jvp
    return primitive.bind


def _primitive(name: str, compute: Map) -> Primitive:
    primitive = Primitive(name)

    # One jitted function for each setting, so that equal calls are traced once.
    @functools.cache
    def jitted(settings):
        return jax.jit(functools.partial(compute, **dict(settings)))

    def run(*arguments, **static):
        return jitted(tuple(static.items()))(*arguments)

    def abstract(*arguments, **static):
        shaped = jitted(tuple(static.items())).eval_shape(*arguments)
        return arguments[0].update(shape=shaped.shape, dtype=shaped.dtype)

    def batch(arguments, dimensions, **static):
        return jax.vmap(functools.partial(compute, **static), dimensions)(*arguments), 0

    # XLA:CPU fuses whole chains of shifted sums into one slow loop, and runs on one thread what
    # it fuses into the update of a loop's carry. Its inliner leaves a call alone that says so,
    # and nothing is fused across a call.
    def apart(*arguments, **static):
        return set_xla_metadata(run(*arguments, **static), inlineable="false")

    primitive.def_impl(run)
    primitive.def_abstract_eval(abstract)
    batching.primitive_batchers[primitive] = batch
    mlir.register_lowering(primitive, mlir.lower_fun(run, multiple_results=False))
    mlir.register_lowering(primitive, mlir.lower_fun(apart, multiple_results=False), platform="cpu")
    return primitive


def _jvp_of_first(primitive: Primitive, primals, tangents, **static):
    value = primitive.bind(*primals, **static)
    tangent = tangents[0]
    if isinstance(tangent, ad.Zero):
        return value, ad.Zero.from_primal_value(value)
    return value, primitive.bind(tangent, *primals[1:], **static)
