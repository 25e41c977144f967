"""Latency in objectives: the published forms, as terms of a loss and as rewards.

`model(gates)` are the expected milliseconds of gates. Logarithms are natural.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxnas.core.objectives import terms
from jaxnas.core.types import Forward, Gates, Relaxation, Scalar, Space, Term

Model = Callable[[Gates], Scalar]
# (accuracy, gates of the one architecture that reached it) -> what is maximised
Reward = Callable[[Scalar, Gates], Scalar]
Costs = Mapping[str, jax.Array]  # f32[edges, candidates] a choice: milliseconds of candidates
# Below it the logarithm is nearly 0, and its powers have no slope. Ours.
MIN_MS = 1.001
# Factor of the logarithm in the code of Single-Path NAS ("to sec"), not in the paper.
LOG_SCALE = 1e3


def mul_log(
    model: Model,
    reference_ms: float,
    a: float = 0.2,
    b: float = 0.3,
    *,
    loss: Term | None = None,
    relaxation: Relaxation | None = None,
) -> Term:
    """`a * loss * (ln(ms) / ln(reference_ms))^b`: ProxylessNAS's "mul#log".

    A whole objective: `loss` is in it (cross-entropy by default). The milliseconds are those of the
    gates of the pass, or with `relaxation` of its expected gates. Times below 1.001 ms count as
    1.001 ms (ours: powers of a smaller logarithm are undefined), so do not use it where networks
    are that fast. https://arxiv.org/abs/1812.00332, mit-han-lab/proxylessnas
    search/nas_manager.py. Raises ValueError for a reference of 1 ms or less and unless a, b > 0.
    """
    _check_positive(a=a, b=b)
    if not (math.isfinite(reference_ms) and reference_ms > 1):
        raise ValueError(
            f"ProxylessNAS's mul#log divides by ln({reference_ms} ms): give a reference above "
            "1 ms, or use add#linear."
        )
    scale = math.log(reference_ms)
    factor = lambda ms: a * (_logarithm(ms) / scale) ** b
    return _multiplied(loss, _milliseconds(model, relaxation), factor)


def add_linear(
    model: Model,
    reference_ms: float,
    weight: float = 0.1,
    *,
    relaxation: Relaxation | None = None,
) -> Term:
    """`weight * (ms - reference_ms) / reference_ms`: ProxylessNAS's "add#linear", to be added.

    See `mul_log`. Raises ValueError unless reference and weight are positive.
    """
    _check_positive(reference_ms=reference_ms, weight=weight)
    milliseconds = _milliseconds(model, relaxation)
    return terms.stateless(lambda f: weight * (milliseconds(f) - reference_ms) / reference_ms)


def fbnet(
    model: Model,
    a: float = 0.2,
    b: float = 0.6,
    *,
    loss: Term | None = None,
    relaxation: Relaxation | None = None,
) -> Term:
    """`loss * a * ln(ms)^b`: FBNet, eq. 2, https://arxiv.org/abs/1812.03443.

    A whole objective, as `mul_log`. Raises ValueError unless a, b > 0.
    """
    _check_positive(a=a, b=b)
    factor = lambda ms: a * _logarithm(ms) ** b
    return _multiplied(loss, _milliseconds(model, relaxation), factor)


def one_sided(
    model: Model, target_ms: float, weight: float = 1.0, *, relaxation: Relaxation | None = None
) -> Term:
    """`weight * max(0, ms / target_ms - 1)`, to be added: zero below the target.

    Ours: scale-free, so that a weight means the same on every device. Raises ValueError unless
    target and weight are positive.
    """
    _check_positive(target_ms=target_ms, weight=weight)
    milliseconds = _milliseconds(model, relaxation)
    return terms.stateless(lambda f: weight * jnp.maximum(0, milliseconds(f) / target_ms - 1))


def absolute(
    model: Model, target_ms: float, weight: float = 0.07, *, relaxation: Relaxation | None = None
) -> Term:
    """`weight * |ms / target_ms - 1|`, to be added: TuNAS's reward as a loss.

    https://arxiv.org/abs/2008.06120, whose weight is from memory. Raises ValueError unless target
    and weight are positive.
    """
    _check_positive(target_ms=target_ms, weight=weight)
    milliseconds = _milliseconds(model, relaxation)
    return terms.stateless(lambda f: weight * jnp.abs(milliseconds(f) / target_ms - 1))


def proxyless_reward(model: Model, reference_ms: float, exponent: float = 0.1) -> Reward:
    """`accuracy * (reference_ms / ms)^exponent`: the reward of ProxylessNAS's REINFORCE.

    mit-han-lab/proxylessnas search/nas_manager.py. Raises ValueError unless both are positive.
    """
    _check_positive(reference_ms=reference_ms, exponent=exponent)
    return lambda accuracy, gates: accuracy * (reference_ms / model(gates)) ** exponent


def mnasnet_reward(model: Model, target_ms: float, exponent: float = -0.07) -> Reward:
    """`accuracy * (ms / target_ms)^exponent`: MnasNet, eq. 2, with its soft constraint.

    https://arxiv.org/abs/1807.11626; the exponent is from memory. Raises ValueError unless the
    target is positive and the exponent negative.
    """
    _check_positive(target_ms=target_ms)
    if not (math.isfinite(exponent) and exponent < 0):
        raise ValueError(f"MnasNet's exponent is negative, not {exponent}: slow is bad.")
    return lambda accuracy, gates: accuracy * (model(gates) / target_ms) ** exponent


def tunas_reward(model: Model, target_ms: float, weight: float = -0.07) -> Reward:
    """`accuracy + weight * |ms / target_ms - 1|`: TuNAS's absolute reward.

    https://arxiv.org/abs/2008.06120; the weight is from memory. Raises ValueError unless the target
    is positive and the weight negative.
    """
    _check_positive(target_ms=target_ms)
    if not (math.isfinite(weight) and weight < 0):
        raise ValueError(f"TuNAS's weight is negative, not {weight}: to miss the target is bad.")
    return lambda accuracy, gates: accuracy + weight * jnp.abs(model(gates) / target_ms - 1)


def network_ms(gates: Gates, costs: Costs, fixed_ms: float) -> Scalar:
    """Milliseconds of the network of the gates: `fixed_ms` plus those of the searched layers."""
    searched_ms: Any = sum(jnp.sum(gates[name] * costs[name]) for name in costs)
    return fixed_ms + searched_ms


def log_latency(costs: Costs, fixed_ms: float) -> Term:
    """`1000 * ln(network_ms)`, to be added: Single-Path NAS, https://arxiv.org/abs/1904.02877.

    Raises ValueError unless `fixed_ms` is positive and finite.
    """
    if not (math.isfinite(fixed_ms) and fixed_ms > 0):
        raise ValueError(f"The rest of the network takes {fixed_ms} ms: give a time above 0.")

    def value(forward: Forward) -> Scalar:
        # Gates that dropout multiplies could lead below zero, were a wider layer much faster.
        ms = jnp.maximum(network_ms(forward.gates, costs, fixed_ms), fixed_ms)
        return LOG_SCALE * jnp.log(ms)

    return terms.stateless(value)


def check_costs(costs: Costs, space: Space) -> None:
    """Raises ValueError for costs of another space."""
    shapes = lambda trees: {name: tuple(leaf.shape) for name, leaf in sorted(trees.items())}
    if shapes(costs) != shapes(space):
        raise ValueError(
            f"The costs are of {shapes(costs)}, the space of {shapes(space)}: make them for this "
            "space with `costs`."
        )


def _milliseconds(model: Model, relaxation: Relaxation | None) -> Callable[[Forward], Scalar]:
    if relaxation is None:
        return lambda forward: model(forward.gates)
    return lambda f: model(relaxation.expected(f.arch, f.weights, step=f.step))


def _multiplied(loss: Term | None, milliseconds, factor) -> Term:
    loss = terms.cross_entropy() if loss is None else loss
    return loss._replace(
        value=lambda memory, f: loss.value(memory, f) * factor(milliseconds(f)),
    )


def _logarithm(ms: Scalar) -> Scalar:
    return jnp.log(jnp.maximum(ms, MIN_MS))


def _check_positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(
                f"A latency term with {name}={value} cannot be: give a number above 0."
            )
