"""NASWOT: how well a network's rectifiers tell images apart.

Mellor et al. 2021, https://arxiv.org/abs/2006.04647, equation 2. Larger is better.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

# Where JAX puts the body of a function that it calls, by the parameter's name.
BODIES = ("jaxpr", "call_jaxpr", "fun_jaxpr")


def naswot(codes: Sequence[jax.Array]) -> jax.Array:
    """f32[]: log |det K|, K[i, j] the number of rectifiers that agree on images i and j.

    `codes`: for each rectifier, bool[images, ...], where its input is positive.
    """
    count = len(codes[0])
    kernel = jnp.zeros((count, count))
    for code in codes:
        active = code.reshape(count, -1).astype(jnp.float32)
        kernel += active @ active.T + (1 - active) @ (1 - active).T
    return jnp.linalg.slogdet(kernel)[1]


def with_codes(function: Callable[..., Any], *arguments: Any) -> tuple[Any, list[jax.Array]]:
    """(`function(*arguments)`, the codes of its rectifiers in order).

    A rectifier is a `max(x, 0)` of two axes or more: ReLU, ReLU6. To be traced. Raises ValueError
    for a rectifier within a loop, and where there is none.
    """
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    codes: list[jax.Array] = []
    leaves = jax.tree.leaves(arguments)
    outputs = _evaluate(closed.jaxpr, closed.consts, leaves, codes)
    if not codes:
        raise ValueError("The network has no rectifier: NASWOT does not score it.")
    return jax.tree.unflatten(jax.tree.structure(shapes), outputs), codes


def _evaluate(jaxpr, consts: Sequence, arguments: Sequence, codes: list) -> list:
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *arguments), strict=True))
    read = lambda atom: atom.val if isinstance(atom, core.Literal) else known[atom]
    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        body = next((equation.params[name] for name in BODIES if name in equation.params), None)
        if equation.primitive.name == "max" and _rectified(equation) is not None:
            codes.append(inputs[_rectified(equation)] > 0)
        if body is not None and equation.primitive.name not in ("scan", "while", "cond"):
            inner = body.jaxpr if isinstance(body, core.ClosedJaxpr) else body
            outputs = _evaluate(inner, getattr(body, "consts", ()), inputs, codes)
        else:
            _check_loop(equation)
            params = equation.primitive.get_bind_params(equation.params)
            outputs = equation.primitive.bind(*inputs, **params)
            outputs = outputs if equation.primitive.multiple_results else [outputs]
        known |= dict(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _rectified(equation) -> int | None:
    """Which input of a `max` is compared with 0; None: none, or it is not of images."""
    for zero, other in ((1, 0), (0, 1)):
        atom = equation.invars[zero]
        is_zero = isinstance(atom, core.Literal) and np.ndim(atom.val) == 0 and atom.val == 0
        if is_zero and equation.invars[other].aval.ndim > 1:
            return other
    return None


def _check_loop(equation) -> None:
    def has_rectifier(jaxpr) -> bool:
        return any(
            (e.primitive.name == "max" and _rectified(e) is not None)
            or any(has_rectifier(inner) for inner in _bodies(e))
            for e in jaxpr.eqns
        )

    if any(has_rectifier(inner) for inner in _bodies(equation)):
        raise ValueError(
            f"A rectifier is within a {equation.primitive.name}, which NASWOT does not look into: "
            "leave naswot out of the scores."
        )


def _bodies(equation):
    for value in equation.params.values():
        for body in value if isinstance(value, tuple | list) else (value,):
            if isinstance(body, core.ClosedJaxpr):
                yield body.jaxpr
            elif isinstance(body, core.Jaxpr):
                yield body
