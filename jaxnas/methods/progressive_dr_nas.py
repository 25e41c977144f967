"""DrNAS in stages: fewer candidates, more channels. https://arxiv.org/abs/2006.10355, section 4."""

import functools
from collections.abc import Callable
from typing import Any

from jaxnas.core import hypergrad, schedules, search
from jaxnas.core.gates import relax, shrink
from jaxnas.core.objectives import terms
from jaxnas.core.stages import Program, Selection, Stage, StageResult
from jaxnas.core.types import Relaxation, Search, SearchState, Space, Supernet
from jaxnas.methods import optimisers


def dirichlet_edges(space: Space) -> Relaxation:
    """Dirichlet draws times each edge's share of its node: DrNAS on partial channels."""
    return relax.edge_normalised(space, relax.dirichlet())


def stage_search(
    net: Supernet,
    *,
    epochs: int = 25,
    steps_per_epoch: int,
    relaxation: Callable[[Space], Relaxation] = dirichlet_edges,
    rest: int = 10,
    learning_rate: float = 0.1,
    min_learning_rate: float = 0.0,
    weight_decay: float = 3e-4,
    clip_norm: float = 5.0,
    arch_learning_rate: float = 6e-4,
    arch_weight_decay: float = 1e-3,
) -> Search:
    """First-order search by `relaxation` of the net's space, at rest for `rest` epochs.

    Raises ValueError for a rest that leaves no epoch, or an impossible learning rate or length.
    """
    schedules.check_warm_up(rest, epochs, "rest")
    rate = schedules.cosine_by_epoch(
        learning_rate, min_learning_rate, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    rule = hypergrad.first_order()
    return search.bilevel(
        net,
        relaxation(net.space),
        terms.cross_entropy(),
        hypergrad=hypergrad.after(rest * steps_per_epoch, rule) if rest else rule,
        **optimisers.adam_and_sgd(
            rate,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            arch_learning_rate=arch_learning_rate,
            arch_weight_decay=arch_weight_decay,
        ),
    )


def progressive_dr_nas(
    space: Space,
    *,
    widen: Callable[..., tuple[Any, Any]],
    epochs: tuple[int, ...] = (25, 25),
    partial: tuple[int, ...] = (6, 4),
    keep: tuple[int, ...] = (4,),
    rest: int = 10,
    seed: int,
    **settings: Any,
) -> Program:
    """A stage for each of `epochs`; candidates see a `partial`-th of the channels.

    After a stage the candidates with the lowest means are closed until `keep` remain on each
    edge; the next one goes on with the architecture and the weights, widened by
    `widen(old_space, space, old, new, seed)`, pairs of (weights, statistics):
    `net2wider.widen`. The optimisers start anew, with the momentum that the paper's code
    carries over left behind. Settings of the DARTS space (C=36, 20 cells, batches of 64; the
    paper's has no `none`) from xiangning-chen/DrNAS DARTS-space/train_search.py; on NAS-Bench-201
    `epochs=(50, 50)`, `partial=(4, 2)`, `keep=(3,)`, `rest=0`, rates 0.025 to 0.001 and 3e-4, and
    `relaxation=lambda space: relax.dirichlet()`. `settings`: those of `stage_search`. Raises
    ValueError where the numbers of stages differ, channels become fewer, candidates are kept that
    are not there, and for a rest that leaves no epoch.
    """
    counts = [next(iter(space.values())).shape[1], *keep]
    if not len(epochs) == len(partial) == len(counts):
        raise ValueError(
            f"{len(epochs)} stages have as many `partial`, and one `keep` fewer: not "
            f"{len(partial)} and {len(keep)}."
        )
    if any(after >= before or after < 1 for before, after in zip(counts, keep, strict=False)):
        raise ValueError(f"Every stage keeps fewer candidates than the one before: not {counts}.")
    if partial[-1] < 1 or any(
        after > before for before, after in zip(partial, partial[1:], strict=False)
    ):
        raise ValueError(
            f"Every stage sees as large a part of the channels or more: not {partial}."
        )
    for length in epochs:
        schedules.check_warm_up(rest, length, "rest")
    method = functools.partial(stage_search, rest=rest, **settings)

    def stages() -> Program:
        remaining, begin = space, None
        for number, (length, part) in enumerate(zip(epochs, partial, strict=True)):
            name, net = f"stage-{number + 1}", {"partial": part}
            done = yield Stage(name, remaining, length, method, net, begin)
            if number < len(keep):
                smaller, columns = shrink.top_candidates(remaining, done.gates, keep[number])
                into = functools.partial(widen, remaining, smaller, seed=seed)
                begin = functools.partial(_go_on, done, columns, into)
                remaining = smaller
        return Selection(remaining, done.gates)

    return stages()


def _go_on(done: StageResult, columns, widen, fresh: SearchState) -> SearchState:
    old = done.state
    weights, stats = widen(old=(old.weights, old.stats), new=(fresh.weights, fresh.stats))
    arch = shrink.take_candidates(old.arch, columns)
    return fresh._replace(arch=arch, weights=weights, stats=stats)
