"""The latency of Single-Path NAS: a differentiable polynomial of four measured times a layer.

https://arxiv.org/abs/1904.02877, dstamoulis/single-path-nas nas-search/singlepath_supernet.py.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp

from jaxnas.core.objectives.cost_terms import Costs
from jaxnas.core.types import Scalar, Space
from jaxnas.spaces import layers
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile.superkernel_gates import Indicators, sizes_of

# Milliseconds of a Pixel 1 outside the searched layers: stem, head, first and last block.
PIXEL1_FIXED_MS = 19.5999
OUTSIDE = 2  # layers of the published table that are not searched: the first and the last


class Times(NamedTuple):
    """Milliseconds of a layer's four candidates, in the order of the published table."""

    small_narrow: float  # choice 0: 3x3, expansion 3
    small_wide: float  # 1: 3x3, expansion 6
    large_narrow: float  # 2: 5x5, expansion 3
    large_wide: float  # 3: 5x5, expansion 6


LayerTimes = Mapping[int, Sequence[float]]  # layer -> the fields of its Times


def milliseconds(indicators: Indicators, times: Times) -> Scalar:
    """The paper's polynomial: exact for three candidates and the skip.

    The small and narrow candidate gets `large_narrow * small_wide / large_wide`; its own time is
    not used.
    """
    wide = times.large_wide - times.large_narrow
    large = indicators.keep * (times.large_narrow + indicators.widen * wide)
    share = times.small_wide / times.large_wide
    return large * share + large * (1 - share) * indicators.kernel


def costs(space: Space, times: LayerTimes) -> Costs:
    """The polynomial of each candidate; the latency is `sum(gates * costs)`, a skip costs 0.

    Layers of `times` are counted from 0, or from 1. Raises ValueError for a layer without times,
    for more layers than the chain's searched ones and OUTSIDE others, for other candidates, and
    where layers may be counted in both ways.
    """
    return _of_candidates(space, times, _as_polynomial)


def measured(space: Space, times: LayerTimes) -> Costs:
    """The measured times themselves. Raises as `costs` does."""
    return _of_candidates(space, times, lambda layer, large, wide: layer[2 * large + wide])


def _as_polynomial(times: Times, large: bool, wide: bool) -> float:
    return milliseconds(Indicators(float(large), 1.0, float(wide)), times)


def _of_candidates(
    space: Space, times: LayerTimes, cost: Callable[[Times, bool, bool], float]
) -> Costs:
    searched = sum(len(choice.edges) for choice in space.values())
    if len(times) > searched + OUTSIDE:
        raise ValueError(
            f"The table has {len(times)} layers, the chain searches {searched}: give a table of "
            "this chain, other --cells, or --target-ms in place of a table."
        )
    searched_layers = [layer for choice in space.values() for layer, _ in choice.edges]
    start = layers.first_number(times, searched_layers) if times else 0
    costs = {}
    for name, choice in space.items():
        rows = []
        for (layer, _), candidates in zip(choice.edges, choice.candidates, strict=True):
            if layer + start not in times:
                raise ValueError(f"The table has no layer {layer}: it is of another network.")
            sizes, row = sizes_of(candidates), []
            for candidate in candidates:
                if candidate == chains.SKIP:
                    row.append(0.0)
                    continue
                block = chains.block(candidate)
                large = block.kernel == sizes.kernels[1]
                wide = block.expansion == sizes.expansions[1]
                row.append(cost(Times(*times[layer + start]), large, wide))
            rows.append(row)
        costs[name] = jnp.array(rows)
    return costs
