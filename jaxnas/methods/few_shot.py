"""Few-shot search by gradient matching: candidates with unlike gradients share no weights.

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

from jaxnas.core import metrics, search
from jaxnas.core.gates import masking, relax
from jaxnas.core.objectives import terms
from jaxnas.core.stages import Program, Selection, Stage, StageResult
from jaxnas.core.types import Batch, Gates, Search, SearchState, Space, Stats, Supernet, Weights
from jaxnas.methods import entry
from jaxnas.methods.entry import Context, Settings
from jaxnas.methods.optimisers import Optimisers, transforms

NASBENCH201_SPLITS = (15, 30)  # 4 leaves; (2, 4, 6), 8 leaves, on DARTS's cells

Groups = tuple[tuple[int, ...], tuple[int, ...]]
Masks = dict[str, np.ndarray]  # 1 where a candidate is in the sub-supernet


class Leaf(NamedTuple):
    """A leaf of the tree: a sub-supernet that is not split."""

    accuracy: float
    gates: Gates


class Matching(NamedTuple):
    """The comparison of the candidates' gradients."""

    batches: int
    # (space, weights, choice, edge) -> 1 at the weights of that edge's candidates, else 0
    edge_mask: Callable[[Space, Weights, str, int], Weights]
    compiled: dict[str, Callable]  # the gradient, once the supernet is known


def masked_darts(
    net: Supernet,
    *,
    epochs: int,
    steps_per_epoch: int,
    optimisers: Optimisers = Optimisers(),
) -> Search:
    """First-order DARTS over the candidates of a mask, `masking.masked`."""
    txs = transforms(optimisers, epochs, steps_per_epoch)
    txs = txs._replace(arch_tx=masking.only_free(txs.arch_tx))
    return search.bilevel(net, masking.masked(relax.softmax()), terms.cross_entropy(), txs)


def few_shot(
    space: Space,
    *,
    epochs: int = 50,
    splits: tuple[int, ...] = NASBENCH201_SPLITS,
    batches: int = 100,
    edge_mask: Callable[[Space, Weights, str, int], Weights],
    optimisers: Optimisers = Optimisers(),
) -> Program:
    """A tree of sub-supernets: at each of the epochs `splits` every one splits in two.

    A sub-supernet is a mask over the candidates; its weights begin as those of its parent. It
    splits the edge, among those not yet split, whose candidates part best (`partition` of their
    `distances` over `batches` training batches). Leaves train to `epochs`, counted from the root;
    the leaf whose gates are most accurate on the validation half is selected. All sub-supernets
    search by `masked_darts` and go on with their parent's optimisers: our choice.
    `edge_mask(space, weights, name, edge)` is 1 at the weights of that edge's candidates, else 0 (a
    tree that broadcasts to the weights): they are not shared and count for no distance.
    Raises ValueError for splits that are not ascending epochs below the last, for no batches and
    for more splits than there are edges with a choice.
    """
    _check(space, epochs, splits, batches)
    # All sub-supernets share one compilation: the schedule follows the optimisers' counts.
    method = lambda net, *, steps_per_epoch, **_: masked_darts(
        net, epochs=epochs, steps_per_epoch=steps_per_epoch, optimisers=optimisers
    )
    matching = Matching(batches, edge_mask, {})

    def grow(
        name: str, masks: Masks, split: frozenset, parent: SearchState | None
    ) -> Generator[Stage, StageResult, list[Leaf]]:
        first, stop = (0, *splits, epochs)[len(split) : len(split) + 2]
        begin = parent and functools.partial(_inherit, parent, masks)
        result = yield Stage(name, space, stop - first, method, {}, begin)
        if stop == epochs:
            accuracy, _ = result.evaluate(jax.tree.map(lambda row: row[None], result.gates))
            return [Leaf(float(accuracy[0]), result.gates)]
        edge, groups = _best_split(space, split, matching, result)
        leaves = []
        for number, group in enumerate(groups):
            child_masks = restricted(masks, *edge, group)
            leaves += yield from grow(f"{name}-{number}", child_masks, split | {edge}, result.state)
        return leaves

    def stages() -> Program:
        masks = {name: np.ones(choice.shape, np.float32) for name, choice in space.items()}
        leaves = yield from grow("tree", masks, frozenset(), None)
        best = max(leaves, key=lambda leaf: leaf.accuracy)
        return Selection(space, best.gates)

    return stages()


