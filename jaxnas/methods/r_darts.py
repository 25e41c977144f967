"""R-DARTS: DARTS that watches the curvature of its architecture. https://arxiv.org/abs/1909.09656

The eigenvalue is that of the validation loss's Hessian in the architecture, whose diagonal takes
the architecture's weight decay, on one validation batch; ours by Lanczos, where the paper's code
(automl/RobustDARTS src/search/analyze.py) computes all rows and all eigenvalues.
"""

import math

import jax
import jax.numpy as jnp
import optax

from jaxnas.core import diagnostics, early_stopping, schedules, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Batch, Hypergradient, Scalar, Search, SearchState, Supernet
from jaxnas.methods import darts


def r_darts(
    net: Supernet,
    *,
    epochs: int = 50,
    steps_per_epoch: int,
    hypergrad: Hypergradient | None = None,
    learning_rate: float = 0.025,
    min_learning_rate: float = 0.001,
    weight_decay: float = 3e-4,
    clip_norm: float = 5.0,
    arch_learning_rate: float = 3e-4,
    arch_weight_decay: float = 1e-3,
    every: int = 2,
    window: int = 5,
    delay: int = 4,
    start: int = 10,
    ratio: float = 1.3,
    iterations: int = diagnostics.ITERATIONS,
) -> Search:
    """DARTS that stops early (DARTS-ES), and then keeps the architecture of before the rise.

    `every` to `ratio` are the `early_stopping.Rule`, by default that of the paper's code;
    `iterations` are Lanczos's. All else is `darts.darts`; the paper's own runs are of second order
    and with cutout, and its R-DARTS takes the best of four such searches of rising weight decay, by
    validation. Metrics and further errors are those of `early_stopping.stop_early`.
    """
    rule = early_stopping.Rule(every, window, delay, start, ratio)
    base = darts.darts(
        net, epochs=epochs, steps_per_epoch=steps_per_epoch, hypergrad=hypergrad,
        learning_rate=learning_rate, min_learning_rate=min_learning_rate,
        weight_decay=weight_decay, clip_norm=clip_norm, arch_learning_rate=arch_learning_rate,
        arch_weight_decay=arch_weight_decay,
    )  # fmt: skip
    return early_stopping.stop_early(
        base, _eigenvalue(net, base, arch_weight_decay, iterations), rule,
        epochs=epochs, steps_per_epoch=steps_per_epoch,
    )  # fmt: skip


def r_darts_adaptive(
    net: Supernet,
    *,
    epochs: int = 50,
    steps_per_epoch: int,
    hypergrad: Hypergradient | None = None,
    learning_rate: float = 0.025,
    min_learning_rate: float = 0.001,
    weight_decay: float = 3e-4,
    clip_norm: float = 5.0,
    arch_learning_rate: float = 3e-4,
    arch_weight_decay: float = 1e-3,
    every: int = 2,
    window: int = 5,
    delay: int = 4,
    start: int = 10,
    ratio: float = 1.3,
    iterations: int = diagnostics.ITERATIONS,
    factor: float = 10.0,
    max_weight_decay: float = 0.03,
) -> Search:
    """DARTS that goes back before the rise and on with more weight decay (DARTS-ADA).

    Each time the decay of the weights is multiplied by `factor`, up to `max_weight_decay`; once
    there, the rule is no longer asked. Factor and cap as in the scripts of the paper's code (its
    arguments default to 3 and 0.0243). It redoes all epochs it went back; here a run of
    `epochs * steps_per_epoch` steps ends sooner by those, and a longer run has them.
    Metrics and further errors are those of `early_stopping.roll_back`; ValueError too unless factor
    > 1 and max_weight_decay > weight_decay > 0.
    """
    if not (factor > 1 and 0 < weight_decay < max_weight_decay):
        raise ValueError(
            f"Weight decay rises from {weight_decay} by factors of {factor} to {max_weight_decay}: "
            "take a factor above 1, and a decay above 0 and below its maximum."
        )
    rule = early_stopping.Rule(every, window, delay, start, ratio)
    rate = schedules.cosine_by_epoch(
        learning_rate, min_learning_rate, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    decayed = optax.inject_hyperparams(optax.add_decayed_weights)
    base = search.bilevel(
        net,
        relax.softmax(),
        terms.cross_entropy(),
        hypergrad=hypergrad,
        arch_tx=optax.chain(
            optax.add_decayed_weights(arch_weight_decay), optax.adam(arch_learning_rate, b1=0.5)
        ),
        weight_tx=optax.chain(decayed(weight_decay=weight_decay), optax.sgd(rate, momentum=0.9)),
        clip_tx=optax.clip_by_global_norm(clip_norm),
    )

    def regularise(state: SearchState, returns: Scalar) -> SearchState:
        old = optax.tree.get(state.weight_opt, "weight_decay")
        new = jnp.minimum(weight_decay * factor**returns, max_weight_decay).astype(old.dtype)
        return state._replace(weight_opt=optax.tree.set(state.weight_opt, weight_decay=new))

    return early_stopping.roll_back(
        base, _eigenvalue(net, base, arch_weight_decay, iterations), rule,
        epochs=epochs, steps_per_epoch=steps_per_epoch, change=regularise,
        # Rounding must not count as one more factor.
        limit=math.ceil(math.log(max_weight_decay / weight_decay, factor) - 1e-6),
    )  # fmt: skip


def _eigenvalue(
    net: Supernet, base: Search, decay: float, iterations: int
) -> early_stopping.Eigenvalue:
    if iterations < 1:
        raise ValueError(f"Lanczos takes at least one iteration, not {iterations}.")

    def value(state: SearchState, valid: Batch) -> Scalar:
        batches = jax.tree.map(lambda x: x[None], valid)
        key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), 2)
        found = diagnostics.arch_eigenvalues(net, base, state, batches, key, iterations)
        return found.values[-1] + decay

    return value
