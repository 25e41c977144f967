"""Curvature of a loss: Hessian products, eigenvalues by Lanczos, and sharpness.

A loss is `value(point, batch) -> scalar`; `batches` have a leading axis `[N, ...]`, over which the
results are means. One batch is in memory at a time.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from jaxnas.core.types import Key, Scalar

Point = Any  # a pytree of floating-point arrays, n numbers in all
Value = Callable[[Point, Any], Scalar]


class Ritz(NamedTuple):
    """Approximate eigenvalues, ascending, each within its `errors` of one."""

    values: jax.Array  # f[k]
    errors: jax.Array  # f[k]


def hessian_vector_product(value: Value, point: Point, batches: Any, direction: Point) -> Point:
    """The Hessian at a point times a direction, as a forward derivative of the gradient."""

    def product(batch) -> Point:
        gradient = jax.grad(lambda point: value(point, batch))
        return jax.jvp(gradient, (point,), (direction,))[1]

    return _mean(product, jax.tree.map(jnp.zeros_like, point), batches)


def hessian(value: Value, point: Point, batches: Any) -> jax.Array:
    """The whole Hessian, f[n, n], a row at a time; numbers in the order of `jax.tree.leaves`.

    n products, in the memory of one product and n^2 numbers. Raises ValueError for n = 0.
    """
    flat, restore = _flat(point)

    def row(index) -> jax.Array:
        direction = restore(jnp.zeros_like(flat).at[index].set(1))
        return ravel_pytree(hessian_vector_product(value, point, batches, direction))[0]

    return jax.lax.map(row, jnp.arange(flat.size))


def spectrum(matrix: jax.Array) -> jax.Array:
    """Eigenvalues of a symmetric matrix, f[n], ascending; the matrix is symmetrised first."""
    return jnp.linalg.eigvalsh((matrix + matrix.T) / 2)


def lanczos(value: Value, point: Point, batches: Any, key: Key, iterations: int) -> Ritz:
    """Eigenvalues of the Hessian by `min(iterations, n)` products, the outermost ones first.

    Full reorthogonalisation, twice, with the memory of `iterations` points; with n iterations the
    values are the spectrum. If the vectors span an invariant space, a random vector continues.
    Golub and Van Loan 2013, section 10.1 and (for the errors) theorem 10.1.2, from memory. Raises
    ValueError unless iterations > 0 and n > 0.
    """
    if iterations < 1:
        raise ValueError(f"Lanczos takes at least one iteration, not {iterations}.")
    flat, restore = _flat(point)
    count = min(iterations, flat.size)
    tiny = 100 * jnp.finfo(flat.dtype).eps

    def random(index) -> jax.Array:
        return jax.random.normal(jax.random.fold_in(key, index), flat.shape, flat.dtype)

    def orthogonal(vector, basis) -> jax.Array:
        for _ in range(2):
            vector = vector - (basis @ vector) @ basis
        return vector

    def extend(index, carry):
        basis, diagonal, off_diagonal, scale = carry
        vector = basis[index]
        image = ravel_pytree(hessian_vector_product(value, point, batches, restore(vector)))[0]
        length = jnp.linalg.norm(image)
        scale = jnp.maximum(scale, length)
        residual = orthogonal(image, basis)
        norm = jnp.linalg.norm(residual)
        is_invariant = norm <= tiny * scale
        replacement = orthogonal(random(index + 1), basis)
        # If the vectors span the whole space, the random one is zero, too.
        replacement = replacement / jnp.maximum(jnp.linalg.norm(replacement), tiny)
        residual = jnp.where(is_invariant, replacement, residual / jnp.where(is_invariant, 1, norm))
        diagonal = diagonal.at[index].set(vector @ image)
        off_diagonal = off_diagonal.at[index].set(jnp.where(is_invariant, 0, norm))
        return basis.at[index + 1].set(residual), diagonal, off_diagonal, scale

    first = random(0)
    basis = jnp.zeros((count + 1, flat.size), flat.dtype).at[0].set(first / jnp.linalg.norm(first))
    start = (basis, jnp.zeros(count, flat.dtype), jnp.zeros(count, flat.dtype), flat.dtype.type(0))
    _, diagonal, off_diagonal, _ = jax.lax.fori_loop(0, count, extend, start)
    values, vectors = jnp.linalg.eigh(
        jnp.diag(diagonal) + jnp.diag(off_diagonal[:-1], 1) + jnp.diag(off_diagonal[:-1], -1)
    )
    return Ritz(values, jnp.abs(off_diagonal[-1] * vectors[-1]))


def sharpness(value: Value, point: Point, batches: Any, radius: float) -> Scalar:
    """`value(point + radius g / |g|) - value(point)`, g the gradient: the rise of one ascent step.

    The first-order estimate of the largest rise within `radius` (Euclidean, all numbers
    together): SAM, Foret et al. 2021, eq. 2, https://arxiv.org/abs/2010.01412. Zero where the
    gradient is. Raises ValueError unless radius > 0.
    """
    if not radius > 0:
        raise ValueError(f"Sharpness is measured within a radius above 0, not {radius}.")
    zero = jax.tree.map(jnp.zeros_like, point)
    gradient = _mean(lambda batch: jax.grad(value)(point, batch), zero, batches)
    norm = optax.tree.norm(gradient)
    step = jnp.where(norm == 0, 0.0, radius / jnp.where(norm == 0, 1.0, norm))
    top = optax.tree.add_scale(point, step, gradient)
    rise = lambda batch: value(top, batch) - value(point, batch)
    return _mean(rise, jnp.zeros_like(norm), batches)


def _flat(point: Point) -> tuple[jax.Array, Callable[[jax.Array], Point]]:
    flat, restore = ravel_pytree(point)
    if not flat.size:
        raise ValueError("A point of no numbers has no curvature: there is nothing to derive by.")
    return flat, restore


def _mean(function: Callable[[Any], Any], zero: Any, batches: Any) -> Any:
    """The mean of `function(batch)`, one batch after the other; `zero` has its shapes."""
    count = len(jax.tree.leaves(batches)[0])
    add = lambda total, batch: (optax.tree.add(total, function(batch)), None)
    total, _ = jax.lax.scan(add, zero, batches)
    return optax.tree.scale(1 / count, total)
