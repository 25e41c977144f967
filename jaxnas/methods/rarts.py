"""RARTS: a copy of the weights for each half, with a penalty. https://arxiv.org/abs/2008.03901

The relaxed objective is outer(a, y) + weight * inner(a, w) + pull / 2 |y - w|^2, minimised
alternately in w, y and a. Only first derivatives occur.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnas.core import metrics as scores
from jaxnas.core.gates import relax
from jaxnas.core.types import Arch, Batch, Key, Problem, Search, SearchState, Supernet, Weights
from jaxnas.methods import entry
from jaxnas.methods.optimisers import Optimisers, transforms


class Copies(NamedTuple):
    """The three variables, and their optimisers' states."""

    arch: Arch
    weights: Weights  # w, fitted to the training data
    twin: Weights  # y, fitted to the validation data
    arch_opt: optax.OptState
    weight_opt: optax.OptState
    twin_opt: optax.OptState


def step(
    problem: Problem,
    copies: Copies,
    *,
    arch_tx: optax.GradientTransformation,
    weight_tx: optax.GradientTransformation,
    training_weight: float,
    pull: float,
) -> tuple[Copies, tuple]:
    """One Gauss-Seidel step, and the values of `inner` and `outer` before it.

    Four gradients: two of weights, two of the architecture. The order and the equations are from
    memory of the paper; on a solvable toy problem they reach the closed form.
    """
    inner = jax.value_and_grad(problem.inner, argnums=1, has_aux=True)
    train, grads = inner(copies.arch, copies.weights)
    difference = optax.tree.sub(copies.weights, copies.twin)
    grads = optax.tree.add_scale(optax.tree.scale(training_weight, grads), pull, difference)
    weights, weight_opt = _updated(weight_tx, grads, copies.weight_opt, copies.weights)

    outer = jax.value_and_grad(problem.outer, argnums=1, has_aux=True)
    valid, grads = outer(copies.arch, copies.twin)
    grads = optax.tree.add_scale(grads, pull, optax.tree.sub(copies.twin, weights))
    twin, twin_opt = _updated(weight_tx, grads, copies.twin_opt, copies.twin)

    of_inner = jax.grad(lambda a: problem.inner(a, weights)[0])(copies.arch)
    of_outer = jax.grad(lambda a: problem.outer(a, twin)[0])(copies.arch)
    grads = optax.tree.add_scale(of_outer, training_weight, of_inner)
    arch, arch_opt = _updated(arch_tx, grads, copies.arch_opt, copies.arch)
    return Copies(arch, weights, twin, arch_opt, weight_opt, twin_opt), (train, valid)


def rarts(
    net: Supernet,
    *,
    epochs: int = 50,
    steps_per_epoch: int,
    training_weight: float = 1.0,
    pull: float = 1.0,
    optimisers: Optimisers = Optimisers(),
) -> Search:
    """Relaxed architecture search with DARTS's optimisers.

    The state's `weights` are those of the training data, its memory holds the twin with its
    optimiser; both start alike. So the validation data reach the weights by the twin's pull,
    as well as by the architecture. `training_weight` (the paper's lambda) and `pull` (its beta)
    are ours; the gradient that is clipped has the pull in it. Raises ValueError unless both are
    positive, and for an impossible learning rate or length. Metrics as `search.bilevel`.
    """
    if not (training_weight > 0 and pull > 0):
        raise ValueError(
            "RARTS needs a positive weight of the training loss and a positive pull, "
            f"not {training_weight} and {pull}."
        )
    txs = transforms(optimisers, epochs, steps_per_epoch)
    arch_tx, weight_tx = txs.arch_tx, txs.clipped
    relaxation = relax.softmax()

    def init(key: Key, inputs: jax.Array) -> SearchState:
        key, k_arch, k_net = jax.random.split(key, 3)
        arch, (weights, stats) = relaxation.init(k_arch, net.space), net.init(k_net, inputs)
        opt, twin = weight_tx.init(weights), jax.tree.map(jnp.copy, weights)
        memory = {"twin": twin, "opt": jax.tree.map(jnp.copy, opt)}
        start = jnp.zeros((), jnp.int32)
        return SearchState(start, key, arch, weights, stats, arch_tx.init(arch), opt, memory)

    def update(state: SearchState, train: Batch, valid: Batch):
        def loss_on(batch: Batch):
            def loss(arch, weights):
                gates = relaxation.gates(arch, weights)
                logits, stats = net.apply(weights, state.stats, gates, batch.inputs)
                accuracy = scores.accuracy(logits, batch.labels)
                return scores.cross_entropy(logits, batch.labels), (stats, accuracy)

            return loss

        problem = Problem(loss_on(valid), loss_on(train), descend=None, step=state.step)
        opts = (state.arch_opt, state.weight_opt, state.memory["opt"])
        old = Copies(state.arch, state.weights, state.memory["twin"], *opts)
        settings = {"training_weight": training_weight, "pull": pull}
        new, losses = step(problem, old, arch_tx=arch_tx, weight_tx=weight_tx, **settings)
        metrics = {
            f"{kind}/{name}": value
            for name, (loss, (_, accuracy)) in zip(("train", "valid"), losses, strict=True)
            for kind, value in (("loss", loss), ("accuracy", accuracy))
        }
        state = state._replace(
            step=state.step + 1,
            arch=new.arch,
            weights=new.weights,
            stats=losses[0][1][0],
            arch_opt=new.arch_opt,
            weight_opt=new.weight_opt,
            memory={"twin": new.twin, "opt": new.twin_opt},
        )
        return state, metrics | {"arch/active": jnp.ones(())}

    return Search(init, update, lambda s: relaxation.gates(s.arch, s.weights))


def _updated(tx: optax.GradientTransformation, grads, opt: optax.OptState, params):
    updates, opt = tx.update(grads, opt, params)
    return optax.apply_updates(params, updates), opt


METHOD = entry.single_stage("RARTS: two copies of the weights", rarts)
