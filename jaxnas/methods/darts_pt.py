"""DARTS-PT: selection by perturbation, after any method.

An edge keeps the candidate whose removal hurts the supernet most. Wang et al. 2021,
https://arxiv.org/abs/2108.04392, ruocwang/darts-pt sota/cnn/projection.py.
"""

from collections.abc import Callable, Generator
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core import search
from jaxnas.core.gates import masking, relax, samplers
from jaxnas.core.objectives import terms
from jaxnas.core.stages import Program, Selection, Stage, StageResult
from jaxnas.core.types import NONE, Relaxation, Search, SearchState, Space, Supernet
from jaxnas.methods import entry
from jaxnas.methods.entry import Settings
from jaxnas.methods.optimisers import WEIGHTS_ONLY, Optimisers, transforms
from jaxnas.methods.weights_only import weights_only

# Settings that `--select perturbation` adds to those of a method.
SETTINGS = {"interval": 5, "criterion": "accuracy"}
QUICK = {"interval": 1}
ARCH_LEARNING_RATE = 3e-4


class Tuning(NamedTuple):
    """Tuning of the supernet between two decisions; the learning rate is a tenth of DARTS's.

    Epochs after each round, and first-order DARTS's optimisers, started anew for all rounds
    together. The paper's code has constant rates on NAS-Bench-201: `min_learning_rate` equal to
    `learning_rate`. `arch_learning_rate` (None: 3e-4) is for edges that are not yet decided.
    """

    interval: int = 5
    optimisers: Optimisers = Optimisers(learning_rate=0.0025, arch_learning_rate=None)


def tuning_of(settings: Settings) -> Tuning | None:
    """A tenth of the search's learning rate, as in the paper's code, and its other settings.

    `settings` are those of a method and SETTINGS; None where the interval is 0.
    """
    if not settings["interval"]:
        return None
    rate = settings["learning_rate"] / 10
    optimisers = Optimisers(
        learning_rate=rate,
        min_learning_rate=0.4 * rate,
        weight_decay=settings["weight_decay"],
        clip_norm=settings["clip_norm"],
        arch_learning_rate=settings.get("arch_learning_rate"),
    )
    return Tuning(settings["interval"], optimisers)


def blank(
    net: Supernet,
    *,
    optimisers: Optimisers = WEIGHTS_ONLY,
    nesterov: bool = False,
    epochs: int = 50,
    steps_per_epoch: int,
) -> Search:
    """Trains the weights with all candidates equally open: the search of blank DARTS-PT.

    `perturbation(one_stage(space, 50, blank), relaxation=samplers.uniform(space), ...)`.
    """
    length = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    gates = samplers.uniform(net.space)
    return weights_only(net, gates, **length, optimisers=optimisers, nesterov=nesterov)


def perturbation(
    inner: Program,
    *,
    relaxation: Relaxation | None = None,
    tuning: Tuning | None = Tuning(),
    criterion: Literal["accuracy", "loss"] = "accuracy",
    edges_per_node: int | None = 2,
    seed: int,
) -> Program:
    """`inner`, followed by perturbation-based selection on its last supernet, in random order.

    Of an edge every candidate is removed in turn (its gate becomes 0, the others are unchanged);
    the one whose removal gives the lowest accuracy, or the highest loss, is selected. Then of each
    node with more than `edges_per_node` inputs the edges are dropped, one by one, whose removal
    has the least effect; with None (NAS-Bench-201) none. A round decides one edge, or node, of
    every choice of the space; between rounds the supernet is tuned, None: never. Ties go to the
    candidate, or edge, listed first.

    `relaxation` (default: softmax) is that of the last stage of `inner`; undecided edges are
    trained further by it, first order. If its architecture is empty only the weights are trained
    (blank DARTS-PT). Differs from the code: dropped edges of a node stay dropped while its next
    one is selected; the architecture's Adam is reset as well; no last epoch after the last round.
    Raises ValueError for an invalid setting, for a space with `none` if `edges_per_node` is given,
    and for a last stage whose architecture is not of `relaxation`.
    """
    if criterion not in ("accuracy", "loss"):
        raise ValueError(f"Removals are judged by 'accuracy' or 'loss', not by {criterion!r}.")
    if tuning is not None and tuning.interval < 1:
        raise ValueError(
            f"A tuning of {tuning.interval} epochs is none: give at least one, or no tuning."
        )
    if edges_per_node is not None and edges_per_node < 1:
        raise ValueError(f"A node keeps at least one input, not {edges_per_node}.")
    relaxation = relaxation or relax.softmax()
    return _stages(inner, relaxation, tuning, criterion, edges_per_node, seed)


def _stages(
    inner: Program,
    relaxation: Relaxation,
    tuning: Tuning | None,
    criterion: str,
    edges_per_node: int | None,
    seed: int,
) -> Program:
    last, result = yield from _relay(inner, edges_per_node)
    space = last.space
    _check_relaxation(relaxation, space, result.state)
    moves_arch = bool(jax.tree.leaves(result.state.arch))
    if tuning is not None and tuning.optimisers.arch_learning_rate is not None and not moves_arch:
        raise ValueError(
            "arch_learning_rate has no effect where the architecture is empty: leave it out."
        )
    fixing = masking.with_fixed_edges(relaxation)
    arch = fixing.init(jax.random.key(0), space) | {masking.FREE: result.state.arch}
    gates = {name: np.array(rows) for name, rows in result.gates.items()}
    rounds = _rounds(space, edges_per_node, np.random.default_rng(seed))
    method = tuning and _tuned(fixing, tuning, len(rounds), moves_arch)
    for number, decisions in enumerate(rounds):
        for name, rows in decisions:
            for row in _decide(result, gates, name, rows, criterion, edges_per_node):
                arch = masking.fix_edge(arch, name, row, gates[name][row])
        if method and number < len(rounds) - 1:
            begin = _continued(result.state, arch, restarts=number == 0)
            label = f"tune-{number:02d}"
            result = yield Stage(label, space, tuning.interval, method, last.net, begin)
            arch = result.state.arch
            gates = {name: np.array(rows) for name, rows in result.gates.items()}
    return Selection(space, gates)


