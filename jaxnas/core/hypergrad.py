"""Hypergradients: rules for d(outer loss)/d(arch), including the path through the weights.

With `w' = descend(g, w)`, `g = d inner/d w`, and `u` the pull-back of `d outer/d w'` through
`descend`, every look-ahead rule is `d outer/d arch + d^2 inner/(d arch d w) u`. This is complete:
momentum and weight decay change `w'` but are constant in the architecture.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxnas.core.types import Arch, Hypergradient, OuterGradient, Problem, Scalar, Weights


def first_order() -> Hypergradient:
    """The gradient at constant weights, d outer/d arch. DARTS, section 2.4."""
    return Hypergradient(lambda problem: jax.value_and_grad(problem.outer, has_aux=True))


def unrolled() -> Hypergradient:
    """The exact gradient through one step of the weight optimiser. DARTS, eq. 6.

    The mixed derivative is a forward derivative of d inner/d arch, which needs about
    twice the memory of one gradient and differentiates no optimiser.
    """
    return _look_ahead(_mixed_derivative)


def finite_difference(radius: float = 0.01) -> Hypergradient:
    """`unrolled` with a central difference of two gradients. DARTS, eq. 8.

    The original weights are shifted by `radius / norm(u)` along `u`, both ways; where `u`
    is zero so is the correction. Raises ValueError unless radius > 0.
    """
    if not radius > 0:
        raise ValueError(f"The radius of the finite difference is {radius}: make it positive.")

    def difference(problem: Problem, arch: Arch, weights: Weights, u: Weights) -> Arch:
        norm = optax.tree.norm(u)
        is_zero = norm == 0
        step = radius / jnp.where(is_zero, 1.0, norm)
        gradient = jax.grad(lambda a, w: problem.inner(a, w)[0])
        gradient_at = lambda distance: gradient(arch, optax.tree.add_scale(weights, distance, u))
        # One program for both gradients: half to compile, and equal points give equal bits.
        gradients = jax.lax.map(gradient_at, jnp.stack([step, -step]))
        per_step = jnp.where(is_zero, 0.0, 0.5 / step)
        return jax.tree.map(lambda pair: per_step * (pair[0] - pair[1]), gradients)

    return _look_ahead(difference)


def neumann(terms: int, scale: float | optax.Schedule) -> Hypergradient:
    """The implicit gradient with `inverse(H) v` as `scale * sum_{k<=terms} (I - scale H)^k v`.

    `H` is d^2 inner/d w^2; `scale`, a number or a function of the step, must stay below
    2 / (its largest eigenvalue). Lorraine et al. 2020, alg. 3,
    https://arxiv.org/abs/1911.02590; with `scale` the learning rate this is iDARTS,
    https://arxiv.org/abs/2106.10784. Raises ValueError unless terms >= 0 and scale > 0.
    """
    if terms < 0 or not (callable(scale) or scale > 0):
        raise ValueError(f"A Neumann series has terms >= 0 and scale > 0, not {terms}, {scale}.")
    scale_at = scale if callable(scale) else lambda step: scale

    def solve(hessian: Callable[[Weights], Weights], v: Weights, step: Scalar) -> Weights:
        scale: Any = scale_at(step)

        def add_power(_, carry):
            total, power = carry
            power = optax.tree.add_scale(power, -scale, hessian(power))
            return optax.tree.add(total, power), power

        total, _ = jax.lax.fori_loop(0, terms, add_power, (v, v))
        return optax.tree.scale(scale, total)

    return _implicit(solve)


def conjugate_gradient(iterations: int, damping: float = 0.0) -> Hypergradient:
    """The implicit gradient with `(H + damping I) x = v` solved by conjugate gradients.

    `H + damping I` must be positive definite. Pedregosa 2016, https://arxiv.org/abs/1602.02355
    Raises ValueError unless iterations > 0 and damping >= 0.
    """
    if iterations <= 0 or not damping >= 0:
        raise ValueError(
            f"Conjugate gradients need iterations > 0 and damping >= 0, "
            f"not {iterations} and {damping}."
        )

    def solve(hessian: Callable[[Weights], Weights], v: Weights, step: Scalar) -> Weights:
        damped = lambda u: optax.tree.add_scale(hessian(u), damping, u)
        return jax.scipy.sparse.linalg.cg(damped, v, tol=0.0, maxiter=iterations)[0]

    return _implicit(solve)


def after(start: int, hypergrad: Hypergradient) -> Hypergradient:
    """`hypergrad` from step `start` on; before, the architecture is constant, at no cost.

    Raises ValueError unless start > 0.
    """
    if start <= 0:
        raise ValueError(f"A warm-up of {start} steps has no effect: leave `after` out.")
    return _when(lambda step: step >= start, hypergrad)


def every(period: int, hypergrad: Hypergradient) -> Hypergradient:
    """`hypergrad` at steps 0, period, 2 period...; between them the architecture is constant.

    Raises ValueError unless period > 1.
    """
    if period <= 1:
        raise ValueError(f"A period of {period} has no effect: leave `every` out.")
    return _when(lambda step: step % period == 0, hypergrad)


def after_weights(hypergrad: Hypergradient) -> Hypergradient:
    """`hypergrad`, with the architecture updated after the weights in each step."""
    return hypergrad._replace(weights_first=True)


def _when(condition: Callable[[Scalar], jax.Array], hypergrad: Hypergradient) -> Hypergradient:
    before = hypergrad.active or (lambda step: jnp.array(True))
    return hypergrad._replace(active=lambda step: condition(step) & before(step))


def _mixed_derivative(problem: Problem, arch: Arch, weights: Weights, u: Weights) -> Arch:
    gradient = jax.grad(lambda w, a: problem.inner(a, w)[0], argnums=1)
    return jax.jvp(lambda w: gradient(w, arch), (weights,), (u,))[1]


def _look_ahead(correction: Callable[..., Arch]) -> Hypergradient:
    def rule(problem: Problem) -> Callable[[Arch, Weights], OuterGradient]:
        def gradient(arch: Arch, weights: Weights) -> OuterGradient:
            grads = jax.grad(lambda w: problem.inner(arch, w)[0])(weights)
            ahead, pull_back = jax.vjp(lambda g: problem.descend(g, weights), grads)
            outer = jax.value_and_grad(problem.outer, argnums=(0, 1), has_aux=True)
            value, (direct, v) = outer(arch, ahead)
            (u,) = pull_back(v)
            return value, optax.tree.add(direct, correction(problem, arch, weights, u))

        return gradient

    return Hypergradient(rule)


def _implicit(solve: Callable[..., Weights]) -> Hypergradient:
    def rule(problem: Problem) -> Callable[[Arch, Weights], OuterGradient]:
        def gradient(arch: Arch, weights: Weights) -> OuterGradient:
            outer = jax.value_and_grad(problem.outer, argnums=(0, 1), has_aux=True)
            value, (direct, v) = outer(arch, weights)
            inner = jax.grad(lambda w: problem.inner(arch, w)[0])
            hessian = lambda u: jax.jvp(inner, (weights,), (u,))[1]
            mixed = _mixed_derivative(problem, arch, weights, solve(hessian, v, problem.step))
            return value, optax.tree.sub(direct, mixed)

        return gradient

    return Hypergradient(rule)
