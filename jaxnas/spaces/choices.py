"""Search spaces as data: which candidates may stand on which edges."""

from collections.abc import Sequence

from jaxnas.core.types import AUXILIARY_SKIP, NONE, Choice, Space

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
NASBENCH201_CANDIDATES = (NONE, "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


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


def darts(nodes: int = 4, candidates: Sequence[str] = DARTS_CANDIDATES) -> Space:
    """Normal and reduction cell of DARTS: two inputs, `nodes` nodes, all edges between."""
    choice = uniform(dag(2, nodes), candidates)
    return {"normal": choice, "reduce": choice}


def darts_without_none(nodes: int = 4) -> Space:
    """DARTS without the candidate that gives zero: the space `s5` of DARTS-PT."""
    return darts(nodes, tuple(name for name in DARTS_CANDIDATES if name != NONE))


def s1() -> Space:
    """RobustDARTS S1: on each edge the two candidates that a DARTS search liked best.

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


def with_auxiliary_skip(space: Space) -> Space:
    """`space` with one more candidate on every edge, the last: DARTS-'s auxiliary skip.

    https://arxiv.org/abs/2009.01027. Raises ValueError where it is there already.
    """
    if any(AUXILIARY_SKIP in row for choice in space.values() for row in choice.candidates):
        raise ValueError(f"The space has the candidate {AUXILIARY_SKIP!r} already.")
    more = lambda choice: choice._replace(
        candidates=tuple((*row, AUXILIARY_SKIP) for row in choice.candidates)
    )
    return {name: more(choice) for name, choice in space.items()}


def hypercuboid(
    layers: int, widths: int, candidates: Sequence[str] = ("sep_conv_3x3", "max_pool_3x3")
) -> Space:
    """A grid of hyper-parameters: how wide each layer is, and which candidate leads to it.

    Choice `layer_l` has an edge (i, widths + j) from every width before the layer to every width
    after it; its gates are one softmax, `relax.joint_softmax`. sharpDARTS's hypercuboid,
    https://arxiv.org/abs/1903.09900. Raises ValueError for a grid without layers or widths.
    """
    if layers < 1 or widths < 1:
        raise ValueError(f"A grid has layers >= 1 and widths >= 1, not {layers} and {widths}.")
    edges = [(i, widths + j) for i in range(widths) for j in range(widths)]
    return {f"layer_{n}": uniform(edges, candidates) for n in range(layers)}


def transitions(grid: Space, widths: Sequence[int]) -> tuple[dict[str, int], ...]:
    """Of each layer of a `hypercuboid` its ways on: `op:from-to`, and where its gates, laid flat,
    have the gate of that.

    `none` leads nowhere, and the last layer to the last width alone. Raises ValueError for layers
    of another number of widths, and where all that an edge has is `none`.
    """
    found, count = [], len(widths)
    for layer, (key, choice) in enumerate(grid.items(), 1):
        if len(choice.edges) != count**2:
            raise ValueError(f"{key!r} is no layer of {count} widths.")
        ways = {}
        for e, ((i, j), names) in enumerate(zip(choice.edges, choice.candidates, strict=True)):
            taken = [o for o, op in enumerate(names) if op not in (NONE, AUXILIARY_SKIP)]
            if not taken:
                raise ValueError(f"An edge whose only candidate is {NONE!r} can keep nothing.")
            if layer < len(grid) or j == 2 * count - 1:
                written = f"{widths[i]}-{widths[j - count]}"
                ways |= {f"{names[o]}:{written}": e * len(names) + o for o in taken}
        found.append(ways)
    return tuple(found)


def as_chain(grid: Space, widths: Sequence[int]) -> Space:
    """The paths through a `hypercuboid` as a chain: one choice a layer, of how and how wide.

    Layer n is the edge (n, n + 1), whose candidates are its `transitions`; those of the last layer,
    which are fewer, stand in the choice `last`, all others in `grid`. Raises ValueError as
    `transitions`.
    """
    rows = [tuple(ways) for ways in transitions(grid, widths)]
    edges = tuple((n, n + 1) for n in range(len(rows)))
    found = {"grid": Choice(edges[:-1], tuple(rows[:-1])), "last": Choice(edges[-1:], (rows[-1],))}
    return {name: choice for name, choice in found.items() if choice.edges}


def nasbench201(candidates: Sequence[str] = NASBENCH201_CANDIDATES) -> Space:
    """The cell of NAS-Bench-201: one input, three nodes, the last is the output."""
    return {"cell": uniform(dag(1, 3), candidates)}


# Edges in order, "candidate+candidate" each, in the short names below.
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
    return Choice(dag(2, 4), pairs)
