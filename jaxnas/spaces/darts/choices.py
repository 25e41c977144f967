"""The choices of DARTS's cells: RobustDARTS's S1 to S4 and sharpDARTS's among them."""

from collections.abc import Sequence

from jaxnas.core.types import NONE, Choice, Space
from jaxnas.spaces import choices

DARTS_CANDIDATES = (
    NONE,
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)


SHARP_CANDIDATES = (
    NONE,
    "max_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "dil_conv_3x3",
    "flood_conv_3x3",
    "dil_flood_conv_3x3",
    "choke_conv_3x3",
    "dil_choke_conv_3x3",
)


def darts(nodes: int = 4, candidates: Sequence[str] = DARTS_CANDIDATES) -> Space:
    """Normal and reduction cell of DARTS: two inputs, `nodes` nodes, all edges between."""
    choice = choices.uniform(choices.dag(2, nodes), candidates)
    return {"normal": choice, "reduce": choice}


def darts_without_none(nodes: int = 4) -> Space:
    """DARTS without the candidate that gives zero: the space `s5` of DARTS-PT."""
    return darts(nodes, tuple(name for name in DARTS_CANDIDATES if name != NONE))


def s1() -> Space:
    """RobustDARTS S1: on each edge the two best candidates of a DARTS search.

    Zela et al. 2020, https://arxiv.org/abs/1909.09656, src/search/spaces.py.
    """
    return {"normal": _paired(S1_NORMAL), "reduce": _paired(S1_REDUCE)}


def s2() -> Space:
    """RobustDARTS S2: skip or separable convolution."""
    return darts(candidates=("skip_connect", "sep_conv_3x3"))


def s3() -> Space:
    """RobustDARTS S3: nothing, skip or separable convolution."""
    return darts(candidates=(NONE, "skip_connect", "sep_conv_3x3"))


def s4() -> Space:
    """RobustDARTS S4: noise or separable convolution."""
    return darts(candidates=("noise", "sep_conv_3x3"))


def sharp(nodes: int = 4) -> Space:
    """DARTS's cells with sharpDARTS's candidates, for a supernet of `sharp_ops.OPS`.

    https://arxiv.org/abs/1903.09900, `PRIMITIVES` in ahundt/sharpDARTS cnn/genotypes.py.
    """
    return darts(nodes, SHARP_CANDIDATES)


# RobustDARTS S1: edges in order, "candidate+candidate" each, in short names.
S1_NORMAL = """skip+dil3 skip+dil5 skip+dil5 skip+sep3 skip+dil3 max+skip skip+sep3 skip+sep3
    skip+dil3 skip+sep3 max+skip skip+dil3 dil3+dil5 dil3+dil5"""
S1_REDUCE = """max+avg max+dil3 max+avg max+avg skip+dil5 max+avg max+sep3 skip+dil3
    skip+dil5 max+avg max+avg skip+dil5 skip+dil5 skip+dil5"""
SHORT = {
    "max": "max_pool_3x3",
    "avg": "avg_pool_3x3",
    "skip": "skip_connect",
    "sep3": "sep_conv_3x3",
    "dil3": "dil_conv_3x3",
    "dil5": "dil_conv_5x5",
}


def _paired(text: str) -> Choice:
    pairs = tuple(tuple(SHORT[short] for short in pair.split("+")) for pair in text.split())
    return Choice(choices.dag(2, 4), pairs)
