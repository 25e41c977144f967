"""Gates without architecture parameters: uniform, given, or of uniformly sampled paths."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.gates import relax
from jaxnas.core.types import NONE, Arch, Choice, Gates, Key, Relaxation, Space, Weights


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
