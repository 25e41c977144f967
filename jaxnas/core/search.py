"""How the parts make a method: objective and hypergradient -> (init, update)."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import optax

from jaxnas.core import hypergrad as hypergradients
from jaxnas.core.types import (
    Arch,
    Batch,
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


def bilevel(
    net: Supernet,
    relax: Relaxation,
    objective: Term,
    *,
    arch_tx: optax.GradientTransformation,
    weight_tx: optax.GradientTransformation,
    clip_tx: optax.GradientTransformation | None = None,
    outer_objective: Term | None = None,
    hypergrad: Hypergradient | None = None,
    perturb: Callable[..., Gates] | None = None,
    first: Literal["arch", "weights"] = "arch",
) -> Search:
    """Alternates an architecture step on validation data with a weight step on training data.

    `weight_tx` is also the look-ahead of the hypergradient; `clip_tx` treats the true weight
    gradient only, as the DARTS code clips there and not in its look-ahead
    (quark0/darts cnn/architect.py:20-29 against cnn/train_search.py:153-155).
    `outer_objective` judges validation batches if it is not `objective`. Running statistics
    are moved by the weight step alone. `perturb(loss, gates, *, key, step)` gives the gates that
    the weight step learns with, and it alone; `loss(gates)` is its loss on the training batch.

    Metrics: `loss/train`, `accuracy/train`, `loss/valid`, `accuracy/valid`, `arch/active`
    (1 where the architecture moved; else the two `valid` values are 0 and mean nothing).
    Raises ValueError if `first` is neither "arch" nor "weights".
    """
    if first not in ("arch", "weights"):
        raise ValueError(f"First comes 'arch' or 'weights', not {first!r}.")
    hypergrad = hypergrad or hypergradients.first_order()
    true_tx = weight_tx if clip_tx is None else optax.chain(clip_tx, weight_tx)
    terms = {"inner": objective}
    if outer_objective is not None:
        terms["outer"] = outer_objective
    outer_name = "inner" if outer_objective is None else "outer"

    def init(key: Key, inputs: jax.Array) -> SearchState:
        state = _start(net, relax, terms, key, inputs)
        return state._replace(
            arch_opt=arch_tx.init(state.arch), weight_opt=true_tx.init(state.weights)
        )

    def update(state: SearchState, train: Batch, valid: Batch):
        k_train, k_valid = jax.random.split(jax.random.fold_in(state.key, state.step))
        inner = _loss(net, relax, terms["inner"], state.memory["inner"], state, train, k_train)
        outer = _loss(
            net, relax, terms[outer_name], state.memory[outer_name], state, valid, k_valid
        )

        def step_arch(state: SearchState):
            look_ahead_state = state.weight_opt if clip_tx is None else state.weight_opt[1]

            def descend(grads, weights):
                updates, _ = weight_tx.update(grads, look_ahead_state, weights)
                return optax.apply_updates(weights, updates)

            judge = hypergrad.rule(Problem(outer, inner, descend, state.step))
            (loss, (_, accuracy)), grads = judge(state.arch, state.weights)
            updates, arch_opt = arch_tx.update(grads, state.arch_opt, state.arch)
            metrics = {"loss/valid": loss, "accuracy/valid": accuracy}
            return optax.apply_updates(state.arch, updates), arch_opt, metrics

        def rest(state: SearchState):
            loss, (_, accuracy) = jax.eval_shape(outer, state.arch, state.weights)
            metrics = {"loss/valid": loss, "accuracy/valid": accuracy}
            return state.arch, state.arch_opt, jax.tree.map(jnp.zeros_like, metrics)

        def move_arch(state: SearchState):
            if hypergrad.active is None:
                active = jnp.array(True)
                arch, arch_opt, metrics = step_arch(state)
            else:
                active = hypergrad.active(state.step)
                arch, arch_opt, metrics = jax.lax.cond(active, step_arch, rest, state)
            metrics = metrics | {"arch/active": active.astype(jnp.float32)}
            return state._replace(arch=arch, arch_opt=arch_opt), metrics

        def move_weights(state: SearchState):
            if perturb is None:
                at, judged = state.arch, inner
            else:
                term, memory = terms["inner"], state.memory["inner"]
                judged = _loss_at_gates(net, term, memory, state, train, state.arch)
                at = relax.gates(state.arch, state.weights, key=k_train, step=state.step)
                loss_of = lambda gates: judged(gates, state.weights)[0]
                at = perturb(loss_of, at, key=jax.random.fold_in(k_train, 1), step=state.step)
            judge = jax.value_and_grad(judged, argnums=1, has_aux=True)
            (loss, (stats, accuracy)), grads = judge(at, state.weights)
            updates, weight_opt = true_tx.update(grads, state.weight_opt, state.weights)
            weights = optax.apply_updates(state.weights, updates)
            metrics = {"loss/train": loss, "accuracy/train": accuracy}
            return state._replace(weights=weights, stats=stats, weight_opt=weight_opt), metrics

        moves = (move_arch, move_weights) if first == "arch" else (move_weights, move_arch)
        state, measured = moves[0](state)
        state, measured_next = moves[1](state)
        return _advance(state, terms), measured | measured_next

    return Search(init, update, lambda s: relax.expected(s.arch, s.weights, step=s.step))


def single_level(
    net: Supernet, relax: Relaxation, objective: Term, *, tx: optax.GradientTransformation
) -> Search:
    """One pass and one optimiser over `{"arch": ..., "weights": ...}`, on training data alone.

    The validation batch given to `update` is not looked at. Metrics: `loss/train`,
    `accuracy/train`. The optimiser's state is `weight_opt`; `arch_opt` stays empty.
    """
    terms = {"inner": objective}

    def init(key: Key, inputs: jax.Array) -> SearchState:
        state = _start(net, relax, terms, key, inputs)
        both = {"arch": state.arch, "weights": state.weights}
        return state._replace(weight_opt=tx.init(both))

    def update(state: SearchState, train: Batch, valid: Batch):
        key = jax.random.fold_in(state.key, state.step)
        inner = _loss(net, relax, objective, state.memory["inner"], state, train, key)
        judge = jax.value_and_grad(lambda p: inner(p["arch"], p["weights"]), has_aux=True)
        both = {"arch": state.arch, "weights": state.weights}
        (loss, (stats, accuracy)), grads = judge(both)
        updates, opt = tx.update(grads, state.weight_opt, both)
        both = optax.apply_updates(both, updates)
        state = state._replace(stats=stats, weight_opt=opt, **both)
        return _advance(state, terms), {"loss/train": loss, "accuracy/train": accuracy}

    return Search(init, update, lambda s: relax.expected(s.arch, s.weights, step=s.step))


def joint_tx(
    arch_tx: optax.GradientTransformation, weight_tx: optax.GradientTransformation
) -> optax.GradientTransformation:
    """The `tx` of `single_level`: an optimiser for each part of `{"arch": ..., "weights": ...}`."""
    return optax.partition(
        {"arch": arch_tx, "weights": weight_tx}, {"arch": "arch", "weights": "weights"}
    )


def _start(
    net: Supernet, relax: Relaxation, terms: dict[str, Term], key: Key, inputs: jax.Array
) -> SearchState:
    key, k_arch, k_net = jax.random.split(key, 3)
    arch, (weights, stats) = relax.init(k_arch, net.space), net.init(k_net, inputs)
    memory = {name: term.init(arch, weights) for name, term in terms.items()}
    return SearchState(jnp.zeros((), jnp.int32), key, arch, weights, stats, (), (), memory)


def _loss(
    net: Supernet,
    relax: Relaxation,
    term: Term,
    memory: Memory,
    state: SearchState,
    batch: Batch,
    key: Key,
) -> Callable[..., tuple[Scalar, tuple]]:
    """(arch, weights) -> (loss, (statistics after the pass, accuracy))."""

    def loss(arch, weights):
        at_gates = _loss_at_gates(net, term, memory, state, batch, arch)
        return at_gates(relax.gates(arch, weights, key=key, step=state.step), weights)

    return loss


def _loss_at_gates(
    net: Supernet, term: Term, memory: Memory, state: SearchState, batch: Batch, arch: Arch
) -> Callable[..., tuple[Scalar, tuple]]:
    """(gates, weights) -> (loss, (statistics after the pass, accuracy))."""

    def loss(gates, weights):
        logits, stats = net.apply(weights, state.stats, gates, batch.inputs)
        forward = Forward(batch, logits, gates, state.stats, state.step, arch, weights)
        value = term.value(memory, forward)
        accuracy = jnp.mean(jnp.argmax(logits, -1) == batch.labels, dtype=jnp.float32)
        return value, (stats, accuracy)

    return loss


def _advance(state: SearchState, terms: dict[str, Term]) -> SearchState:
    memory = {
        name: term.update(state.memory[name], state.arch, state.weights, state.step)
        for name, term in terms.items()
    }
    return state._replace(step=state.step + 1, memory=memory)
