"""Training-free scores as an evaluator of genotypes, parameters and MACs always beside them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core import names
from jaxnas.core.types import Batch, Network
from jaxnas.evaluators import evaluator
from jaxnas.evaluators.evaluator import Evaluator
from jaxnas.evaluators.zero_cost import naswot as codes_of_rectifiers
from jaxnas.evaluators.zero_cost import weight_gradients
from jaxnas.evaluators.zero_cost.gradsign import gradsign
from jaxnas.evaluators.zero_cost.jacobian_covariance import jacobian_covariance
from jaxnas.evaluators.zero_cost.synflow import synflow
from jaxnas.nets import count
from jaxnas.run import step_runner
from jaxnas.spaces.genotype import Genotype

SCORES = ("gradsign", "naswot", "synflow", "snip", "gradient_norm", "jacobian_covariance")
COSTS = ("parameters", "macs")  # they rank networks as well as most scores: always shown
BY_ONE_PASS = ("naswot", "snip", "gradient_norm", "jacobian_covariance")


def scores_of(
    network: Callable[[Genotype], Network], batch: Batch, scores: Sequence[str] = SCORES
) -> Evaluator:
    """The scores of `network(genotype)` at initial weights drawn with the evaluation's seed.

    `batch`: normalised images and labels, of which NASWOT and the Jacobian covariance need two or
    more. Every network is compiled, in up to three programs without XLA's optimisation: one for the
    scores that share a pass over the batch, one each for gradsign and synflow. Raises ValueError
    for an unknown score or none.
    """
    for score in scores:
        if score not in SCORES:
            raise ValueError(
                f"{names.hint(score, SCORES)}No training-free score is called {score!r}; there are "
                f"{', '.join(SCORES)}."
            )
    if not scores:
        raise ValueError(f"Name one or more scores of {', '.join(SCORES)}.")
    maximise = dict.fromkeys(scores, True) | dict.fromkeys(COSTS, False)
    batch = Batch(np.asarray(batch.inputs), np.asarray(batch.labels))

    def figures(genotype: Genotype, seed: int) -> Mapping[str, float]:
        net = network(genotype)
        size = count.size(net, batch.inputs.shape[1:])
        values = {"parameters": size.parameters, "macs": size.macs}
        return score_network(net, batch, scores, seed) | values

    return evaluator.of_function(maximise, figures)


def score_network(
    net: Network, batch: Batch, scores: Sequence[str] = SCORES, seed: int = 0
) -> dict[str, float]:
    """The scores of a network at initial weights drawn with a seed below 2**32."""
    key = jax.random.key(seed)
    weights, stats = step_runner.first_state(net.init, key, batch.inputs[:1])
    found = {}
    shared = tuple(score for score in scores if score in BY_ONE_PASS)
    if shared:
        of_pass = lambda w, s, b: _by_one_pass(net, shared, w, s, b)
        found |= _run(of_pass, weights, stats, batch)
    if "gradsign" in scores:
        found["gradsign"] = _run(lambda w, s, b: gradsign(net, w, s, b), weights, stats, batch)
    if "synflow" in scores:
        with jax.enable_x64(True):
            image = np.ones((1, *batch.inputs.shape[1:]), np.float64)
            of_image = lambda w, s, x: synflow(net, w, s, x)
            found["synflow"] = _run(of_image, weights, stats, image)
    return {score: float(found[score]) for score in scores}


def _by_one_pass(net: Network, scores: Sequence[str], weights, stats, batch: Batch):
    """The scores that share a pass over the batch, with its statistics."""

    def forward(weights, inputs):
        (logits, _), _ = net.apply(weights, stats, inputs, jax.random.key(0), 0.0)
        return logits

    def loss(weights):
        return weight_gradients.loss(net, stats, batch, weights)

    found = {}
    if "naswot" in scores:
        _, codes = codes_of_rectifiers.with_codes(forward, weights, batch.inputs)
        found["naswot"] = codes_of_rectifiers.naswot(codes)
    if "snip" in scores or "gradient_norm" in scores:
        gradient = jax.grad(loss)(weights)
        found["snip"] = weight_gradients.snip(weights, gradient)
        found["gradient_norm"] = weight_gradients.gradient_norm(gradient)
    if "jacobian_covariance" in scores:
        jacobian = jax.grad(lambda x: jnp.sum(forward(weights, x)))(batch.inputs)
        found["jacobian_covariance"] = jacobian_covariance(jacobian)
    return found


def _run(function: Callable[..., Any], *arguments: Any) -> Any:
    options = step_runner.UNOPTIMISED if jax.default_backend() == "cpu" else None
    return jax.jit(function).lower(*arguments).compile(options)(*arguments)
