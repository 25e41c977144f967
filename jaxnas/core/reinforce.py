"""How preferences learn from rewards alone: drawn candidates, and the slope of their log-chance.

REINFORCE, Williams 1992; for architectures as in ProxylessNAS, section 3.3.2,
https://arxiv.org/abs/1812.00332.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

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

Reward = Callable[[Scalar, Gates], Scalar]


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
    """`search`, which leaves the architecture alone, then a step of the architecture by reward.

    At steps that are `active`, `samples` draws of `relaxation` are judged on the validation batch,
    by its statistics: `reward(accuracy, gates)`. The gradient is minus the mean of
    `(reward - baseline) * d log(chance of the draw) / d logits`; the baseline is the running mean
    of rewards, `decay` the weight of the old one, the first one being the first mean. Logits must
    be one array a choice with the softmax as their chances. Metrics: those of `search`,
    `reward/mean`, `reward/baseline`, `arch/active` (where 0, `reward/mean` means nothing).
    Raises ValueError unless samples >= 1 and 0 <= decay < 1.
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

    def judge(state: SearchState, valid: Batch, key: Key):
        gates = relaxation.gates(state.arch, state.weights, key=key, step=state.step)
        gates = jax.lax.stop_gradient(gates)
        logits, _ = net.apply(state.weights, state.stats, gates, valid.inputs)
        accuracy = jnp.mean(jnp.argmax(logits, -1) == valid.labels, dtype=jnp.float32)
        return reward(accuracy, gates), gates

    def step_arch(state: SearchState, valid: Batch):
        key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), 1)
        rewards, gates = jax.lax.map(
            lambda key: judge(state, valid, key), jax.random.split(key, samples)
        )
        mean, baseline = rewards.mean(), state.memory["baseline"]
        moved = jnp.where(baseline["seen"] > 0, baseline["value"], mean)
        moved = decay * moved + (1 - decay) * mean
        before = jnp.where(baseline["seen"] > 0, baseline["value"], mean)

        def surprise(arch: Arch) -> Scalar:
            chances = jax.vmap(lambda gates: log_probability(arch, gates))(gates)
            return -jnp.mean((rewards - before) * chances)

        updates, arch_opt = arch_tx.update(
            jax.grad(surprise)(state.arch), state.arch_opt, state.arch
        )
        arch = optax.apply_updates(state.arch, updates)
        return arch, arch_opt, {"value": moved, "seen": baseline["seen"] + 1}, mean

    def rest(state: SearchState, valid: Batch):
        return state.arch, state.arch_opt, state.memory["baseline"], jnp.zeros(())

    def update(state: SearchState, train: Batch, valid: Batch):
        memory = state.memory
        on = active(state.step)
        arch, arch_opt, baseline, mean = jax.lax.cond(on, step_arch, rest, state, valid)
        inner, metrics = search.update(state._replace(memory=memory["search"]), train, valid)
        inner = inner._replace(
            arch=arch, arch_opt=arch_opt, memory={"search": inner.memory, "baseline": baseline}
        )
        metrics = metrics | {
            "reward/mean": mean,
            "reward/baseline": baseline["value"],
            "arch/active": on.astype(jnp.float32),
        }
        return inner, metrics

    return Search(init, update, search.gates)


def log_probability(arch: Arch, gates: Gates) -> Scalar:
    """The logarithm of the chance that softmaxes of the logits draw these one-hot gates."""
    chosen = jax.tree.map(lambda logits, g: jnp.sum(jax.nn.log_softmax(logits) * g), arch, gates)
    return sum(jax.tree.leaves(chosen))
