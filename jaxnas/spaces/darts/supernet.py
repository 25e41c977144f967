"""The DARTS search network: cells of mixed edges between a stem and a classifier.

https://arxiv.org/abs/1806.09055, quark0/darts cnn/model_search.py.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import Choice, Space, Supernet
from jaxnas.nets import batch_norm, functional, ops, stems
from jaxnas.nets.mixed import edge_stacks, loop_body, mixed_edges
from jaxnas.spaces.darts import choices as spaces

INPUTS = 2  # of a cell: the outputs of the two cells before it


class SearchCellBody(nn.Module):
    """A search cell after its input operations: from `[2, B, H, W, features]` on."""

    choice: Choice
    candidates: tuple[tuple[str, ops.OpFactory], ...]
    features: int
    stride: int
    norm: ops.Norm
    mixture: loop_body.Mixture

    @nn.compact
    def __call__(self, inputs: jax.Array, gates: jax.Array) -> jax.Array:
        return self.inside(inputs, gates)

    def inside(self, inputs: jax.Array, gates: jax.Array) -> jax.Array:
        _, batch, *size, _ = inputs.shape
        count = len({target for _, target in self.choice.edges})
        size = [-(-n // self.stride) for n in size]
        loops = edge_stacks.loops_of_cell(self.choice, self.stride > 1)
        if self.stride == 1:
            nodes = jnp.concatenate([inputs, jnp.zeros((count, *inputs.shape[1:]), inputs.dtype)])
            nodes = self._edges("edges", loops["edges"], 1)(gates, nodes, None)
        else:
            # Edges that leave the two inputs reduce; those between nodes do not.
            nodes = jnp.zeros((INPUTS + count, batch, *size, self.features), inputs.dtype)
            loop = loops["edges_from_inputs"]
            nodes = self._edges("edges_from_inputs", loop, self.stride)(gates, nodes, inputs)
            if "edges" in loops:
                nodes = self._edges("edges", loops["edges"], 1)(gates, nodes, None)
        return jnp.concatenate(list(nodes[INPUTS:]), -1)

    def _edges(self, name: str, loop: edge_stacks.EdgeLoop, stride: int) -> nn.Module:
        settings = (self.candidates, self.features, stride, self.norm, self.mixture)
        return mixed_edges.MixedEdges(loop, *settings, name=name)


class DARTSSearchCell(SearchCellBody):
    """A cell: its nodes are sums over mixed edges, its output their concatenation."""

    after_reduction: bool = False

    @nn.compact
    def __call__(self, before_last: jax.Array, last: jax.Array, gates: jax.Array) -> jax.Array:
        make = ops.FactorizedReduce if self.after_reduction else ops.ReluConvBN
        before_last = make(self.features, self.norm, name="input_0")(before_last)
        last = ops.ReluConvBN(self.features, self.norm, name="input_1")(last)
        return self.inside(jnp.stack([before_last, last]), gates)


class CellLoop(NamedTuple):
    """Cells between two reductions, as one loop: XLA compiles one body for all.

    Only their input operations differ: the two cells before the first one have other widths, so
    that three of the inputs are computed before the loop.
    """

    settings: tuple  # of each cell's body
    after_reduction: bool  # whether the first cell's older input is to be halved

    def run(self, weights: Sequence, stats: Sequence, before_last, last, gates):
        """((output of the last but one, of the last), statistics of each cell)."""
        _, _, features, _, norm, _ = self.settings
        fit, halve = (make(features, norm) for make in (ops.ReluConvBN, ops.FactorizedReduce))
        oldest, oldest_stats = _apply_input(
            halve if self.after_reduction else fit, weights[0], stats[0], "input_0", before_last
        )
        older, older_stats = _apply_input(fit, weights[1], stats[1], "input_0", last)
        newest, newest_stats = _apply_input(fit, weights[0], stats[0], "input_1", last)
        body = SearchCellBody(*self.settings)
        # Rows that the loop does not use repeat one of the right shape.
        rows = lambda name, tree, start: _stack([cell[name] for cell in tree[start:]], len(tree))
        per_cell = {
            "number": np.arange(len(weights)),
            "fitted": jnp.stack([oldest, older] + [older] * (len(weights) - INPUTS)),
            "input_0": [rows("input_0", t, min(INPUTS, len(t) - 1)) for t in (weights, stats)],
            "input_1": [rows("input_1", t, 1) for t in (weights, stats)],
            "inside": [_stack([_body(cell) for cell in t], len(t)) for t in (weights, stats)],
        }  # fmt: skip

        def apply_fit(variables, x):
            y, new = fit.apply(_variables(*variables), x, mutable=["stats"])
            return y, new["stats"]

        def step(outputs, cell):
            older, newer = outputs
            if len(weights) > INPUTS:
                first, stats_0 = jax.lax.cond(
                    cell["number"] < INPUTS,
                    lambda variables, x: (cell["fitted"], variables[1]),
                    apply_fit, cell["input_0"], older,
                )  # fmt: skip
            else:
                first, stats_0 = cell["fitted"], cell["input_0"][1]
            second, stats_1 = jax.lax.cond(
                cell["number"] < 1, lambda variables, x: (newest, variables[1]), apply_fit,
                cell["input_1"], newer,
            )  # fmt: skip
            variables = _variables(*cell["inside"])
            output, new = body.apply(
                variables, jnp.stack([first, second]), gates, mutable=["stats"]
            )
            return (newer, output), {"input_0": stats_0, "input_1": stats_1} | new["stats"]

        count = len({target for _, target in self.settings[0].edges})
        blank = jnp.zeros((*newest.shape[:-1], count * features), newest.dtype)
        outputs, looped = jax.lax.scan(step, (blank, blank), per_cell)
        new_stats = [jax.tree.map(lambda leaf, i=i: leaf[i], looped) for i in range(len(weights))]
        new_stats[0] |= {"input_0": oldest_stats, "input_1": newest_stats}
        new_stats[1] |= {"input_0": older_stats}
        return outputs, new_stats


def _variables(weights, stats):
    return {"params": weights, "stats": stats}


def _apply_input(module: nn.Module, weights, stats, name: str, x: jax.Array):
    y, new = module.apply(_variables(weights[name], stats[name]), x, mutable=["stats"])
    return y, new["stats"]


def _body(cell):
    return {name: tree for name, tree in cell.items() if not name.startswith("input_")}


def _stack(trees: Sequence, length: int):
    """Leaves stacked, the first one repeated in front up to `length`."""
    trees = [trees[0]] * (length - len(trees)) + list(trees)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


class DARTSSearchNetwork(nn.Module):
    """Stem, cells, global mean, linear classifier. Calls take (images, gates)."""

    space: tuple[tuple[str, Choice], ...]
    candidates: tuple[tuple[str, ops.OpFactory], ...]
    features: int
    cells: int
    classes: int
    reductions: tuple[int, ...]
    stem_multiplier: int
    imagenet: bool  # its stems
    norms: batch_norm.Norms
    mixture: loop_body.Mixture

    @nn.compact
    def __call__(self, x: jax.Array, gates) -> jax.Array:
        norm, affine = self.norms.inside, self.norms.outside
        features = self.features
        width = self.stem_multiplier * features
        if self.imagenet:
            before_last = stems.HalvingStem(width, affine, name="stem_0")(x)
            last = stems.SecondStem(width, affine, name="stem_1")(before_last)
        else:
            before_last = last = stems.Stem(width, affine, name="stem")(x)
        # The two inputs of ImageNet's first cell differ in size as those after a reduction do.
        halved = {r + 1 for r in self.reductions} | ({0} if self.imagenet else set())
        for run in _runs(self.cells, self.reductions):
            kind = "reduce" if run[0] in self.reductions else "normal"
            features *= 2 if kind == "reduce" else 1
            choice, stride = dict(self.space)[kind], 2 if kind == "reduce" else 1
            settings = (choice, self.candidates, features, stride, norm, self.mixture)
            after_reduction = run[0] in halved
            if len(run) > 1 and not self.is_initializing():
                names = [f"cell_{i}" for i in run]
                weights, stats = (
                    [self.variables[c][name] for name in names] for c in ("params", "stats")
                )
                (before_last, last), new_stats = CellLoop(settings, after_reduction).run(
                    weights, stats, before_last, last, gates[kind]
                )
                if self.is_mutable_collection("stats"):
                    for name, value in zip(names, new_stats, strict=True):
                        self.put_variable("stats", name, value)
                continue
            for i in run:
                cell = DARTSSearchCell(*settings, i in halved, name=f"cell_{i}")
                before_last, last = last, cell(before_last, last, gates[kind])
        return ops.classifier(self.classes, last)


def _runs(cells: int, reductions: Sequence[int]) -> list[list[int]]:
    """The cells in order, grouped: each reduction alone, those between two together."""
    stage = lambda i: (sum(r < i for r in reductions), i in reductions)
    return [list(run) for _, run in itertools.groupby(range(cells), stage)]


def supernet(
    space: Space | None = None,
    *,
    features: int = 16,
    cells: int = 8,
    classes: int = 10,
    reductions: Sequence[int] | None = None,
    stem_multiplier: int = 3,
    imagenet: bool = False,
    candidates: ops.Ops = ops.DARTS,
    **mixture: Any,
) -> Supernet:
    """The search network of `space` (default: DARTS's own), for images of any size.

    Cells in `reductions` (default: `cells // 3` and `2 * cells // 3`) halve the size and double
    the features. `mixture`: `partial`, `execute` and `remat`, the fields of `loop_body.Mixture`.
    Normalisation inside cells is not affine, in the stem it is, whose features are
    `stem_multiplier` times those of the first cells. `imagenet`: ImageNet's stems, which divide the
    size by 8, in place of CIFAR's. Raises ValueError for unknown candidates, fewer than one cell, a
    reduction outside the cells, a `partial` that does not divide `features`, and at `init` for
    images that the reductions would shrink below one pixel.
    """
    space = spaces.darts() if space is None else space
    reductions = functional.default_reductions(cells) if reductions is None else tuple(reductions)
    functional.check_sizes(cells, features, classes)
    mixture_settings = loop_body.Mixture(**mixture)
    loop_body.check_mixture(mixture_settings, features)
    functional.check_reductions(reductions, cells)
    names = dict.fromkeys(n for c in space.values() for row in c.candidates for n in row)
    make = functools.partial(
        DARTSSearchNetwork,
        tuple(space.items()),
        mixed_edges.op_factories(names, candidates),
        features,
        cells,
        classes,
        reductions,
        stem_multiplier,
        imagenet,
        mixture=mixture_settings,
    )
    check_image = functools.partial(
        stems.check_image, halvings=len(set(reductions)), imagenet=imagenet
    )
    return functional.supernet(space, make, affine=False, check_image=check_image)
