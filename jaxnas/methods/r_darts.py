"""R-DARTS: DARTS with early stopping by curvature. https://arxiv.org/abs/1909.09656

The eigenvalue is that of the validation loss's Hessian in the architecture, whose diagonal takes
the architecture's weight decay, on one validation batch; ours by Lanczos, where the paper's code
(automl/RobustDARTS src/search/analyze.py) computes all rows and all eigenvalues.
"""

import math

import jax
import jax.numpy as jnp
import optax

from jaxnas.core import diagnostics, early_stopping, search
from jaxnas.core.early_stopping import Rule
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Batch, Hypergradient, Scalar, Search, SearchState, Supernet
from jaxnas.methods import darts, entry
from jaxnas.methods.optimisers import Optimisers, learning_rate, transforms


def r_darts(
    net: Supernet,
    *,
    epochs: int = 50,
    steps_per_epoch: int,
    hypergrad: Hypergradient | None = None,
    optimisers: Optimisers = Optimisers(),
    rule: Rule = Rule(),
    iterations: int = diagnostics.ITERATIONS,
) -> Search:
    """DARTS with early stopping (DARTS-ES); the architecture is that before the eigenvalue's rise.

    `rule` is by default that of the paper's code; `iterations` are Lanczos's. All else is
    `darts.darts`; the paper's own runs are of second order and with cutout, and its R-DARTS takes
    the best of four such searches of rising weight decay, by validation. Metrics and further
    errors are those of `early_stopping.stop_early`.
    """
    length = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    base = darts.darts(net, **length, hypergrad=hypergrad, optimisers=optimisers)
    eigenvalue = _eigenvalue(net, base, optimisers.arch_weight_decay, iterations)
    return early_stopping.stop_early(base, eigenvalue, rule, **length)


def r_darts_adaptive(
    net: Supernet,
    *,
    epochs: int = 50,
    steps_per_epoch: int,
    hypergrad: Hypergradient | None = None,
    optimisers: Optimisers = Optimisers(),
    rule: Rule = Rule(),
    iterations: int = diagnostics.ITERATIONS,
    factor: float = 10.0,
    max_weight_decay: float = 0.03,
) -> Search:
    """DARTS that rolls back before the rise and continues with more weight decay (DARTS-ADA).

    Each time the decay of the weights is multiplied by `factor`, up to `max_weight_decay`, where
    the rule no longer applies. Factor and cap as in the scripts of the paper's code (its
    arguments default to 3 and 0.0243). It redoes all epochs it went back; here a run of
    `epochs * steps_per_epoch` steps ends sooner by those, and a longer run has them.
    Metrics and further errors are those of `early_stopping.roll_back`; ValueError too unless factor
    > 1 and max_weight_decay > weight_decay > 0.
    """
    weight_decay = optimisers.weight_decay
    if not (factor > 1 and 0 < weight_decay < max_weight_decay):
        raise ValueError(
            f"Weight decay rises from {weight_decay} by factors of {factor} to {max_weight_decay}: "
            "take a factor above 1, and a decay above 0 and below its maximum."
        )
    length = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    # Its weight decay is a part of the state, which can be changed.
    decay_tx = optax.inject_hyperparams(optax.add_decayed_weights)(weight_decay=weight_decay)
    sgd = optax.sgd(learning_rate(optimisers, **length), momentum=0.9)
    txs = transforms(optimisers, **length)._replace(weight_tx=optax.chain(decay_tx, sgd))
    base = search.bilevel(net, relax.softmax(), terms.cross_entropy(), txs, hypergrad=hypergrad)

    def regularise(state: SearchState, returns: Scalar) -> SearchState:
        old = optax.tree.get(state.weight_opt, "weight_decay")
        new = jnp.minimum(weight_decay * factor**returns, max_weight_decay).astype(old.dtype)
        return state._replace(weight_opt=optax.tree.set(state.weight_opt, weight_decay=new))

    eigenvalue = _eigenvalue(net, base, optimisers.arch_weight_decay, iterations)
    # Rounding must not allow one more factor.
    max_returns = math.ceil(math.log(max_weight_decay / weight_decay, factor) - 1e-6)
    return early_stopping.roll_back(
        base, eigenvalue, rule, **length, max_returns=max_returns, change=regularise
    )


def _eigenvalue(
    net: Supernet, base: Search, decay: float, iterations: int
) -> early_stopping.Eigenvalue:
    if iterations < 1:
        raise ValueError(f"Lanczos takes at least one iteration, not {iterations}.")

    def value(state: SearchState, valid: Batch) -> Scalar:
        batches = jax.tree.map(lambda x: x[None], valid)
        key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), 2)
        ritz = diagnostics.arch_eigenvalues(net, base, state, batches, key, iterations)
        return ritz.values[-1] + decay

    return value


QUICK_RULE = {"every": 1, "window": 3, "delay": 2, "start": 2}
METHOD = entry.single_stage(
    "R-DARTS: stops where the architecture's curvature rises",
    r_darts,
    quick=QUICK_RULE,
    relaxation=lambda space: relax.softmax(),
)
ADAPTIVE = entry.single_stage(
    "R-DARTS, adaptive: goes back and decays the weights more",
    r_darts_adaptive,
    quick=QUICK_RULE,
    relaxation=lambda space: relax.softmax(),
)
