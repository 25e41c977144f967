"""Few-shot search by gradient matching: candidates that pull the weights apart share none.

Hu et al. 2022, Generalizing Few-Shot NAS with Gradient Matching,
https://arxiv.org/abs/2203.15207, in the form of facts about its code, which was not read.
"""

import functools
import itertools
from collections.abc import Callable, Generator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas.core import schedules, search
from jaxnas.core.gates import masking, relax
from jaxnas.core.objectives import terms
from jaxnas.core.stages import Program, Selection, Stage, StageResult
from jaxnas.core.types import Batch, Gates, Search, SearchState, Space, Stats, Supernet, Weights
from jaxnas.methods import optimisers

NASBENCH201_SPLITS = (15, 30)  # 4 leaves
DARTS_SPLITS = (2, 4, 6)  # 8 leaves

Groups = tuple[tuple[int, ...], tuple[int, ...]]
Masks = dict[str, np.ndarray]  # 1 where a candidate is in the sub-supernet


class Leaf(NamedTuple):
    accuracy: float
    gates: Gates


def masked_darts(
    net: Supernet,
    *,
    epochs: int,
    steps_per_epoch: int,
    learning_rate: float = 0.025,
    min_learning_rate: float = 0.001,
    weight_decay: float = 3e-4,
    clip_norm: float = 5.0,
    arch_learning_rate: float = 3e-4,
    arch_weight_decay: float = 1e-3,
) -> Search:
    """First-order DARTS over the candidates of a mask, `masking.masked`."""
    rate = schedules.cosine_by_epoch(
        learning_rate, min_learning_rate, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    txs = optimisers.adam_and_sgd(
        rate,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        arch_learning_rate=arch_learning_rate,
        arch_weight_decay=arch_weight_decay,
    )
    txs["arch_tx"] = masking.only_free(txs["arch_tx"])
    return search.bilevel(net, masking.masked(relax.softmax()), terms.cross_entropy(), **txs)


def few_shot(
    space: Space,
    *,
    epochs: int = 50,
    splits: tuple[int, ...] = NASBENCH201_SPLITS,
    batches: int = 100,
    own: Callable[[Space, Weights, str, int], Weights],
    **settings: float,
) -> Program:
    """A tree of sub-supernets: at each of the epochs `splits` every one splits in two.

    A sub-supernet is a mask over the candidates, its weights those of its parent. It splits the
    edge, among those not yet split, whose candidates part best (`partition` of their distances
    over `batches` training batches). Leaves train to `epochs`, counted from the root; the leaf
    whose gates are most accurate on the validation half is found. All sub-supernets search by
    `masked_darts`, with `settings`, and go on with their parent's optimisers: our choice.
    `own(space, weights, name, edge)` is 1 at the weights of that edge's candidates, else 0 (a
    tree that broadcasts to the weights): they are not shared and count for no distance.
    Raises ValueError for splits that are not ascending epochs below the last, for no batches and
    for more splits than there are edges with a choice.
    """
    edges = sum(len(c.edges) for c in space.values() if c.shape[1] > 1)
    ascending = all(a < b for a, b in itertools.pairwise((0, *splits, epochs)))
    if not splits or not ascending or batches < 1:
        raise ValueError(
            f"Splits are ascending epochs between 0 and {epochs}, judged on batches >= 1, "
            f"not {splits} and {batches}."
        )
    if len(splits) > edges:
        raise ValueError(f"{edges} edges have a choice: they cannot be split {len(splits)} times.")
    whole = functools.partial(masked_darts, **settings)
    # All sub-supernets share one compilation: the schedule goes by the optimisers' own counts.
    method = lambda net, *, steps_per_epoch, **_: whole(
        net, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    parting = Parting(batches, own, {})

    def grow(
        name: str, masks: Masks, split: frozenset, parent: SearchState | None
    ) -> Generator[Stage, StageResult, list[Leaf]]:
        start, end = (0, *splits, epochs)[len(split) : len(split) + 2]
        begin = parent and functools.partial(_inherit, parent, masks)
        done = yield Stage(name, space, end - start, method, {}, begin)
        if end == epochs:
            accuracy, _ = done.evaluate(jax.tree.map(lambda row: row[None], done.gates))
            return [Leaf(float(accuracy[0]), done.gates)]
        edge, groups = _best_split(space, split, parting, done)
        leaves = []
        for number, group in enumerate(groups):
            inside = restricted(masks, *edge, group)
            leaves += yield from grow(f"{name}-{number}", inside, split | {edge}, done.state)
        return leaves

    def stages() -> Program:
        masks = {name: np.ones(choice.shape, np.float32) for name, choice in space.items()}
        leaves = yield from grow("tree", masks, frozenset(), None)
        best = max(leaves, key=lambda leaf: leaf.accuracy)
        return Selection(space, best.gates)

    return stages()


def partition(distances: np.ndarray) -> tuple[Groups, float]:
    """The two groups with the least sum of distances within them, and the edge's score.

    `distances` f[n, n], symmetric, n > 1; exact, over all 2^(n-1) - 1 partitions; ties go to the
    smaller first group. The score is the distance between the groups: that of all pairs less that
    within. Equal distances part evenly.
    """
    everything = range(len(distances))
    within = lambda group: sum(distances[a, b] for a, b in itertools.combinations(group, 2))
    found = []
    for size in range(len(distances) - 1):
        for others in itertools.combinations(everything[1:], size):
            first = (0, *others)
            second = tuple(i for i in everything if i not in first)
            found.append((within(first) + within(second), (first, second)))
    least, groups = min(found, key=lambda pair: pair[0])
    return groups, within(everything) - least


def restricted(masks: Masks, name: str, edge: int, group: tuple[int, ...]) -> Masks:
    """The masks with an edge's candidates only those of `group`."""
    inside = masks[name].copy()
    inside[edge] = 0
    inside[edge, list(group)] = 1
    return masks | {name: inside}


class Parting(NamedTuple):
    """How far candidates pull apart: over how many batches, by which weights."""

    batches: int
    own: Callable[[Space, Weights, str, int], Weights]
    compiled: dict[str, Callable]  # the gradient, once the supernet is known


def distances(
    space: Space, name: str, edge: int, parting: Parting, done: StageResult
) -> np.ndarray:
    """f[candidates, candidates]: 1 - cosine of the gradients that a candidate alone on `edge` gives
    to the weights shared with the others, the mean over batches; all other edges as they are.

    A gradient of zero is at distance 1 from the others.
    """
    net = done.net
    gradient = parting.compiled.setdefault("gradient", jax.jit(functools.partial(_gradient, net)))
    weights, stats = done.state.weights, done.state.stats
    shared = jax.tree.map(lambda own: 1 - own, parting.own(space, weights, name, edge))
    count = space[name].shape[1]
    alone = [
        {**done.gates, name: jnp.asarray(done.gates[name]).at[edge].set(jnp.eye(count)[n])}
        for n in range(count)
    ]
    total = np.zeros((count, count))
    for number in range(parting.batches):
        batch = done.batch(number)
        total += np.asarray(_apart([gradient(weights, stats, g, shared, batch) for g in alone]))
    return total / parting.batches


@jax.jit
def _apart(gradients: list[Weights]) -> jax.Array:
    inner = jnp.array([[optax.tree.vdot(a, b) for a in gradients] for b in gradients])
    norms = jnp.sqrt(jnp.diag(inner))
    product = norms * norms[:, None]
    cosine = jnp.where(product > 0, inner / jnp.where(product > 0, product, 1), 0)
    return jnp.where(jnp.eye(len(gradients), dtype=bool), 0, 1 - cosine)


def _gradient(
    net: Supernet, weights: Weights, stats: Stats, gates: Gates, shared: Weights, batch: Batch
) -> Weights:
    def loss(weights):
        logits, _ = net.apply(weights, stats, gates, batch.inputs)
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()

    return jax.tree.map(jnp.multiply, jax.grad(loss)(weights), shared)


def _best_split(
    space: Space, split: frozenset, parting: Parting, done: StageResult
) -> tuple[tuple[str, int], Groups]:
    """The edge, not yet split, with the highest score, and its groups."""
    edges = [(name, edge) for name, choice in space.items() for edge in range(len(choice.edges))]
    scored = []
    for name, edge in edges:
        if (name, edge) not in split and space[name].shape[1] > 1:
            groups, score = partition(distances(space, name, edge, parting, done))
            scored.append((score, (name, edge), groups))
    _, edge, groups = max(scored, key=lambda found: found[0])
    return edge, groups


def _inherit(parent: SearchState, masks: Masks, fresh: SearchState) -> SearchState:
    arch = parent.arch | {"mask": jax.tree.map(jnp.asarray, masks)}
    return parent._replace(step=fresh.step, key=fresh.key, arch=arch)
