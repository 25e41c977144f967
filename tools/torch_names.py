"""Where each leaf of our trees stands in the original PyTorch modules."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxnas.core.types import Space
from jaxnas.nets.mixed import edge_stacks
from jaxnas.spaces import genotype as genotypes

Path = tuple[str, ...]
Names = Callable[[Path], tuple[str, ...]]  # one name, or one a row of a stack

LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
RELU_CONV = {"pointwise": "op.1", "norm": "op.2"}
REDUCE = {"even": "conv_1", "odd": "conv_2", "norm": "bn"}
OPS = {
    "sep_conv": {
        "depthwise_0": "op.1",
        "pointwise_0": "op.2",
        "norm_0": "op.3",
        "depthwise_1": "op.5",
        "pointwise_1": "op.6",
        "norm_1": "op.7",
    },
    "dil_conv": {"depthwise": "op.1", "pointwise": "op.2", "norm": "op.3"},
    "skip_con": REDUCE,
    "max_pool": {"norm": "1"},
    "avg_pool": {"norm": "1"},
    "conv_7x1": {"wide": "1", "tall": "2", "norm": "3"},
}
PLAIN = {
    ("stem", "convolution"): "stem.0",
    ("stem", "norm"): "stem.1",
    ("stem_0", "convolution_0"): "stem0.0",
    ("stem_0", "norm_0"): "stem0.1",
    ("stem_0", "convolution_1"): "stem0.3",
    ("stem_0", "norm_1"): "stem0.4",
    ("stem_1", "convolution"): "stem1.1",
    ("stem_1", "norm"): "stem1.2",
    ("classifier",): "classifier",
    ("auxiliary", "convolution_0"): "auxiliary_head.features.2",
    ("auxiliary", "norm_0"): "auxiliary_head.features.3",
    ("auxiliary", "convolution_1"): "auxiliary_head.features.5",
    ("auxiliary", "norm_1"): "auxiliary_head.features.6",
    ("auxiliary", "classifier"): "auxiliary_head.classifier",
}


def of_supernet(space: Space, reductions: Sequence[int]) -> Names:
    """Names in quark0/darts cnn/model_search.py; edges of a loop are stacked in its order."""

    def edges(i: int, loop: str, op: str, rest: Path) -> tuple[str, ...]:
        choice = space["reduce" if i in reductions else "normal"]
        rows = edge_stacks.loops_of_cell(choice, i in reductions)[loop]
        shared = op.endswith("_pool_3x3")  # a row a source, else a row an edge
        first = [s not in rows.sources[:n] for n, s in enumerate(rows.sources)]
        columns = dict(rows.columns)[op]
        return tuple(
            f"cells.{i}._ops.{edge}._ops.{column}.{_inside(op, rest)}"
            for edge, column, is_first in zip(rows.edges, columns, first, strict=True)
            if column >= 0 and (is_first or not shared)
        )

    def names(path: Path) -> tuple[str, ...]:
        if not path[0].startswith("cell_"):
            return (_plain(path),)
        i = int(path[0].removeprefix("cell_"))
        if path[1].startswith("input_"):
            return (_preprocess(i, path, i - 1 in reductions),)
        return edges(i, path[1], path[2], path[3:])

    return names


def of_derived(
    genotype: genotypes.Genotype, reductions: Sequence[int], *, imagenet: bool = False
) -> Names:
    """Names in quark0/darts cnn/model.py; edges are numbered as the genotype lists them."""

    def names(path: Path) -> tuple[str, ...]:
        if not path[0].startswith("cell_"):
            return (_plain(path),)
        i = int(path[0].removeprefix("cell_"))
        if path[1].startswith("input_"):
            return (_preprocess(i, path, i - 1 in reductions or (imagenet and i == 0)),)
        edge = int(path[1].removeprefix("edge_"))
        cell = genotype.cells["reduce" if i in reductions else "normal"]
        return (f"cells.{i}._ops.{edge}.{_inside(cell.edges[edge][2], path[2:])}",)

    return names


def read(values: Mapping[str, np.ndarray], prefix: str, template: Any, names: Names) -> Any:
    """The tree that `values` hold under `prefix`, in our layout and of `template`'s shapes.

    Raises ValueError for an array that is missing or has another shape.
    """

    def leaf(path, expected):
        shape = expected.shape[1:] if _is_stack(path) else expected.shape
        found = []
        for name in names(tuple(key.key for key in path)):
            array = _ours(values, f"{prefix}/{name}")
            if array.size != np.prod(shape, dtype=int) or array.shape[-1:] != shape[-1:]:
                raise ValueError(f"{prefix}/{name} is {array.shape} in our order, not {shape}.")
            found.append(array.reshape(shape))
        return np.stack(found) if _is_stack(path) else found[0]

    return jax.tree_util.tree_map_with_path(leaf, template)


def rows(tree: Any, names: Names) -> Mapping[str, np.ndarray]:
    """Original name -> our array, stacks taken apart."""
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        keys = tuple(key.key for key in path)
        split = leaf if _is_stack(path) else [leaf]
        found |= dict(zip(names(keys), split, strict=True))
    return found


def _is_stack(path) -> bool:
    return len(path) > 1 and path[1].key in ("edges", "edges_from_inputs")


def _ours(values: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in values:
        raise ValueError(f"The array {name} is missing.")
    array = values[name]
    return array.transpose(*range(2, array.ndim), 1, 0) if array.ndim in (2, 4) else array


def _plain(path: Path) -> str:
    return f"{PLAIN[path[:-1]]}.{LEAVES[path[-1]]}"


def _preprocess(i: int, path: Path, reduces: bool) -> str:
    which = path[1].removeprefix("input_")
    table = REDUCE if reduces and which == "0" else RELU_CONV
    return f"cells.{i}.preprocess{which}.{table[path[2]]}.{LEAVES[path[3]]}"


def _inside(op: str, rest: Path) -> str:
    return f"{OPS[op[:8]][rest[0]]}.{LEAVES[rest[1]]}"
