"""Searches: compositions of relaxation, objective, hypergradient and optimisers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnas.core import hypergrad as hypergradients
from jaxnas.core import metrics as scores
from jaxnas.core.objectives.constraints import constrained
from jaxnas.core.types import (
    Arch,
    Batch,
    Constraints,
    Forward,
    Gates,
    Hypergradient,
    Key,
    Memory,
    Problem,
    Relaxation,
    Scalar,
    Search,
    SearchState,
    Supernet,
    Term,
)


class Transforms(NamedTuple):
    """The optimisers of a bilevel search.

    `weight_tx` is also the look-ahead of the hypergradient; `clip_tx` treats the true weight
    gradient only, as the DARTS code clips there and not in its look-ahead
    (quark0/darts cnn/architect.py:20-29 against cnn/train_search.py:153-155).
    """

    arch_tx: optax.GradientTransformation
    weight_tx: optax.GradientTransformation
    clip_tx: optax.GradientTransformation | None = None

    @property
    def clipped(self) -> optax.GradientTransformation:
        """The optimiser of the true weight gradient."""
        return self.weight_tx if self.clip_tx is None else optax.chain(self.clip_tx, self.weight_tx)


def bilevel(
    net: Supernet,
    relaxation: Relaxation,
    objective: Term,
    txs: Transforms,
    *,
    outer_objective: Term | None = None,
    constraints: Constraints = (),
    hypergrad: Hypergradient | None = None,
    perturb: Callable[..., Gates] | None = None,
) -> Search:
    """Alternates an architecture step on validation data with a weight step on training data.

    First order unless `hypergrad` is given. The validation loss is `outer_objective`, by default
    `objective`, with the terms of `constraints`. Running statistics are updated by the weight step
    only. `perturb(loss, gates, *, key, step)` gives the gates of the weight step; `loss(gates)` is
    its loss on the training batch.

    Metrics: `loss/train`, `accuracy/train`, `loss/valid`, `accuracy/valid`, `arch/active`
    (1 if the architecture was updated; else the two `valid` values are 0 and meaningless).
    The memory is that of the objectives, `inner` and, where it is another one, `outer`.
    """
    terms = {"inner": objective}
    if outer_objective is not None or constraints:
        valid_objective = objective if outer_objective is None else outer_objective
        terms["outer"] = constrained(valid_objective, constraints, relaxation)
    outer_name = "outer" if "outer" in terms else "inner"
    hypergrad = hypergrad or hypergradients.first_order()
    move_arch = _arch_step(hypergrad, txs)
    move_weights = _weight_step(net, relaxation, objective, txs.clipped, perturb)

    def init(key: Key, inputs: jax.Array) -> SearchState:
        state = _start(net, relaxation, terms, key, inputs)
        return state._replace(
            arch_opt=txs.arch_tx.init(state.arch), weight_opt=txs.clipped.init(state.weights)
        )

    def update(state: SearchState, train: Batch, valid: Batch):
        k_train, k_valid = jax.random.split(jax.random.fold_in(state.key, state.step))
        loss_of = lambda name, batch, key: _loss(
            net, relaxation, terms[name], state.memory[name], state, batch, key
        )
        inner, outer = loss_of("inner", train, k_train), loss_of(outer_name, valid, k_valid)
        moves = [
            lambda state: move_arch(state, inner, outer),
            lambda state: move_weights(state, inner, train, k_train),
        ]
        if hypergrad.weights_first:
            moves.reverse()
        state, metrics = moves[0](state)
        state, more_metrics = moves[1](state)
        return _advance(state, terms), metrics | more_metrics

    return Search(init, update, lambda s: relaxation.expected(s.arch, s.weights, step=s.step))


def _arch_step(
    hypergrad: Hypergradient, txs: Transforms
) -> Callable[..., tuple[SearchState, dict[str, Scalar]]]:
    """(state, inner loss, outer loss) -> (state, metrics), by the hypergradient where active."""

    def move_arch(state: SearchState, inner: Callable, outer: Callable):
        def step(state: SearchState):
            # The look-ahead has no clipping.
            weight_opt = state.weight_opt if txs.clip_tx is None else state.weight_opt[1]

            def descend(grads, weights):
                updates, _ = txs.weight_tx.update(grads, weight_opt, weights)
                return optax.apply_updates(weights, updates)

            gradient = hypergrad.rule(Problem(outer, inner, descend, state.step))
            (loss, (_, accuracy)), grads = gradient(state.arch, state.weights)
            updates, arch_opt = txs.arch_tx.update(grads, state.arch_opt, state.arch)
            metrics = {"loss/valid": loss, "accuracy/valid": accuracy}
            return optax.apply_updates(state.arch, updates), arch_opt, metrics

        def skip(state: SearchState):
            loss, (_, accuracy) = jax.eval_shape(outer, state.arch, state.weights)
            metrics = {"loss/valid": loss, "accuracy/valid": accuracy}
            return state.arch, state.arch_opt, jax.tree.map(jnp.zeros_like, metrics)

        if hypergrad.active is None:
            active = jnp.array(True)
            arch, arch_opt, metrics = step(state)
        else:
            active = hypergrad.active(state.step)
            arch, arch_opt, metrics = jax.lax.cond(active, step, skip, state)
        metrics = metrics | {"arch/active": active.astype(jnp.float32)}
        return state._replace(arch=arch, arch_opt=arch_opt), metrics

    return move_arch


def _weight_step(
    net: Supernet,
    relaxation: Relaxation,
    objective: Term,
    tx: optax.GradientTransformation,
    perturb: Callable[..., Gates] | None,
) -> Callable[..., tuple[SearchState, dict[str, Scalar]]]:
    """(state, inner loss, training batch, key) -> (state, metrics)."""

    def move_weights(state: SearchState, inner: Callable, train: Batch, key: Key):
        if perturb is None:
            loss_at, point = inner, state.arch
        else:
            memory = state.memory["inner"]
            loss_at = _loss_at_gates(net, objective, memory, state, train, state.arch)
            point = relaxation.gates(state.arch, state.weights, key=key, step=state.step)
            loss = lambda gates: loss_at(gates, state.weights)[0]
            point = perturb(loss, point, key=jax.random.fold_in(key, 1), step=state.step)
        gradient = jax.value_and_grad(loss_at, argnums=1, has_aux=True)
        (loss, (stats, accuracy)), grads = gradient(point, state.weights)
        updates, weight_opt = tx.update(grads, state.weight_opt, state.weights)
        weights = optax.apply_updates(state.weights, updates)
        metrics = {"loss/train": loss, "accuracy/train": accuracy}
        return state._replace(weights=weights, stats=stats, weight_opt=weight_opt), metrics

    return move_weights


def single_level(
    net: Supernet, relaxation: Relaxation, objective: Term, *, tx: optax.GradientTransformation
) -> Search:
    """One pass and one optimiser over `{"arch": ..., "weights": ...}`, on training data alone.

    The validation batch given to `update` is not used. Metrics: `loss/train`,
    `accuracy/train`. The optimiser's state is `weight_opt`; `arch_opt` stays empty.
    """
    terms = {"inner": objective}

    def init(key: Key, inputs: jax.Array) -> SearchState:
        state = _start(net, relaxation, terms, key, inputs)
        joint = {"arch": state.arch, "weights": state.weights}
        return state._replace(weight_opt=tx.init(joint))

    def update(state: SearchState, train: Batch, valid: Batch):
        key = jax.random.fold_in(state.key, state.step)
        inner = _loss(net, relaxation, objective, state.memory["inner"], state, train, key)
        gradient = jax.value_and_grad(lambda p: inner(p["arch"], p["weights"]), has_aux=True)
        joint = {"arch": state.arch, "weights": state.weights}
        (loss, (stats, accuracy)), grads = gradient(joint)
        updates, weight_opt = tx.update(grads, state.weight_opt, joint)
        joint: Any = optax.apply_updates(joint, updates)
        state = state._replace(stats=stats, weight_opt=weight_opt, **joint)
        return _advance(state, terms), {"loss/train": loss, "accuracy/train": accuracy}

    return Search(init, update, lambda s: relaxation.expected(s.arch, s.weights, step=s.step))


def joint_tx(
    arch_tx: optax.GradientTransformation, weight_tx: optax.GradientTransformation
) -> optax.GradientTransformation:
    """The `tx` of `single_level`: an optimiser for each part of `{"arch": ..., "weights": ...}`."""
    return optax.partition(
        {"arch": arch_tx, "weights": weight_tx}, {"arch": "arch", "weights": "weights"}
    )


def _start(
    net: Supernet, relaxation: Relaxation, terms: dict[str, Term], key: Key, inputs: jax.Array
) -> SearchState:
    key, k_arch, k_net = jax.random.split(key, 3)
    arch, (weights, stats) = relaxation.init(k_arch, net.space), net.init(k_net, inputs)
    memory = {name: term.init(arch, weights) for name, term in terms.items()}
    return SearchState(jnp.zeros((), jnp.int32), key, arch, weights, stats, (), (), memory)


def _loss(
    net: Supernet,
    relaxation: Relaxation,
    term: Term,
    memory: Memory,
    state: SearchState,
    batch: Batch,
    key: Key,
) -> Callable[..., tuple[Scalar, tuple]]:
    """(arch, weights) -> (loss, (statistics after the pass, accuracy))."""

    def loss(arch, weights):
        at_gates = _loss_at_gates(net, term, memory, state, batch, arch)
        return at_gates(relaxation.gates(arch, weights, key=key, step=state.step), weights)

    return loss


def _loss_at_gates(
    net: Supernet, term: Term, memory: Memory, state: SearchState, batch: Batch, arch: Arch
) -> Callable[..., tuple[Scalar, tuple]]:
    """(gates, weights) -> (loss, (statistics after the pass, accuracy))."""

    def loss(gates, weights):
        logits, stats = net.apply(weights, state.stats, gates, batch.inputs)
        forward = Forward(batch, logits, gates, state.stats, state.step, arch, weights)
        value = term.value(memory, forward)
        return value, (stats, scores.accuracy(logits, batch.labels))

    return loss


def _advance(state: SearchState, terms: dict[str, Term]) -> SearchState:
    memory = {
        name: term.update(state.memory[name], state.arch, state.weights, state.step)
        for name, term in terms.items()
    }
    return state._replace(step=state.step + 1, memory=memory)
