"""ProxylessNAS: one drawn candidate a layer. https://arxiv.org/abs/1812.00332

For a net of `supernet.mixed`, whose mixture is `mixed_layer.mixture(EXECUTES[mode])`.
"""

from collections.abc import Callable
from typing import Literal

import jax
import optax

from jaxnas.core import hypergrad, reinforce, schedules, search
from jaxnas.core.gates import binary
from jaxnas.core.objectives import constraints, terms
from jaxnas.core.types import Relaxation, Scalar, Search, Supernet, Term
from jaxnas.methods import judging

Mode = Literal["full", "full_v2", "two", "two_unbiased"]
# How a supernet has to compute its candidates for each mode.
EXECUTES = {"full": "all", "full_v2": "recomputed", "two": "two", "two_unbiased": "two"}


def proxyless(
    net: Supernet,
    *,
    epochs: int = 160,
    steps_per_epoch: int,
    warm_up: int = 40,
    mode: Mode = "full_v2",
    learning_rate: float = 0.025,
    warm_up_learning_rate: float = 0.05,
    weight_decay: float = 4e-5,
    smoothing: float = 0.1,
    arch_every: int = 5,
    arch_learning_rate: float = 1e-3,
    penalty: constraints.Penalty | None = None,
    outer_objective: Term | None = None,
) -> Search:
    """Weights of drawn networks, and every `arch_every` steps the gradient of binary gates.

    The first `warm_up` epochs train weights alone, their rate falling to 0 from
    `warm_up_learning_rate`; then from `learning_rate` anew. `full`: every candidate is computed;
    `full_v2`, the default of the paper's code: the drawn one, the others again in the backward pass
    of the architecture; `two`: two drawn candidates learn, the chances of the others stay;
    `two_unbiased`: see `binary.two_path`. `penalty` is added to the validation loss;
    `outer_objective` stands in its place, `cost_terms.mul_log` with
    `loss=terms.cross_entropy(smoothing)` and, but for `two`, `relaxation=relaxation(mode)`, say.
    Settings as in mit-han-lab/proxylessnas search/imagenet_arch_search.py (batch 256). Raises
    ValueError for settings that are impossible, and for both of penalty and objective.
    """
    active = schedules.arch_active(
        epochs=epochs, warm_up=warm_up, steps_per_epoch=steps_per_epoch, period=arch_every
    )
    # Without momentum: what was not drawn stays where it is.
    adam = optax.adam(arch_learning_rate, b1=0.0, b2=0.999)
    two = EXECUTES.get(mode) == "two"
    relaxed, loss = relaxation(mode), terms.cross_entropy(smoothing)
    return search.bilevel(
        net,
        relaxed,
        loss,
        outer_objective=judging.one_of(outer_objective, constraints.outer(loss, penalty, relaxed)),
        arch_tx=optax.chain(adam, binary.rescale_unsampled()) if two else adam,
        weight_tx=_sgd(
            _rate(learning_rate, warm_up_learning_rate, epochs, warm_up, steps_per_epoch),
            weight_decay,
        ),
        hypergrad=hypergrad.first_order()._replace(active=active),
    )


def proxyless_reinforce(
    net: Supernet,
    *,
    epochs: int = 160,
    steps_per_epoch: int,
    warm_up: int = 40,
    learning_rate: float = 0.025,
    warm_up_learning_rate: float = 0.05,
    weight_decay: float = 4e-5,
    smoothing: float = 0.1,
    arch_every: int = 5,
    arch_learning_rate: float = 1e-3,
    samples: int = 10,
    decay: float = 0.99,
    reward: reinforce.Reward | None = None,
) -> Search:
    """The same with rewards in place of gradients: accuracy, unless `reward(accuracy, gates)`.

    For a net that computes the drawn candidate alone (`selected`). 10 draws a step and the decay of
    the baseline are from memory of the paper's code. Raises ValueError as `proxyless` and
    `reinforce.reinforce`.
    """
    active = schedules.arch_active(
        epochs=epochs, warm_up=warm_up, steps_per_epoch=steps_per_epoch, period=arch_every
    )
    rate = _rate(learning_rate, warm_up_learning_rate, epochs, warm_up, steps_per_epoch)
    drawn = binary.binary()
    training = search.single_level(
        net,
        drawn,
        terms.cross_entropy(smoothing),
        tx=search.joint_tx(optax.set_to_zero(), _sgd(rate, weight_decay)),
    )
    return reinforce.reinforce(
        training,
        net,
        drawn,
        reward or (lambda accuracy, gates: accuracy),
        arch_tx=optax.adam(arch_learning_rate, b1=0.0, b2=0.999),
        samples=samples,
        decay=decay,
        active=active,
    )


def relaxation(mode: Mode) -> Relaxation:
    """That of a mode. Raises ValueError for an unknown one."""
    if mode not in EXECUTES:
        raise ValueError(f"ProxylessNAS has the modes {', '.join(EXECUTES)}, not {mode!r}.")
    if mode in ("full", "full_v2"):
        return binary.binary()
    return binary.two_path(unbiased=mode == "two_unbiased")


def _rate(
    rate: float, warm_up_rate: float, epochs: int, warm_up: int, steps_per_epoch: int
) -> optax.Schedule:
    of = {"steps_per_epoch": steps_per_epoch}
    after = schedules.cosine_by_epoch(rate, 0, epochs=epochs - warm_up, **of)
    if not warm_up:
        return after
    before = schedules.cosine_by_epoch(warm_up_rate, 0, epochs=warm_up, **of)
    return optax.join_schedules([before, after], [warm_up * steps_per_epoch])


def _sgd(rate: Callable[[Scalar], jax.Array], weight_decay: float) -> optax.GradientTransformation:
    return optax.chain(
        optax.add_decayed_weights(weight_decay), optax.sgd(rate, momentum=0.9, nesterov=True)
    )
