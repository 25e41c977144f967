"""DrNAS in stages: fewer candidates, more channels. https://arxiv.org/abs/2006.10355, section 4."""

import functools
from collections.abc import Callable
from typing import Any

from jaxnas.core import hypergrad, schedules, search
from jaxnas.core.gates import relax, shrink
from jaxnas.core.objectives import terms
from jaxnas.core.stages import Program, Selection, Stage
from jaxnas.core.types import Relaxation, Search, SearchState, Space, Supernet
from jaxnas.methods import entry
from jaxnas.methods.entry import Context, Settings
from jaxnas.methods.optimisers import Optimisers, transforms

OPTIMISERS = Optimisers(learning_rate=0.1, min_learning_rate=0.0, arch_learning_rate=6e-4)


def dirichlet_edges(space: Space) -> Relaxation:
    """Dirichlet samples times the weight of their edge: DrNAS on partial channels."""
    return relax.edge_normalised(space, relax.dirichlet())


def stage_search(
    net: Supernet,
    *,
    epochs: int = 25,
    steps_per_epoch: int,
    relaxation: Callable[[Space], Relaxation] = dirichlet_edges,
    rest: int = 10,
    optimisers: Optimisers = OPTIMISERS,
) -> Search:
    """First-order search by `relaxation`; the architecture is constant for `rest` epochs.

    Raises ValueError unless rest < epochs, and for an invalid learning rate or length.
    """
    schedules.check_warm_up(rest, epochs, "rest")
    rule = hypergrad.first_order()
    return search.bilevel(
        net,
        relaxation(net.space),
        terms.cross_entropy(),
        transforms(optimisers, epochs, steps_per_epoch),
        hypergrad=hypergrad.after(rest * steps_per_epoch, rule) if rest else rule,
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
    relaxation: Callable[[Space], Relaxation] = dirichlet_edges,
    optimisers: Optimisers = OPTIMISERS,
) -> Program:
    """A stage for each of `epochs`; candidates see a `partial`-th of the channels.

    After a stage the candidates with the smallest expected gates are removed until `keep`
    remain on each edge; the next one goes on with the architecture and the weights, widened by
    `widen(old_space, space, old, new, seed)`, pairs of (weights, statistics): Net2Wider. The
    optimisers start anew, without the momentum that the paper's code carries over. Settings of
    the DARTS space (C=36, 20 cells, batches of 64; the paper's has no `none`) from
    xiangning-chen/DrNAS DARTS-space/train_search.py; on NAS-Bench-201 `epochs=(50, 50)`,
    `partial=(4, 2)`, `keep=(3,)`, `rest=0`, rates 0.025 to 0.001 and 3e-4, and
    `relaxation=lambda space: relax.dirichlet()`. Raises ValueError where the numbers of stages
    differ, channels become fewer, more candidates are kept than there are, and for a rest that
    leaves no epoch.
    """
    _check(space, epochs, partial, keep)
    for length in epochs:
        schedules.check_warm_up(rest, length, "rest")
    method = functools.partial(
        stage_search, relaxation=relaxation, rest=rest, optimisers=optimisers
    )

    def stages() -> Program:
        remaining, begin = space, None
        for number, (length, part) in enumerate(zip(epochs, partial, strict=True)):
            name, net = f"stage-{number + 1}", {"partial": part}
            result = yield Stage(name, remaining, length, method, net, begin)
            if number < len(keep):
                smaller, columns = shrink.top_candidates(remaining, result.gates, keep[number])
                into = functools.partial(widen, remaining, smaller, seed=seed)
                begin = functools.partial(_widened, result.state, columns, into)
                remaining = smaller
        return Selection(remaining, result.gates)

    return stages()


def _check(
    space: Space, epochs: tuple[int, ...], partial: tuple[int, ...], keep: tuple[int, ...]
) -> None:
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


def _widened(old: SearchState, columns, widen, fresh: SearchState) -> SearchState:
    weights, stats = widen(old=(old.weights, old.stats), new=(fresh.weights, fresh.stats))
    arch = shrink.take_candidates(old.arch, columns)
    return fresh._replace(arch=arch, weights=weights, stats=stats)


def _program(context: Context, settings: Settings) -> Program:
    nested = entry.nest(progressive_dr_nas, settings)
    widen = context.space.edits.widen
    return progressive_dr_nas(context.space.choices, widen=widen, seed=context.seed, **nested)


METHOD = entry.Method(
    "DrNAS, progressive: fewer candidates, wider",
    _program,
    entry.defaults(progressive_dr_nas),
    quick={"epochs": (6, 6), "rest": 2, "partial": (4, 2)},
    needs={"partial", "candidates"},
)