def _check(space: Space, epochs: int, splits: tuple[int, ...], batches: int) -> None:
    edges = sum(len(c.edges) for c in space.values() if c.shape[1] > 1)
    ascending = all(a < b for a, b in itertools.pairwise((0, *splits, epochs)))
    if not splits or not ascending or batches < 1:
        raise ValueError(
            f"Splits are ascending epochs between 0 and {epochs}, judged on batches >= 1, "
            f"not {splits} and {batches}."
        )
    if len(splits) > edges:
        raise ValueError(f"{edges} edges have a choice: they cannot be split {len(splits)} times.")


def partition(distances: np.ndarray) -> tuple[Groups, float]:
    """The two groups with the smallest sum of distances within them, and the edge's score.

    `distances` f[n, n], symmetric, n > 1; exact, over all 2^(n-1) - 1 partitions; ties go to the
    smaller first group. The score is the distance between the groups: that of all pairs less that
    within. Equal distances part evenly.
    """
    all_candidates = range(len(distances))
    within = lambda group: sum(distances[a, b] for a, b in itertools.combinations(group, 2))
    partitions = []
    for size in range(len(distances) - 1):
        for others in itertools.combinations(all_candidates[1:], size):
            first = (0, *others)
            second = tuple(i for i in all_candidates if i not in first)
            partitions.append((within(first) + within(second), (first, second)))
    smallest, groups = min(partitions, key=lambda pair: pair[0])
    return groups, within(all_candidates) - smallest


def restricted(masks: Masks, name: str, edge: int, group: tuple[int, ...]) -> Masks:
    """The masks with an edge's candidates restricted to `group`."""
    mask = masks[name].copy()
    mask[edge] = 0
    mask[edge, list(group)] = 1
    return masks | {name: mask}


def distances(
    space: Space, name: str, edge: int, matching: Matching, result: StageResult
) -> np.ndarray:
    """f[candidates, candidates]: 1 - cosine of the gradients that a candidate alone on `edge` gives
    to the weights shared with the others, the mean over batches; all other edges as they are.

    A gradient of zero is at distance 1 from the others.
    """
    net = result.net
    gradient = matching.compiled.setdefault("gradient", jax.jit(functools.partial(_gradient, net)))
    weights, stats = result.state.weights, result.state.stats
    mask = matching.edge_mask(space, weights, name, edge)
    shared = jax.tree.map(lambda leaf: 1 - leaf, mask)
    count = space[name].shape[1]
    single_gates = [
        {**result.gates, name: jnp.asarray(result.gates[name]).at[edge].set(jnp.eye(count)[n])}
        for n in range(count)
    ]
    total = np.zeros((count, count))
    for number in range(matching.batches):
        batch = result.batch(number)
        gradients = [gradient(weights, stats, gates, shared, batch) for gates in single_gates]
        total += np.asarray(_cosine_distances(gradients))
    return total / matching.batches


@jax.jit
def _cosine_distances(gradients: list[Weights]) -> jax.Array:
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
        return metrics.cross_entropy(logits, batch.labels)

    return jax.tree.map(jnp.multiply, jax.grad(loss)(weights), shared)


def _best_split(
    space: Space, split: frozenset, matching: Matching, result: StageResult
) -> tuple[tuple[str, int], Groups]:
    """The edge, not yet split, with the highest score, and its groups."""
    edges = [(name, edge) for name, choice in space.items() for edge in range(len(choice.edges))]
    scored = []
    for name, edge in edges:
        if (name, edge) not in split and space[name].shape[1] > 1:
            groups, score = partition(distances(space, name, edge, matching, result))
            scored.append((score, (name, edge), groups))
    _, edge, groups = max(scored, key=lambda candidate: candidate[0])
    return edge, groups


def _inherit(parent: SearchState, masks: Masks, fresh: SearchState) -> SearchState:
    arch = parent.arch | {"mask": jax.tree.map(jnp.asarray, masks)}
    return parent._replace(step=fresh.step, key=fresh.key, arch=arch)


def _program(context: Context, settings: Settings) -> Program:
    edge_mask = context.space.edits.edge_mask
    nested = entry.nest(few_shot, settings)
    return few_shot(context.space.choices, edge_mask=edge_mask, **nested)


METHOD = entry.Method(
    "GM: a tree of supernets, split where gradients part",
    _program,
    entry.defaults(few_shot),
    quick={"splits": (4, 8), "batches": 4},
    needs={"edge_weights"},
)
