"""DARTS-PT: an edge keeps the candidate whose removal hurts the supernet most.

Selection by perturbation, after whatever method. Wang et al. 2021,
https://arxiv.org/abs/2108.04392, ruocwang/darts-pt sota/cnn/projection.py.
"""

from collections.abc import Callable, Generator
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core import schedules, search
from jaxnas.core.gates import masking, relax, samplers
from jaxnas.core.objectives import terms
from jaxnas.core.stages import Program, Selection, Stage, StageResult
from jaxnas.core.types import Relaxation, Search, SearchState, Space, Supernet
from jaxnas.methods import optimisers
from jaxnas.methods.weights_only import weights_only
from jaxnas.spaces.choices import NONE


class Tuning(NamedTuple):
    """How the supernet recovers between two decisions; the learning rate is a tenth of DARTS's.

    Epochs after each round, and first-order DARTS's optimisers, started anew for all rounds
    together. The paper's code has constant rates on NAS-Bench-201: `min_learning_rate` equal to
    `learning_rate`. `arch_learning_rate` (None: 3e-4) is for edges that are not yet decided.
    """

    interval: int = 5
    learning_rate: float = 0.0025
    min_learning_rate: float = 0.001
    weight_decay: float = 3e-4
    clip_norm: float = 5.0
    arch_learning_rate: float | None = None
    arch_weight_decay: float = 1e-3


def blank(net: Supernet, *, epochs: int = 50, steps_per_epoch: int, **settings) -> Search:
    """Trains the weights with all candidates equally open: the search of blank DARTS-PT.

    `perturbation(one_stage(space, 50, blank), relaxation=samplers.uniform(space), ...)`.
    """
    relaxation = samplers.uniform(net.space)
    return weights_only(net, relaxation, epochs=epochs, steps_per_epoch=steps_per_epoch, **settings)


def perturbation(
    inner: Program,
    *,
    relaxation: Relaxation | None = None,
    tuning: Tuning | None = Tuning(),  # noqa: B008, a tuple of numbers
    criterion: Literal["accuracy", "loss"] = "accuracy",
    keep: int | None = 2,
    seed: int,
) -> Program:
    """`inner`, whose last supernet then decides edge by edge, in random order.

    Of an edge every candidate is removed in turn (its gate becomes 0, the others stay as they
    are); the one whose removal leaves the lowest accuracy, or the highest loss, is chosen. Then
    of each node with more than `keep` inputs those are dropped, one by one, whose removal hurts
    least; with `keep` None (NAS-Bench-201) none. A round decides one edge, or node, of every
    choice of the space; between rounds the supernet is tuned, None: never. Ties go to the
    candidate, or edge, listed first.

    `relaxation` (default: softmax) is what the last stage of `inner` searched with; edges not yet
    decided go on learning by it, first order. Where its architecture is empty the weights alone
    do (blank DARTS-PT). Differs from the code: dropped edges of a node stay dropped while its next
    one is chosen; the architecture's Adam starts anew as well; no last epoch after the last
    round. Raises ValueError for a bad setting, for a space with `none` where `keep` is given,
    and for a last stage whose architecture is not of `relaxation`.
    """
    if criterion not in ("accuracy", "loss"):
        raise ValueError(f"Removals are judged by 'accuracy' or 'loss', not by {criterion!r}.")
    if tuning is not None and tuning.interval < 1:
        raise ValueError(
            f"A tuning of {tuning.interval} epochs is none: give at least one, or no tuning."
        )
    if keep is not None and keep < 1:
        raise ValueError(f"A node keeps at least one input, not {keep}.")
    return _stages(inner, relaxation or relax.softmax(), tuning, criterion, keep, seed)


def _stages(
    inner: Program,
    relaxation: Relaxation,
    tuning: Tuning | None,
    criterion: str,
    keep: int | None,
    seed: int,
) -> Program:
    last, done = yield from _relayed(inner, keep)
    space = last.space
    _refuse_other(relaxation, space, done.state)
    moves_arch = bool(jax.tree.leaves(done.state.arch))
    if tuning is not None and tuning.arch_learning_rate is not None and not moves_arch:
        raise ValueError(
            "arch_learning_rate has no effect where the architecture is empty: leave it out."
        )
    kinds = masking.with_fixed_edges(relaxation)
    arch = kinds.init(jax.random.key(0), space) | {masking.FREE: done.state.arch}
    gates = {name: np.array(rows) for name, rows in done.gates.items()}
    rounds = _rounds(space, keep, np.random.default_rng(seed))
    method = tuning and _tuned(kinds, tuning, len(rounds), moves_arch)
    for number, decisions in enumerate(rounds):
        for name, rows in decisions:
            for row in _decide(done, gates, name, rows, criterion, keep):
                arch = masking.fix_edge(arch, name, row, gates[name][row])
        if method and number < len(rounds) - 1:
            begin = _going_on(done.state, arch, restarted=number == 0)
            label = f"tune-{number:02d}"
            done = yield Stage(label, space, tuning.interval, method, last.net, begin)
            arch = done.state.arch
            gates = {name: np.array(rows) for name, rows in done.gates.items()}
    return Selection(space, gates)


