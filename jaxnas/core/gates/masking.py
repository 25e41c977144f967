"""What of a space is open: relaxations that close candidates, spaces that lose them.

What is closed is data of the architecture, not a constant: searches that differ in it alone are
one compiled program.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas.core.types import Arch, Choice, Gates, Key, Relaxation, Space, Weights
from jaxnas.spaces.choices import NONE

FREE = "free"  # the part of a restricted architecture that an optimiser may move


def masked(relaxation: Relaxation) -> Relaxation:
    """The gates of `relaxation` among the candidates of a mask, the sum of an edge unchanged.

    The architecture is `{"free": that of relaxation, "mask": {name: f32[edges, candidates]}}`,
    the mask one throughout at first. On a softmax this is the softmax of the logits in the mask.
    For gates that are positive: where all that is open was zero, the open ones share equally.
    """

    def init(key: Key, space: Space) -> Arch:
        mask = {name: jnp.ones(choice.shape) for name, choice in space.items()}
        return {FREE: relaxation.init(key, space), "mask": mask}

    def within(mask: jax.Array, gates: jax.Array) -> jax.Array:
        before = gates.sum(-1, keepdims=True)
        after = (gates * mask).sum(-1, keepdims=True)
        # A zero below would make the gradient of the branch not taken infinite.
        share = gates * mask / jnp.where(after > 0, after, 1)
        return before * jnp.where(after > 0, share, mask / mask.sum(-1, keepdims=True))

    return _around(relaxation, init, lambda arch, gates: jax.tree.map(within, arch["mask"], gates))


def with_fixed_edges(relaxation: Relaxation) -> Relaxation:
    """The gates of `relaxation` on edges that are not yet decided, on the others fixed ones.

    The architecture is `{"free": that of relaxation, "fixed": {name: f32[edges, candidates]},
    "is_fixed": {name: f32[edges]}}`, at first with nothing fixed. See `fix`.
    """

    def init(key: Key, space: Space) -> Arch:
        fixed = {name: jnp.zeros(choice.shape) for name, choice in space.items()}
        flags = {name: jnp.zeros(len(choice.edges)) for name, choice in space.items()}
        return {FREE: relaxation.init(key, space), "fixed": fixed, "is_fixed": flags}

    def overlay(arch: Arch, gates: Gates) -> Gates:
        choose = lambda flag, fixed, gate: jnp.where(flag[:, None] > 0, fixed, gate)
        return jax.tree.map(choose, arch["is_fixed"], arch["fixed"], gates)

    return _around(relaxation, init, overlay)


def fix_edge(arch: Arch, name: str, edge: int, row: np.ndarray) -> Arch:
    """`arch` of `with_fixed_edges` with one more edge fixed at the gates `row`, f32[candidates]."""
    fixed = arch["fixed"] | {name: arch["fixed"][name].at[edge].set(row)}
    flags = arch["is_fixed"] | {name: arch["is_fixed"][name].at[edge].set(1)}
    return arch | {"fixed": fixed, "is_fixed": flags}


def only_free(tx: optax.GradientTransformation) -> optax.GradientTransformation:
    """`tx` on the free part of a restricted architecture; the rest stays as it is."""
    return optax.partition(
        {True: tx, False: optax.set_to_zero()}, lambda arch: {part: part == FREE for part in arch}
    )


def uniform(space: Space) -> Relaxation:
    """All candidates of an edge equally open; the architecture is empty, `{}`."""
    shares = {name: jnp.ones(c.shape) / c.shape[1] for name, c in space.items()}
    return Relaxation(lambda key, space: {}, lambda arch, weights, **_: shares)


def identity() -> Relaxation:
    """The architecture is the gates, `{name: f32[edges, candidates]}`, at first closed."""

    def init(key: Key, space: Space) -> Arch:
        return {name: jnp.zeros(choice.shape) for name, choice in space.items()}

    return Relaxation(init, lambda arch, weights, **_: arch)


def uniform_single_path(space: Space, keep: int | None = None) -> Relaxation:
    """One candidate of each edge, drawn anew at every step, each as likely.

    With `keep`, as many of the edges into a node are open, any set as likely, and `none` is never
    drawn: the cells that `discretise.top_edges_per_node` can give. The architecture is empty, `{}`;
    the expected gates are the means of the draws. Guo et al. 2019, section 3.2,
    https://arxiv.org/abs/1904.00420; Li and Talwalkar 2019, https://arxiv.org/abs/1902.07638 Raises
    ValueError where `keep` is more edges than enter a node, or below one, and for an edge with
    nothing to draw.
    """
    odds = {name: _odds(choice, keep) for name, choice in space.items()}
    kept = {name: _kept(choice, keep)[:, None] for name, choice in space.items()}

    def gates(arch: Arch, weights: Weights, *, key: Key, **_) -> Gates:
        keys = jax.random.split(key, len(space))
        return {
            name: _draw(choice, odds[name], keep, k)
            for k, (name, choice) in zip(keys, space.items(), strict=True)
        }

    def expected(arch: Arch, weights: Weights, **_) -> Gates:
        return {name: jnp.asarray(kept[name] * odds[name], jnp.float32) for name in space}

    return Relaxation(lambda key, space: {}, gates, expected)


def pruned(space: Space, gates: Gates, keep: int) -> tuple[Space, dict[str, np.ndarray]]:
    """The space of each edge's `keep` most open candidates, and their columns.

    The candidates of an edge stay in order, ties go to the one listed first; columns are
    `i[edges, keep]`. Raises ValueError unless 1 <= keep < candidates.
    """
    columns, smaller = {}, {}
    for name, choice in space.items():
        if not 1 <= keep < choice.shape[1]:
            raise ValueError(
                f"Of {choice.shape[1]} candidates {keep} cannot be kept: keep fewer, at least one."
            )
        strongest = np.argsort(-np.asarray(gates[name]), axis=1, kind="stable")[:, :keep]
        columns[name] = np.sort(strongest, axis=1)
        rows = zip(choice.candidates, columns[name], strict=True)
        smaller[name] = Choice(choice.edges, tuple(tuple(c[i] for i in row) for c, row in rows))
    return smaller, columns


def pruned_arch(arch: Arch, columns: dict[str, np.ndarray]) -> Arch:
    """An architecture of the candidates that `pruned` kept: see its columns.

    Every leaf that ends in a choice's name and has candidates loses columns; one number an edge
    stays.
    """

    def cut(path, leaf: jax.Array) -> jax.Array:
        if leaf.ndim < 2:
            return leaf
        return jnp.take_along_axis(leaf, jnp.asarray(columns[path[-1].key]), axis=1)

    return jax.tree_util.tree_map_with_path(cut, arch)


def _around(relaxation: Relaxation, init, change) -> Relaxation:
    def gates(arch: Arch, weights: Weights, **at) -> Gates:
        return change(arch, relaxation.gates(arch[FREE], weights, **at))

    def expected(arch: Arch, weights: Weights, **at) -> Gates:
        return change(arch, relaxation.expected(arch[FREE], weights, **at))

    return Relaxation(init, gates, relaxation.expected and expected)


def _odds(choice: Choice, keep: int | None) -> np.ndarray:
    drawn = np.array([[keep is None or n != NONE for n in row] for row in choice.candidates])
    if not drawn.any(1).all():
        raise ValueError(f"An edge whose only candidate is {NONE!r} leaves nothing to draw.")
    return drawn / drawn.sum(1, keepdims=True)


def _together(choice: Choice) -> np.ndarray:
    """bool[edges, edges]: which edges enter the same node."""
    targets = np.array([target for _, target in choice.edges])
    return targets[:, None] == targets


def _kept(choice: Choice, keep: int | None) -> np.ndarray:
    """f[edges]: the chance that an edge is open."""
    entering = _together(choice).sum(1)
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
    rank = jnp.sum(_together(choice) & (lots > lots[:, None]), axis=1)
    return gates * (rank < keep)[:, None]
