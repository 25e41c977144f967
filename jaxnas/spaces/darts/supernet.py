"""The DARTS search network: cells of mixed edges between a stem and a classifier.

https://arxiv.org/abs/1806.09055, quark0/darts cnn/model_search.py.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import Choice, Space, Supernet
from jaxnas.nets import batch_norm, edge_stacks, functional, mixed_edges, ops, stems
from jaxnas.spaces import choices as spaces

INPUTS = 2  # of a cell: the outputs of the two cells before it


class Inside(nn.Module):
    """A cell from its two fitted inputs on, `[2, B, H, W, features]`."""

    choice: Choice
    candidates: tuple[tuple[str, ops.OpFactory], ...]
    features: int
    stride: int
    norm: ops.Norm
    mixture: mixed_edges.Mixture

    @nn.compact
    def __call__(self, inputs: jax.Array, gates: jax.Array) -> jax.Array:
        return self.inside(inputs, gates)

    def inside(self, inputs: jax.Array, gates: jax.Array) -> jax.Array:
        _, batch, *size, _ = inputs.shape
        count = len({target for _, target in self.choice.edges})
        size = [-(-n // self.stride) for n in size]
        if self.stride == 1:
            nodes = jnp.concatenate([inputs, jnp.zeros((count, *inputs.shape[1:]), inputs.dtype)])
            nodes = self._edges("edges", self.choice.edges, 1)(gates, nodes, None)
        else:
            # Edges that leave the two inputs reduce; those between nodes do not.
            outer = [e for e in self.choice.edges if e[0] < INPUTS]
            inner = [e for e in self.choice.edges if e[0] >= INPUTS]
            nodes = jnp.zeros((INPUTS + count, batch, *size, self.features), inputs.dtype)
            nodes = self._edges("edges_from_inputs", outer, self.stride)(gates, nodes, inputs)
            nodes = self._edges("edges", inner, 1)(gates, nodes, None) if inner else nodes
        return jnp.concatenate(list(nodes[INPUTS:]), -1)

    def _edges(self, name: str, edges: Sequence[tuple[int, int]], stride: int) -> nn.Module:
        rows = tuple(self.choice.edges.index(e) for e in edges)
        loop = edge_stacks.edge_loop(self.choice, rows)
        settings = (self.candidates, self.features, stride, self.norm, self.mixture)
        return mixed_edges.MixedEdges(loop, *settings, name=name)


class SearchCell(Inside):
    """One cell: its nodes are sums over mixed edges, its output their concatenation."""

    after_reduction: bool = False

    @nn.compact
    def __call__(self, before_last: jax.Array, last: jax.Array, gates: jax.Array) -> jax.Array:
        fit = ops.FactorizedReduce if self.after_reduction else ops.ReluConvBN
        before_last = fit(self.features, self.norm, name="input_0")(before_last)
        last = ops.ReluConvBN(self.features, self.norm, name="input_1")(last)
        return self.inside(jnp.stack([before_last, last]), gates)


class EqualCells(NamedTuple):
    """Cells between two reductions, as one loop: XLA compiles one body for all.

    Only what fits their inputs differs: the two cells before the first one have other widths,
    so that three of the fitted inputs are made before the loop.
    """

    settings: tuple  # of each cell's inside
    after_reduction: bool  # whether the first cell's older input is to be halved

    def run(self, weights: Sequence, stats: Sequence, before_last, last, gates):
        """((output of the last but one, of the last), statistics of each cell)."""
        _, _, features, _, norm, _ = self.settings
        fitted, halved = (make(features, norm) for make in (ops.ReluConvBN, ops.FactorizedReduce))
        oldest, moved_oldest = _apply(
            halved if self.after_reduction else fitted, weights[0], stats[0], "input_0", before_last
        )
        older, moved_older = _apply(fitted, weights[1], stats[1], "input_0", last)
        newest, moved_newest = _apply(fitted, weights[0], stats[0], "input_1", last)
        inside = Inside(*self.settings)
        # Rows that the loop does not look at repeat one of the right shape.
        rows = lambda name, tree, start: _stack([cell[name] for cell in tree[start:]], len(tree))
        per_cell = {
            "number": np.arange(len(weights)),
            "given": jnp.stack([oldest, older] + [older] * (len(weights) - INPUTS)),
            "input_0": [rows("input_0", t, min(INPUTS, len(t) - 1)) for t in (weights, stats)],
            "input_1": [rows("input_1", t, 1) for t in (weights, stats)],
            "inside": [_stack([_inner(cell) for cell in t], len(t)) for t in (weights, stats)],
        }  # fmt: skip

        def fit(variables, x):
            y, moved = fitted.apply(_variables(*variables), x, mutable=["stats"])
            return y, moved["stats"]

        def step(outputs, cell):
            older, newer = outputs
            if len(weights) > INPUTS:
                first, moved_0 = jax.lax.cond(
                    cell["number"] < INPUTS,
                    lambda variables, x: (cell["given"], variables[1]),
                    fit, cell["input_0"], older,
                )  # fmt: skip
            else:
                first, moved_0 = cell["given"], cell["input_0"][1]
            second, moved_1 = jax.lax.cond(
                cell["number"] < 1, lambda variables, x: (newest, variables[1]), fit,
                cell["input_1"], newer,
            )  # fmt: skip
            variables = _variables(*cell["inside"])
            output, moved = inside.apply(
                variables, jnp.stack([first, second]), gates, mutable=["stats"]
            )
            moved = {"input_0": moved_0, "input_1": moved_1} | moved["stats"]
            return (newer, output), moved

        count = len({target for _, target in self.settings[0].edges})
        blank = jnp.zeros((*newest.shape[:-1], count * features), newest.dtype)
        outputs, moved = jax.lax.scan(step, (blank, blank), per_cell)
        after = [jax.tree.map(lambda leaf, i=i: leaf[i], moved) for i in range(len(weights))]
        after[0] |= {"input_0": moved_oldest, "input_1": moved_newest}
        after[1] |= {"input_0": moved_older}
        return outputs, after


def _variables(weights, stats):
    return {"params": weights, "stats": stats}


def _apply(module: nn.Module, weights, stats, name: str, x: jax.Array):
    y, moved = module.apply(_variables(weights[name], stats[name]), x, mutable=["stats"])
    return y, moved["stats"]


def _inner(cell):
    return {name: tree for name, tree in cell.items() if not name.startswith("input_")}


def _stack(trees: Sequence, length: int):
    """Leaves stacked, the first one repeated in front up to `length`."""
    trees = [trees[0]] * (length - len(trees)) + list(trees)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


class SearchNetwork(nn.Module):
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
    mixture: mixed_edges.Mixture

    @nn.compact
    def __call__(self, x: jax.Array, gates) -> jax.Array:
        norm, affine = self.norms.inside, self.norms.outside
        features = self.features
        wide = self.stem_multiplier * features
        if self.imagenet:
            before_last = stems.HalvingStem(wide, affine, name="stem_0")(x)
            last = stems.SecondStem(wide, affine, name="stem_1")(before_last)
        else:
            before_last = last = stems.Stem(wide, affine, name="stem")(x)
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
                equal = EqualCells(settings, after_reduction)
                (before_last, last), moved = equal.run(
                    weights, stats, before_last, last, gates[kind]
                )
                if self.is_mutable_collection("stats"):
                    for name, value in zip(names, moved, strict=True):
                        self.put_variable("stats", name, value)
                continue
            for i in run:
                cell = SearchCell(*settings, i in halved, name=f"cell_{i}")
                before_last, last = last, cell(before_last, last, gates[kind])
        return ops.classifier(self.classes, last)


def _runs(cells: int, reductions: Sequence[int]) -> list[list[int]]:
    """The cells in order, each reduction by itself, those between them together."""
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
    partial: int = 1,
    execute: mixed_edges.Execute = "all",
    remat: bool = True,
) -> Supernet:
    """The search network of `space` (default: DARTS's own), for images of any size.

    Cells in `reductions` (default: `cells // 3` and `2 * cells // 3`) halve the size and double
    the features. `partial` and `execute`: see `mixed_edges.Mixture`. `remat` recomputes an edge in
    its backward pass instead of keeping what is inside; the values are the same. Normalisation
    inside cells is not affine, in the stem it is, whose features are `stem_multiplier` times those
    of the first cells. `imagenet`: ImageNet's stems, which divide the size by 8, in the place of
    CIFAR's. Raises ValueError for unknown candidates, fewer than one cell, a reduction outside the
    cells, a `partial` that does not divide `features`, and at `init` for images that the reductions
    would shrink below one pixel.
    """
    space = spaces.darts() if space is None else space
    reductions = functional.default_reductions(cells) if reductions is None else tuple(reductions)
    functional.check_sizes(cells, features, classes)
    mixture = mixed_edges.Mixture(partial, execute, remat)
    mixed_edges.check_mixture(mixture, features)
    functional.check_reductions(reductions, cells)
    names = dict.fromkeys(n for c in space.values() for row in c.candidates for n in row)
    make = functools.partial(
        SearchNetwork,
        tuple(space.items()),
        mixed_edges.op_factories(names, candidates),
        features,
        cells,
        classes,
        reductions,
        stem_multiplier,
        imagenet,
        mixture=mixture,
    )
    check_image = functools.partial(
        stems.check_image, halvings=len(set(reductions)), imagenet=imagenet
    )
    return functional.supernet(space, make, affine=False, check_image=check_image)