def _relayed(
    inner: Program, keep: int | None
) -> Generator[Stage, StageResult, tuple[Stage, StageResult]]:
    """Runs a program within another; gives its last stage and how that ended."""
    last = done = None
    while True:
        try:
            stage = inner.send(done)
        except StopIteration:
            return last, done
        names = {n for choice in stage.space.values() for row in choice.candidates for n in row}
        if keep is not None and NONE in names:
            raise ValueError(
                f"A perturbed edge could keep {NONE!r}, which no cell of pairs has: search a space "
                "without it (darts-no-none), or give no `keep`."
            )
        last = stage
        done = yield stage


# What is decided at once: a choice, and the edge (one row) or the node's inputs (several).
Decision = tuple[str, list[int]]


def _rounds(space: Space, keep: int | None, rng: np.random.Generator) -> list[list[Decision]]:
    """First the edges, then the nodes with too many inputs, of all choices side by side."""
    edges, nodes = [], []
    for name, choice in space.items():
        edges.append([(name, [int(e)]) for e in rng.permutation(len(choice.edges))])
        into: dict[int, list[int]] = {}
        for row, (_, target) in enumerate(choice.edges):
            into.setdefault(target, []).append(row)
        crowded = [rows for rows in into.values() if keep is not None and len(rows) > keep]
        nodes.append([(name, crowded[i]) for i in rng.permutation(len(crowded))])
    return [
        [queue[i] for queue in queues if i < len(queue)]
        for queues in (edges, nodes)
        for i in range(max(len(queue) for queue in queues))
    ]


def _decide(
    done: StageResult,
    gates: dict[str, np.ndarray],
    name: str,
    rows: list[int],
    criterion: str,
    keep: int | None,
) -> list[int]:
    """Writes one decision into `gates`; gives the edges it is about."""
    if len(rows) == 1:
        (row,) = rows
        count = gates[name].shape[1]
        without = _copies(gates, name, count)
        without[name][np.arange(count), row, np.arange(count)] = 0
        gates[name][row] = np.eye(count)[np.argmax(_harm(done, without, criterion))]
        return rows
    remaining, dropped = list(rows), []
    while len(remaining) > keep:
        without = _copies(gates, name, len(remaining))
        without[name][np.arange(len(remaining)), remaining] = 0
        dropped.append(remaining.pop(int(np.argmin(_harm(done, without, criterion)))))
        gates[name][dropped[-1]] = 0
    return dropped


def _copies(gates: dict[str, np.ndarray], name: str, count: int) -> dict[str, np.ndarray]:
    return {kind: np.repeat(rows[None], count, 0) for kind, rows in gates.items()}


def _harm(done: StageResult, gates: dict[str, np.ndarray], criterion: str) -> np.ndarray:
    """How bad the supernet is at each of the gates, f32[n]."""
    accuracy, loss = done.evaluate(jax.tree.map(jnp.asarray, gates))
    return np.asarray(loss) if criterion == "loss" else -np.asarray(accuracy)


def _tuned(kinds: Relaxation, tuning: Tuning, rounds: int, moves_arch: bool) -> Callable:
    """One method for all tuning stages: the optimiser's own count goes through them."""
    epochs = tuning.interval * (rounds - 1) + 1
    rates = (tuning.learning_rate, tuning.min_learning_rate)

    def weights_alone(net: Supernet, *, steps_per_epoch: int, **_) -> Search:
        return weights_only(
            net,
            kinds,
            epochs=epochs,
            steps_per_epoch=steps_per_epoch,
            learning_rate=rates[0],
            min_learning_rate=rates[1],
            weight_decay=tuning.weight_decay,
            clip_norm=tuning.clip_norm,
        )

    def both(net: Supernet, *, steps_per_epoch: int, **_) -> Search:
        rate = schedules.cosine_by_epoch(*rates, epochs=epochs, steps_per_epoch=steps_per_epoch)
        arch_rate = 3e-4 if tuning.arch_learning_rate is None else tuning.arch_learning_rate
        txs = optimisers.adam_and_sgd(
            rate,
            weight_decay=tuning.weight_decay,
            clip_norm=tuning.clip_norm,
            arch_learning_rate=arch_rate,
            arch_weight_decay=tuning.arch_weight_decay,
        )
        txs["arch_tx"] = masking.only_free(txs["arch_tx"])
        return search.bilevel(net, kinds, terms.cross_entropy(), **txs)

    return both if moves_arch else weights_alone


def _going_on(state: SearchState, arch, *, restarted: bool) -> Callable[[SearchState], SearchState]:
    """The beginning of a stage that goes on from `state`, with what has been decided since."""

    def begin(fresh: SearchState) -> SearchState:
        taken = fresh._replace(arch=arch, weights=state.weights, stats=state.stats)
        if restarted:
            return taken
        return taken._replace(arch_opt=state.arch_opt, weight_opt=state.weight_opt)

    return begin


def _refuse_other(relaxation: Relaxation, space: Space, state: SearchState) -> None:
    shapes = lambda tree: jax.tree.map(lambda leaf: leaf.shape, tree)
    expected = jax.eval_shape(lambda key: relaxation.init(key, space), jax.random.key(0))
    if shapes(state.arch) != shapes(expected):
        raise ValueError(
            "The search before the perturbation has an architecture of another relaxation: give "
            "the one that it searches with as `relaxation`."
        )
