"""Search spaces as data: which candidates may stand on which edges."""

from collections.abc import Sequence

from jaxnas.core.types import AUXILIARY_SKIP, Choice, Space


def dag(inputs: int, nodes: int) -> tuple[tuple[int, int], ...]:
    """Every edge into `nodes` nodes that follow `inputs` input nodes, ordered by target."""
    return tuple((s, t) for t in range(inputs, inputs + nodes) for s in range(t))


def uniform(edges: Sequence[tuple[int, int]], candidates: Sequence[str]) -> Choice:
    """The same candidates on every edge.

    Raises ValueError without edges or candidates, or where a candidate stands twice.
    """
    if not edges or not candidates:
        raise ValueError("A choice needs at least one edge and one candidate.")
    twice = [name for name in candidates if list(candidates).count(name) > 1]
    if twice:
        raise ValueError(f"The candidate {twice[0]!r} stands twice: name each once.")
    return Choice(tuple(edges), (tuple(candidates),) * len(edges))


def with_auxiliary_skip(space: Space) -> Space:
    """`space` with DARTS-'s auxiliary skip as the last candidate of every edge.

    https://arxiv.org/abs/2009.01027. Raises ValueError where it is there already.
    """
    if any(AUXILIARY_SKIP in row for choice in space.values() for row in choice.candidates):
        raise ValueError(f"The space has the candidate {AUXILIARY_SKIP!r} already.")
    extend = lambda choice: choice._replace(
        candidates=tuple((*row, AUXILIARY_SKIP) for row in choice.candidates)
    )
    return {name: extend(choice) for name, choice in space.items()}
