"""REINFORCE for architectures: sampled networks, their rewards, and the log-probability gradient.

Williams 1992; for architectures as in ProxylessNAS, section 3.3.2,
https://arxiv.org/abs/1812.00332.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxnas.core import metrics as scores
from jaxnas.core.objectives.cost_terms import Reward
from jaxnas.core.types import (
    Arch,
    Batch,
    Gates,
    Key,
    Relaxation,
    Scalar,
    Search,
    SearchState,
    Supernet,
)


def reinforce(
    search: Search,
    net: Supernet,
    relaxation: Relaxation,
    reward: Reward,
    *,
    arch_tx: optax.GradientTransformation,
    samples: int,
    decay: float,
    active: Callable[[Scalar], jax.Array],
) -> Search:
    """`search`, which does not update the architecture, then an architecture step by rewards.

    At steps that are `active`, `samples` networks of `relaxation` are evaluated on the validation
    batch, by its statistics: `reward(accuracy, gates)`. The gradient is minus the mean of
    `(reward - baseline) * d log(probability of the sample) / d logits`; the baseline is the
    running mean of rewards, `decay` the weight of the old one, beginning with the first mean.
    Logits must be one array a choice, with the softmax as probabilities. Metrics: those of
    `search`, `reward/mean`, `reward/baseline`, `arch/active` (where 0, `reward/mean` means
    nothing). Raises ValueError unless samples >= 1 and 0 <= decay < 1.
    """
    if samples < 1 or not 0 <= decay < 1:
        raise ValueError(
            f"REINFORCE draws samples >= 1 and has 0 <= decay < 1, not {samples} and {decay}."
        )

    def init(key: Key, inputs: jax.Array) -> SearchState:
        state = search.init(key, inputs)
        baseline = {"value": jnp.zeros(()), "seen": jnp.zeros((), jnp.int32)}
        return state._replace(
            arch_opt=arch_tx.init(state.arch),
            memory={"search": state.memory, "baseline": baseline},
        )

    def evaluate(state: SearchState, valid: Batch, key: Key):
        gates = relaxation.gates(state.arch, state.weights, key=key, step=state.step)
        gates = jax.lax.stop_gradient(gates)
        logits, _ = net.apply(state.weights, state.stats, gates, valid.inputs)
        return reward(scores.accuracy(logits, valid.labels), gates), gates

    def step_arch(state: SearchState, valid: Batch):
        key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), 1)
        rewards, gates = jax.lax.map(
            lambda key: evaluate(state, valid, key), jax.random.split(key, samples)
        )
        mean, baseline = rewards.mean(), state.memory["baseline"]
        old_value = jnp.where(baseline["seen"] > 0, baseline["value"], mean)
        new_value = decay * old_value + (1 - decay) * mean

        def surrogate(arch: Arch) -> Scalar:
            log_probabilities = jax.vmap(lambda gates: log_probability(arch, gates))(gates)
            return -jnp.mean((rewards - old_value) * log_probabilities)

        updates, arch_opt = arch_tx.update(
            jax.grad(surrogate)(state.arch), state.arch_opt, state.arch
        )
        arch = optax.apply_updates(state.arch, updates)
        return arch, arch_opt, {"value": new_value, "seen": baseline["seen"] + 1}, mean

    def skip(state: SearchState, valid: Batch):
        return state.arch, state.arch_opt, state.memory["baseline"], jnp.zeros(())

    def update(state: SearchState, train: Batch, valid: Batch):
        memory = state.memory
        is_active = active(state.step)
        arch, arch_opt, baseline, mean = jax.lax.cond(is_active, step_arch, skip, state, valid)
        inner, metrics = search.update(state._replace(memory=memory["search"]), train, valid)
        inner = inner._replace(
            arch=arch, arch_opt=arch_opt, memory={"search": inner.memory, "baseline": baseline}
        )
        metrics = metrics | {
            "reward/mean": mean,
            "reward/baseline": baseline["value"],
            "arch/active": is_active.astype(jnp.float32),
        }
        return inner, metrics

    return Search(init, update, search.gates)


def log_probability(arch: Arch, gates: Gates) -> Scalar:
    """The log-probability of one-hot gates under the softmaxes of the logits."""
    by_choice = jax.tree.map(lambda logits, g: jnp.sum(jax.nn.log_softmax(logits) * g), arch, gates)
    total: Any = sum(jax.tree.leaves(by_choice))
    return total
