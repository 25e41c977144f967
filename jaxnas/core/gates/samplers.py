"""Gates without architecture parameters: uniform, given, or of uniformly sampled paths."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.gates import relax
from jaxnas.core.types import NONE, Arch, Choice, Gates, Key, Relaxation, Scalar, Space, Weights


def uniform(space: Space) -> Relaxation:
    """Equal gates for all candidates of an edge; the architecture is empty, `{}`."""
    shares = {name: jnp.ones(c.shape) / c.shape[1] for name, c in space.items()}
    return relax.deterministic(lambda key, space: {}, lambda arch, weights, **_: shares)


def identity() -> Relaxation:
    """The architecture is the gates, `{name: f32[edges, candidates]}`, initially zero."""

    def init(key: Key, space: Space) -> Arch:
        return {name: jnp.zeros(choice.shape) for name, choice in space.items()}

    return relax.deterministic(init, lambda arch, weights, **_: arch)


def uniform_single_path(space: Space, keep: int | None = None) -> Relaxation:
    """One candidate of each edge, sampled uniformly at every step.

    With `keep`, that many of the edges into a node are open, all sets equally likely, and `none`
    is never sampled: the cells of `discretise.top_edges_per_node`. The architecture is
    empty, `{}`; the expected gates are the means of the samples. Guo et al. 2019, section 3.2,
    https://arxiv.org/abs/1904.00420; Li and Talwalkar 2019, https://arxiv.org/abs/1902.07638.
    Raises ValueError where `keep` is below one or above the edges into a node, and for an edge
    with nothing to sample.
    """
    odds = {name: _odds(choice, keep) for name, choice in space.items()}
    open_probability = {
        name: _open_probability(choice, keep)[:, None] for name, choice in space.items()
    }

    def gates(arch: Arch, weights: Weights, *, key: Key, **_) -> Gates:
        keys = jax.random.split(key, len(space))
        return {
            name: _draw(choice, odds[name], keep, k)
            for k, (name, choice) in zip(keys, space.items(), strict=True)
        }

    def expected(arch: Arch, weights: Weights, **_) -> Gates:
        return {
            name: jnp.asarray(open_probability[name] * odds[name], jnp.float32) for name in space
        }

    return Relaxation(lambda key, space: {}, gates, expected)


def fair_single_path(space: Space, keep: int | None = None) -> Relaxation:
    """`uniform_single_path`, but of an edge every candidate once in as many steps as it has.

    The candidates of an edge take turns in an order that is drawn anew for every such round, each
    edge by itself: strict fairness, Chu et al. 2019, section 3.2, https://arxiv.org/abs/1907.01845,
    which collects the gradients of a round into one step of the optimiser; here each path is a
    step. With `keep`, an edge that is not open misses its turn. The architecture is one
    number, which seeds the orders and never moves. Raises ValueError as `uniform_single_path`.
    """
    uniform = uniform_single_path(space, keep)
    odds = {name: _odds(choice, keep) for name, choice in space.items()}

    def gates(arch: Arch, weights: Weights, *, key: Key, step: Scalar, **_) -> Gates:
        drawn = uniform.gates({}, weights, key=key, step=step)
        seed = jax.lax.bitcast_convert_type(arch["orders"], jnp.uint32)
        orders, turns = jax.random.key(seed), {}
        for number, (name, choice) in enumerate(space.items()):
            k_choice = jax.random.fold_in(orders, number)
            turn = jnp.stack(
                [
                    _turn(jax.random.fold_in(k_choice, edge), step, np.flatnonzero(row))
                    for edge, row in enumerate(odds[name])
                ]
            )
            is_open = drawn[name].sum(-1, keepdims=True)
            turns[name] = is_open * jax.nn.one_hot(turn, choice.shape[1])
        return turns

    def init(key: Key, space: Space) -> Arch:
        # A float, since an optimiser of all floats holds the architecture, too.
        return {"orders": jax.random.uniform(key)}

    return Relaxation(init, gates, uniform.expected)


def _turn(key: Key, step: Scalar, candidates: np.ndarray) -> jax.Array:
    """i32[]: whose turn it is at a step, in rounds of all candidates."""
    number, place = jnp.divmod(step, len(candidates))
    order = jax.random.permutation(jax.random.fold_in(key, number), len(candidates))
    return jnp.asarray(candidates)[order[place]]


def _odds(choice: Choice, keep: int | None) -> np.ndarray:
    can_open = np.array([[keep is None or n != NONE for n in row] for row in choice.candidates])
    if not can_open.any(1).all():
        raise ValueError(f"An edge whose only candidate is {NONE!r} leaves nothing to draw.")
    return can_open / can_open.sum(1, keepdims=True)


def _same_target(choice: Choice) -> np.ndarray:
    """bool[edges, edges]: which edges enter the same node."""
    targets = np.array([target for _, target in choice.edges])
    return targets[:, None] == targets


def _open_probability(choice: Choice, keep: int | None) -> np.ndarray:
    """f[edges]: the probability that an edge is open."""
    entering = _same_target(choice).sum(1)
    if keep is None:
        return np.ones(len(entering))
    if not 1 <= keep <= entering.min():
        raise ValueError(f"{entering.min()} edges enter a node, of which {keep} cannot be kept.")
    return keep / entering


def _draw(choice: Choice, odds: np.ndarray, keep: int | None, key: Key) -> jax.Array:
    k_candidate, k_edge = jax.random.split(key)
    with np.errstate(divide="ignore"):
        chosen = jax.random.categorical(k_candidate, np.log(odds).astype(np.float32))
    gates = jax.nn.one_hot(chosen, choice.shape[1])
    if keep is None:
        return gates
    lots = jax.random.uniform(k_edge, (len(choice.edges),))
    rank = jnp.sum(_same_target(choice) & (lots > lots[:, None]), axis=1)
    return gates * (rank < keep)[:, None]
