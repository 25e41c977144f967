"""A cell with all its candidates on every edge."""

from collections.abc import Iterable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.core.types import NONE
from jaxnas.nets import count
from jaxnas.nets.mixed import edge_loop, edge_stacks, selected_edges
from jaxnas.nets.mixed.loop_body import LoopBody, Mixture
from jaxnas.nets.ops import Identity, Norm, OpFactory, Ops


class MixedEdges(nn.Module):
    """Adds the outputs of a loop's edges to the nodes: `sum_o gate_o op_o(source)`.

    The call takes (f32[edges, candidates] gates, nodes, sources), the latter two
    `[nodes, B, H, W, C]`; sources are None where the loop reads the nodes that it writes.
    DARTS, eq. 2, https://arxiv.org/abs/1806.09055. With partial channels an edge brings
    `shuffle([sum_o gate_o op_o(x_1), sum_o gate_o x_2])`, which is PC-DARTS's edge with `gate_o`
    for the product of its edge's and its candidate's weight (eqs. 2 and 4,
    https://arxiv.org/abs/1907.05737).
    """

    loop: edge_stacks.EdgeLoop
    candidates: tuple[tuple[str, OpFactory], ...]
    features: int
    stride: int
    norm: Norm
    mixture: Mixture

    @nn.compact
    def __call__(self, gates: jax.Array, nodes: jax.Array, sources: jax.Array | None) -> jax.Array:
        ops = self._ops()
        if self.is_initializing():
            self._create(ops, nodes if sources is None else sources)
            return nodes
        weights, stats = (self.variables.get(kind, {}) for kind in ("params", "stats"))
        # The identity costs nothing; sharing it would only store copies.
        is_per_edge = lambda name, op: name in weights or isinstance(op, Identity)
        body = LoopBody(
            tuple((name, op) for name, op in ops if is_per_edge(name, op)),
            tuple((name, op) for name, op in ops if not is_per_edge(name, op)),
            self.loop,
            self.mixture,
            self.stride,
        )
        mix = edge_loop.mix_all
        if self.mixture.execute != "all":
            mix = selected_edges.mix_selected
        nodes, new_stats = mix(body, weights, stats, gates, nodes, sources)
        if self.is_mutable_collection("stats"):
            for name, value in new_stats.items():
                self.put_variable("stats", name, value)
        return nodes

    @nn.nowrap
    def macs(self, gates: jax.Array, nodes: jax.Array, sources: jax.Array | None) -> int:
        """Multiply-accumulates for one image: of each candidate, on all edges that have it."""
        image = self._image(nodes if sources is None else sources)
        edges = {name: sum(c >= 0 for c in columns) for name, columns in self.loop.columns}
        return sum(edges[name] * count.module_macs(op, image) for name, op in self._ops())

    @nn.nowrap
    def _ops(self) -> list[tuple[str, nn.Module]]:
        """Modules without a parent: their weights are stacked, and they are static settings."""
        make, features = dict(self.candidates), self.features // self.mixture.partial
        return [
            (name, make[name](features, self.stride, self.norm).clone(parent=None))
            for name, _ in self.loop.columns
        ]

    @nn.nowrap
    def _image(self, sources: jax.Array) -> jax.ShapeDtypeStruct:
        """One input image of the candidates."""
        features = self.features // self.mixture.partial
        return jax.ShapeDtypeStruct((1, *sources.shape[2:-1], features), sources.dtype)

    def _create(self, ops: list[tuple[str, nn.Module]], sources: jax.Array) -> None:
        image = self._image(sources)
        sample = jnp.zeros(image.shape, image.dtype)
        columns = dict(self.loop.columns)
        for name, op in ops:
            rows = sum(c >= 0 for c in columns[name])
            if "params" not in jax.eval_shape(op.init, jax.random.key(0), sample):
                rows = len(set(self.loop.sources))
            keys = jax.random.split(self.make_rng("params"), rows)
            for kind, tree in jax.vmap(op.init, (0, None))(keys, sample).items():
                self.put_variable(kind, name, tree)


def op_factories(names: Iterable[str], ops: Ops) -> tuple[tuple[str, OpFactory], ...]:
    """(name, factory) of every named candidate but `none`.

    Raises ValueError for a name without an op.
    """
    missing = [n for n in names if n != NONE and n not in ops]
    if missing:
        raise ValueError(
            f"No operation is called {missing[0]!r}: choose among {', '.join(sorted(ops))}, "
            "or add yours to `candidates`."
        )
    return tuple((n, ops[n]) for n in names if n != NONE)
