"""ParZC: a mixer over per-layer statistics, with Bayesian layers at both ends.

Dong et al. 2024, https://arxiv.org/abs/2402.02105, section 3: features are made 256 wide, cut into
patches of 16, mixed over patches and channels, and averaged. Left out: the graph encoder of the
cell that the paper adds to it.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.strategies.surrogates import gradient_fit
from jaxnas.strategies.surrogates.gradient_fit import NetworkTraining, Regressor
from jaxnas.strategies.surrogates.losses import RegressionLoss, soft_kendall
from jaxnas.strategies.surrogates.mlp import line
from jaxnas.strategies.surrogates.surrogate import Fitted, Surrogate, scale_of

LENGTH, PATCH, BLOCKS = 256, 16, 2  # the paper has 4 blocks
WIDTH, TOKENS, CHANNELS = 64, 4.0, 0.5  # the paper's width is 512; hidden units by their inputs
SPREAD, BELIEF = -5.0, 1e-3  # rho at first; our choice: weight of the divergence from N(0, 0.1^2)
DRAWS = 8  # of the weights, of a prediction
SOFT_KENDALL = soft_kendall()
TRAINING = NetworkTraining(steps=200, rate=2e-3, members=1)


def parzc(
    loss: RegressionLoss = SOFT_KENDALL, *, training: NetworkTraining = TRAINING
) -> Surrogate:
    """A surrogate for wide features, as the layers' statistics one after another.

    Features are standardised. Its std is that of draws of the weights.
    """
    regressor, predict = mixer(), gradient_fit.predictor(traced)

    def fit(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> Fitted:
        scale, spread = scale_of(y), x.std(0)
        centre, width = x.mean(0), np.where(spread > 0, spread, 1)
        standard = lambda at: (at - centre) / width
        networks = gradient_fit.train(
            regressor, loss, training, standard(x), scale.scores(y), random
        )
        parameters = {
            "networks": networks,
            "key": gradient_fit.random_key(random),
            "input": (np.float32(centre), np.float32(width)),
            "line": (np.float32(0), np.float32(1)),
        }
        parameters["line"] = tuple(map(np.float32, line(predict(parameters, x)[0], y)))
        return Fitted(
            lambda at: predict(parameters, at)[0],
            lambda at: predict(parameters, at)[1],
            traced, parameters,
        )  # fmt: skip

    return fit


def traced(parameters, x):
    """(mean, std), f32[m] each, over members and draws of their weights."""
    centre, width = parameters["input"]
    x = (x - centre) / width
    keys = jax.random.split(parameters["key"], DRAWS)
    of_key = lambda key: jax.vmap(lambda network: apply(network, x, key))(parameters["networks"])
    found = jnp.concatenate([of_key(key) for key in keys])
    intercept, slope = parameters["line"]
    return intercept + slope * found.mean(0), slope * jnp.sqrt(found.var(0) + 1e-12)


@functools.cache
def mixer() -> Regressor:
    """The network; its penalty is the divergence of the Bayesian weights from their prior."""
    return Regressor(init, apply, lambda parameters: BELIEF * divergence(parameters))


def init(key, features: int):
    """Parameters: `embed` and `head` are Bayesian, with means and spreads."""
    keys = iter(jax.random.split(key, 4 + 4 * BLOCKS))
    tokens = LENGTH // PATCH
    dense = lambda a, b: jax.random.normal(next(keys), (a, b)) / jnp.sqrt(a)
    bayesian = lambda a, b: {"w": dense(a, b), "rho": jnp.full((a, b), SPREAD), "b": jnp.zeros(b)}
    block = lambda: {
        "tokens": (dense(tokens, int(tokens * TOKENS)), dense(int(tokens * TOKENS), tokens)),
        "channels": (dense(WIDTH, int(WIDTH * CHANNELS)), dense(int(WIDTH * CHANNELS), WIDTH)),
    }
    return {
        "input": dense(features, LENGTH),
        "embed": bayesian(PATCH, WIDTH),
        "blocks": [block() for _ in range(BLOCKS)],
        "head": bayesian(WIDTH, 1),
    }


def apply(parameters, x, key):
    """f32[n] of standardised f32[n, F], with Bayesian weights drawn by `key`."""
    k_embed, k_head = jax.random.split(key)
    patches = (x @ parameters["input"]).reshape(len(x), -1, PATCH)
    x = _drawn(parameters["embed"], patches, k_embed)
    for block in parameters["blocks"]:
        mixed = _two_layers(block["tokens"], jnp.swapaxes(_normalised(x), 1, 2))
        x = x + jnp.swapaxes(mixed, 1, 2)
        x = x + _two_layers(block["channels"], _normalised(x))
    return _drawn(parameters["head"], x.mean(1), k_head)[:, 0]


def divergence(parameters, prior: float = 0.1):
    """Kullback-Leibler divergence of the Bayesian weights from N(0, prior^2), in nats."""
    total = 0.0
    for layer in (parameters["embed"], parameters["head"]):
        std = jax.nn.softplus(layer["rho"])
        total += (jnp.log(prior / std) + (std**2 + layer["w"] ** 2) / (2 * prior**2) - 0.5).sum()
    return total


def _drawn(layer, x, key):
    noise = jax.random.normal(key, layer["w"].shape)
    return x @ (layer["w"] + jax.nn.softplus(layer["rho"]) * noise) + layer["b"]


def _two_layers(weights, x):
    return jax.nn.gelu(x @ weights[0]) @ weights[1]


def _normalised(x):
    return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)