def _relay(
    inner: Program, edges_per_node: int | None
) -> Generator[Stage, StageResult, tuple[Stage, StageResult]]:
    """Runs a program within another; returns its last stage and that stage's result."""
    last = result = None
    while True:
        try:
            stage = inner.send(result)
        except StopIteration:
            return last, result
        names = {n for choice in stage.space.values() for row in choice.candidates for n in row}
        if edges_per_node is not None and NONE in names:
            raise ValueError(
                f"A perturbed edge could keep {NONE!r}, which no cell of pairs has: search a space "
                "without it (darts-no-none), or give no `edges_per_node`."
            )
        last = stage
        result = yield stage


# What is decided at once: a choice, and the edge (one row) or the node's inputs (several).
Decision = tuple[str, list[int]]


def _rounds(
    space: Space, edges_per_node: int | None, rng: np.random.Generator
) -> list[list[Decision]]:
    """First the edges, then the nodes with too many inputs, of all choices side by side."""
    edges, nodes = [], []
    for name, choice in space.items():
        edges.append([(name, [int(e)]) for e in rng.permutation(len(choice.edges))])
        into: dict[int, list[int]] = {}
        for row, (_, target) in enumerate(choice.edges):
            into.setdefault(target, []).append(row)
        inputs = into.values() if edges_per_node is not None else ()
        crowded = [rows for rows in inputs if len(rows) > edges_per_node]
        nodes.append([(name, crowded[i]) for i in rng.permutation(len(crowded))])
    return [
        [queue[i] for queue in queues if i < len(queue)]
        for queues in (edges, nodes)
        for i in range(max(len(queue) for queue in queues))
    ]


def _decide(
    result: StageResult,
    gates: dict[str, np.ndarray],
    name: str,
    rows: list[int],
    criterion: str,
    edges_per_node: int | None,
) -> list[int]:
    """Writes one decision into `gates`; returns its edges."""
    if len(rows) == 1:
        (row,) = rows
        count = gates[name].shape[1]
        without = _copies(gates, name, count)
        without[name][np.arange(count), row, np.arange(count)] = 0
        gates[name][row] = np.eye(count)[np.argmax(_harm(result, without, criterion))]
        return rows
    remaining, dropped = list(rows), []
    while len(remaining) > edges_per_node:
        without = _copies(gates, name, len(remaining))
        without[name][np.arange(len(remaining)), remaining] = 0
        dropped.append(remaining.pop(int(np.argmin(_harm(result, without, criterion)))))
        gates[name][dropped[-1]] = 0
    return dropped


def _copies(gates: dict[str, np.ndarray], name: str, count: int) -> dict[str, np.ndarray]:
    return {kind: np.repeat(rows[None], count, 0) for kind, rows in gates.items()}


def _harm(result: StageResult, gates: dict[str, np.ndarray], criterion: str) -> np.ndarray:
    """The loss, or minus the accuracy, of the supernet at each of the gates, f32[n]."""
    accuracy, loss = result.evaluate(jax.tree.map(jnp.asarray, gates))
    return np.asarray(loss) if criterion == "loss" else -np.asarray(accuracy)


def _tuned(relaxation: Relaxation, tuning: Tuning, rounds: int, moves_arch: bool) -> Callable:
    """One method for all tuning stages: the optimiser's own count goes through them."""
    epochs = tuning.interval * (rounds - 1) + 1
    optimisers = tuning.optimisers

    def weights_only_search(net: Supernet, *, steps_per_epoch: int, **_) -> Search:
        length = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
        return weights_only(net, relaxation, **length, optimisers=optimisers)

    def weights_and_arch(net: Supernet, *, steps_per_epoch: int, **_) -> Search:
        rate = optimisers.arch_learning_rate
        rate = ARCH_LEARNING_RATE if rate is None else rate
        txs = transforms(optimisers._replace(arch_learning_rate=rate), epochs, steps_per_epoch)
        txs = txs._replace(arch_tx=masking.only_free(txs.arch_tx))
        return search.bilevel(net, relaxation, terms.cross_entropy(), txs)

    return weights_and_arch if moves_arch else weights_only_search


def _continued(state: SearchState, arch, *, restarts: bool) -> Callable[[SearchState], SearchState]:
    """`Stage.begin` of a stage that continues `state` with the decisions in `arch`."""

    def begin(fresh: SearchState) -> SearchState:
        continued = fresh._replace(arch=arch, weights=state.weights, stats=state.stats)
        if restarts:
            return continued
        return continued._replace(arch_opt=state.arch_opt, weight_opt=state.weight_opt)

    return begin


def _check_relaxation(relaxation: Relaxation, space: Space, state: SearchState) -> None:
    shapes = lambda tree: jax.tree.map(lambda leaf: leaf.shape, tree)
    expected = jax.eval_shape(lambda key: relaxation.init(key, space), jax.random.key(0))
    if shapes(state.arch) != shapes(expected):
        raise ValueError(
            "The search before the perturbation has an architecture of another relaxation: give "
            "the one that it searches with as `relaxation`."
        )


BLANK = entry.single_stage(
    "all candidates equally open: for selection by perturbation",
    blank,
    relaxation=samplers.uniform,
)
