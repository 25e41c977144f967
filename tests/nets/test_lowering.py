"""Every lowered primitive equals XLA's own, in value and in derivatives of both kinds."""

import functools
import itertools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from jax import lax

from jaxnas.nets import lowering
from jaxnas.nets.lowering import windows
from tests import toy

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def image(side, features=3):
    return jax.random.normal(jax.random.key(0), (2, side, side, features))


def grouped(x, kernel, stride, dilation):
    margin = dilation * (kernel.shape[0] - 1) // 2
    return lax.conv_general_dilated(
        x,
        kernel[:, :, None, :],
        (stride, stride),
        ((margin, margin), (margin, margin)),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=DIMENSIONS,
        feature_group_count=x.shape[-1],
    )


def full(x, kernel, stride):
    margin = kernel.shape[0] // 2
    padding = ((margin, margin), (margin, margin))
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=DIMENSIONS
    )


def same(ours, reference, *arguments):
    """Value, gradient, and a forward derivative of a gradient agree."""
    value = reference(*arguments)
    weight = jax.random.normal(jax.random.key(1), value.shape)
    loss = lambda f: lambda *a: jnp.sum(f(*a) ** 3 * weight)
    every = tuple(range(len(arguments)))
    tangents = tuple(jnp.cos(a) for a in arguments)

    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def facts(*arguments):
        def of(f):
            slope = jax.grad(loss(f), every)
            return f(*arguments), slope(*arguments), jax.jvp(slope, arguments, tangents)[1]

        return of(ours), of(reference)

    chex.assert_trees_all_close(*facts(*arguments), rtol=1e-9, atol=1e-9)


# Any three of the four settings meet in every way.
@pytest.mark.parametrize(
    "side, size, stride, dilation",
    [
        (side, size, stride, 1 + (side + size // 2 + stride) % 2)
        for side, size, stride in itertools.product((6, 7), (3, 5), (1, 2))
    ],
)
def test_depthwise_equals_the_grouped_convolution(x64, side, size, stride, dilation):
    kernel = jax.random.normal(jax.random.key(2), (size, size, 3))
    same(
        lambda x, k: lowering.depthwise(x, k, stride, dilation),
        lambda x, k: grouped(x, k, stride, dilation),
        image(side),
        kernel,
    )


@pytest.mark.parametrize("features", [8, 16])
def test_wider_images_are_padded_and_summed_in_other_ways(x64, features, monkeypatch):
    """Eight channels are flat in kernel gradients alone, sixteen nowhere once they are large."""
    monkeypatch.setattr(windows, "SMALL", 0)
    jax.clear_caches()
    kernel = jax.random.normal(jax.random.key(2), (3, 3, features))
    same(
        lambda x, k: lowering.depthwise(x, k, 1, 2),
        lambda x, k: grouped(x, k, 1, 2),
        image(5, features),
        kernel,
    )
    jax.clear_caches()


@pytest.mark.parametrize(
    "side, size, stride",
    [(6, 1, 1), (7, 1, 2), (7, 3, 1), (6, 3, 2), (7, 3, 2), (6, 5, 1), (7, 5, 2)],
)
def test_convolution_equals_the_symmetrically_padded_one(x64, side, size, stride):
    kernel = jax.random.normal(jax.random.key(2), (size, size, 3, 4))
    same(
        lambda x, k: lowering.convolution(x, k, stride),
        lambda x, k: full(x, k, stride),
        image(side),
        kernel,
    )


@pytest.mark.parametrize("side, stride", list(itertools.product((6, 7), (1, 2))))
def test_pools_equal_those_of_flax(x64, side, stride):
    window = ((3, 3), (stride, stride), ((1, 1), (1, 1)))
    same(lambda x: lowering.max_pool(x, stride), lambda x: nn.max_pool(x, *window), image(side))
    same(
        lambda x: lowering.average_pool(x, stride),
        lambda x: nn.avg_pool(x, *window, count_include_pad=False),
        image(side),
    )


def test_values_that_tie_share_the_gradient_of_a_maximum(x64):
    flat = jnp.ones((1, 4, 4, 1))
    gradient = jax.grad(lambda x: lowering.max_pool(x, 1).sum())(flat)
    assert gradient.sum() == pytest.approx(16.0)
    # A corner is one of 4 in its own window, one of 6 in two, one of 9 in the fourth.
    assert gradient[0, 0, 0, 0] == pytest.approx(1 / 4 + 2 / 6 + 1 / 9)


def test_derivatives_and_vmap_commute(x64):
    x, kernel = image(6), jax.random.normal(jax.random.key(2), (5, 5, 3))
    xs, kernels = jnp.stack([x, x + 1]), jnp.stack([kernel, 2 * kernel])

    def loss(x, kernel):
        image = lowering.depthwise(jnp.sin(x), kernel, 2, 1)
        return jnp.sum(image**2) + jnp.sum(lowering.max_pool(x, 2) ** 3)

    slope = jax.grad(loss, (0, 1))
    of_one = toy.jit(slope)
    alone = [of_one(*pair) for pair in zip(xs, kernels, strict=True)]
    total = toy.jit(jax.grad(lambda xs, ks: jax.vmap(loss)(xs, ks).sum(), (0, 1)))(xs, kernels)
    chex.assert_trees_all_close(toy.jit(jax.vmap(slope))(xs, kernels), total, rtol=1e-9)
    chex.assert_trees_all_close(jax.tree.map(lambda *a: jnp.stack(a), *alone), total, rtol=1e-9)


def test_nothing_scatters_in_a_gradient():
    def loss(x, kernel):
        return lowering.max_pool(lowering.depthwise(x, kernel, 2, 1), 1).sum()

    text = jax.jit(jax.grad(loss, (0, 1))).lower(image(8), jnp.ones((3, 3, 3))).as_text()
    assert "scatter" not in text
