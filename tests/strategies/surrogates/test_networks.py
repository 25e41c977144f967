"""Networks as surrogates: they learn, predict any number of rows, and know what they do not."""

import jax
import numpy as np
import pytest
import scipy.stats

from jaxnas.strategies.surrogates import gradient_fit, npn
from jaxnas.strategies.surrogates.gradient_fit import NetworkTraining
from jaxnas.strategies.surrogates.losses import soft_kendall
from jaxnas.strategies.surrogates.mlp import line, mlp
from jaxnas.strategies.surrogates.parzc import parzc
from jaxnas.strategies.surrogates.pretrained import pretrained

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 5))
AT = RANDOM.normal(size=(300, 5))
value = lambda x: 50 + 3 * x[:, 0] - 2 * x[:, 1] + x[:, 2] ** 2
SHORT = NetworkTraining(steps=100, members=2)


@pytest.mark.parametrize("name", ["squared", "soft-kendall", "pretrained", "npn", "parzc"])
def test_learns_in_the_unit_of_the_values(name):
    make = {
        "squared": lambda: mlp(training=SHORT),
        "soft-kendall": lambda: mlp(soft_kendall(), training=SHORT),
        "pretrained": lambda: pretrained(
            lambda: (AT, AT[:, :3]), pretraining=SHORT, training=SHORT
        ),
        "npn": lambda: npn.npn(training=SHORT),
        "parzc": lambda: parzc(training=NetworkTraining(steps=40, rate=3e-3, members=1)),
    }[name]
    fitted = make()(X, value(X), np.random.default_rng(0))
    mean, std = fitted.mean(AT), fitted.std(AT)
    assert mean.shape == std.shape == (300,)
    assert scipy.stats.spearmanr(mean, value(AT)).statistic > 0.75
    assert abs(mean.mean() - value(AT).mean()) < 1.5
    assert (std >= 0).all() and np.isfinite(std).all()
    # A row's prediction does not depend on how many are asked for.
    np.testing.assert_allclose(fitted.mean(AT[:7]), mean[:7], rtol=1e-4)
    assert fitted.mean(AT[:0]).shape == (0,)


def test_rows_are_padded_so_that_few_programs_serve_all():
    assert [gradient_fit.padded_rows(n) for n in (1, 128, 129, 400)] == [128, 128, 256, 512]
    padded = gradient_fit.pad(np.ones((3, 2)), 5)
    np.testing.assert_array_equal(padded.sum(1), [2, 2, 2, 0, 0])


def test_a_line_never_turns_the_order_round():
    y = np.array([1.0, 3.0, 5.0])
    np.testing.assert_allclose(line(np.array([0.0, 1.0, 2.0]), y), (1, 2))
    np.testing.assert_allclose(line(-y, y), (3, 0))


def test_moments_of_a_normal_through_a_layer_are_those_of_many_draws():
    key = iter(jax.random.split(jax.random.key(0), 8))
    layer = {
        "w": jax.random.normal(next(key), (6, 4)),
        "b": jax.random.normal(next(key), 4),
        "w_spread": jax.random.normal(next(key), (6, 4)),
        "b_spread": jax.random.normal(next(key), 4),
    }
    mean, variance = np.linspace(-0.5, 1, 6), np.linspace(1, 2, 6)
    random, count = np.random.default_rng(0), 200_000
    x = random.normal(mean, np.sqrt(variance), (count, 6))
    spread = lambda name: np.sqrt(np.log1p(np.exp(np.asarray(layer[name]))))
    drawn = np.stack([
        (x * random.normal(layer["w"][:, j], spread("w_spread")[:, j], (count, 6))).sum(1)
        + random.normal(layer["b"][j], spread("b_spread")[j], count)
        for j in range(4)
    ], 1)  # fmt: skip
    found_mean, found_variance = npn.linear_moments(layer, mean[None], variance[None])
    np.testing.assert_allclose(found_mean[0], drawn.mean(0), atol=0.02 * drawn.std(0).max())
    np.testing.assert_allclose(found_variance[0], drawn.var(0), rtol=0.02)
    positive = np.maximum(x, 0)
    found_mean, found_variance = npn.relu_moments(mean, variance)
    np.testing.assert_allclose(found_mean, positive.mean(0), rtol=0.02)
    np.testing.assert_allclose(found_variance, positive.var(0), rtol=0.02)
