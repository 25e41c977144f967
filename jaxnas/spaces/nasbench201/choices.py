"""The choice of NAS-Bench-201's cell."""

from collections.abc import Sequence

from jaxnas.core.types import NONE, Space
from jaxnas.spaces import choices

NASBENCH201_CANDIDATES = (NONE, "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


def nasbench201(candidates: Sequence[str] = NASBENCH201_CANDIDATES) -> Space:
    """The cell of NAS-Bench-201: one input, three nodes, the last is the output."""
    return {"cell": choices.uniform(choices.dag(1, 3), candidates)}
