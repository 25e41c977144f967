"""DARTS-: an auxiliary skip on every edge, faded out. https://arxiv.org/abs/2009.01027"""

import optax

from jaxnas.core import schedules, search, stages
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.stages import Program
from jaxnas.core.types import AUXILIARY_SKIP, Search, Supernet
from jaxnas.methods import entry
from jaxnas.methods.entry import Context, Settings
from jaxnas.methods.optimisers import Optimisers, transforms
from jaxnas.spaces import choices


def darts_minus(
    net: Supernet,
    *,
    epochs: int = 50,
    steps_per_epoch: int,
    optimisers: Optimisers = Optimisers(),
) -> Search:
    """DARTS, first order, on a supernet of `choices.with_auxiliary_skip(space)`.

    The added skip's gate falls in a line from 1 towards 0, epoch by epoch
    (Meituan-AutoML/DARTS- src/search); it has no logit and is never selected. Raises ValueError
    for another supernet, and for an impossible learning rate or length.
    """
    last = {row[-1] for choice in net.space.values() for row in choice.candidates}
    if last != {AUXILIARY_SKIP}:
        raise ValueError(
            f"DARTS- needs the candidate {AUXILIARY_SKIP!r} last on every edge: "
            "make the supernet of choices.with_auxiliary_skip(...)."
        )
    fading = schedules.per_epoch(optax.linear_schedule(1.0, 0.0, epochs), steps_per_epoch)
    return search.bilevel(
        net,
        relax.with_auxiliary(relax.softmax(), fading),
        terms.cross_entropy(),
        transforms(optimisers, epochs, steps_per_epoch),
    )


def _program(context: Context, settings: Settings) -> Program:
    rest = {k: v for k, v in settings.items() if k != "epochs"}
    return stages.one_stage(
        choices.with_auxiliary_skip(context.space.choices),
        settings["epochs"],
        entry.bind(darts_minus, context, rest),
        {"candidates": context.space.edits.auxiliary_skip},
    )


METHOD = entry.Method(
    "DARTS-: an auxiliary skip that fades",
    _program,
    entry.defaults(darts_minus),
    needs={"candidates"},
)
