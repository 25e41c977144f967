"""What a golden file holds: arrays by the names of the original's, and what their shapes say."""

import pathlib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxnas.core.types import NONE, Batch
from tools import torch_names

CELLS = ("normal", "reduce")

ARCH = ("alphas",)
DERIVED, STEPS, SUPERNET = "derived", "steps", "supernet"
TRAINED, STATISTICS = (".weight", ".bias"), (".running_mean", ".running_var")
ARRAYS = {
    DERIVED: ("genotype", "x", "y", "x_eval", "train_logits", "train_loss", "eval_logits"),
    STEPS: ("x_train", "y_train", "x_valid", "y_valid", "train_loss"),
    SUPERNET: (
        "genotype", "x_train", "y_train", "x_valid", "y_valid", "valid_logits", "valid_loss",
        "unrolled_valid_loss",
    ),
}  # fmt: skip
# Arrays of the architecture, and arrays with an entry for each weight or statistic in `param`.
OF_ARCH = {
    DERIVED: (),
    STEPS: ("arch", "arch_after"),
    SUPERNET: ("arch", "valid_grad_arch", "hypergrad_exact", "hypergrad_finite_difference"),
}
OF_WEIGHTS = {
    DERIVED: {"grad": TRAINED, "after": STATISTICS},
    STEPS: {"param_after": TRAINED},
    SUPERNET: {"momentum": TRAINED, "valid_grad_param": TRAINED},
}

Values = Mapping[str, np.ndarray]


def load(path: pathlib.Path) -> Values:
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("one array, not an archive of arrays")
        with file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no golden file: {error}.") from None


def kind(path: pathlib.Path, values: Values) -> str:
    """DERIVED, STEPS or SUPERNET. Raises ValueError for other files."""
    if "x_eval" in values or "x" in values:
        return DERIVED
    if "arch_after/alphas_normal" in values:
        return STEPS
    if "valid_logits" in values:
        return SUPERNET
    raise ValueError(f"{path} holds neither valid_logits, arch_after nor x_eval.")


def check(values: Values, kind: str) -> None:
    """Raises ValueError, before anything is compiled, for arrays that are missing or misshapen.

    Also for steps whose start is lost: a file that gives the last weights or architecture as the
    first.
    """
    architecture = ARCH + (("betas",) if is_partial(values) else ())
    names = list(ARRAYS[kind])
    for prefix in OF_ARCH[kind]:
        names += [f"{prefix}/{a}_{cell}" for a in architecture for cell in CELLS]
    if "param/auxiliary_head.classifier.bias" in values and kind == DERIVED:
        names.append("train_aux_logits")
    missing = next((name for name in names if name not in values), None)
    if missing is not None:
        raise ValueError(f"The file has no array {missing!r}.")
    for prefix, endings in OF_WEIGHTS[kind].items():
        of = lambda start, endings=endings: {
            name.removeprefix(f"{start}/"): array.shape
            for name, array in values.items()
            if name.startswith(f"{start}/") and name.endswith(endings)
        }
        for name, shape in of("param").items() ^ of(prefix).items():
            other = "param" if of("param").get(name) != shape else prefix
            what = "is missing" if f"{other}/{name}" not in values else f"is not {list(shape)}"
            raise ValueError(f"The file's {other}/{name} {what}, unlike its other arrays.")
    if kind == STEPS and is_start_lost(values):
        raise ValueError(
            "The file gives the weights or the architecture after the last step as the first "
            "ones: its start is lost; write it again from copies of the first ones."
        )


def is_start_lost(values: Values) -> bool:
    """Whether steps give all of the last weights, or the last architecture, as the first."""
    after = [k for k in values if k.startswith("param_after/") and k.endswith(TRAINED)]
    weights = [(values[k], values[k.replace("param_after/", "param/")]) for k in after]
    last = [k for k in values if k.startswith("arch_after/")]
    archs = [(values[k][-1], values[k.replace("arch_after/", "arch/")]) for k in last]
    return any(
        bool(pairs) and all(np.array_equal(a, b) for a, b in pairs) for pairs in (weights, archs)
    )


def partial(values: Values, features: int) -> int:
    """Which part of the channels the candidates of the first cell see."""
    seen = [
        array.shape[0]
        for name, array in values.items()
        if name.startswith("param/cells.0._ops.")
        and name.endswith(("op.1.weight", ".1.running_mean"))
    ]  # fmt: skip
    if not seen:
        raise ValueError("The file has no candidates that show how many channels they see.")
    return features // seen[0]


def candidates(values: Values, reductions: Sequence[int], columns: int) -> tuple[str, ...]:
    """What stands in each column of an edge that reduces, where every candidate shows itself."""
    pools = iter(("max_pool_3x3", "avg_pool_3x3"))
    found = []
    for column in range(columns):
        start = f"param/cells.{reductions[0]}._ops.0._ops.{column}."
        parts = {k.removeprefix(start): v.shape for k, v in values.items() if k.startswith(start)}
        if not parts:
            found.append(NONE)
        elif "conv_1.weight" in parts:
            found.append("skip_connect")
        elif "op.1.weight" in parts:
            kind, size = "sep" if "op.5.weight" in parts else "dil", parts["op.1.weight"][-1]
            found.append(f"{kind}_conv_{size}x{size}")
        else:
            found.append(next(pools, "pool"))
    return tuple(found)


def fill(values: Values, init: Callable, images: Any, names: torch_names.Names) -> tuple[Any, Any]:
    """(weights, statistics) from the file, every one of whose weights must be used."""
    shapes = jax.eval_shape(init, jax.eval_shape(lambda: jax.random.key(0)), images)
    weights, stats = (torch_names.read(values, "param", tree, names) for tree in shapes)
    used = {f"param/{name}" for name in torch_names.rows(weights, names)}
    left = [k for k in values if k.startswith("param/") and k.endswith(("weight", "bias"))]
    left = [k for k in left if k not in used]
    if left:
        raise ValueError(f"The file has {left[0]}, for which our network has no place.")
    return weights, stats


def depth(values: Values) -> int:
    cells = [int(k.split(".")[1]) for k in values if k.startswith("param/cells.")]
    if not cells:
        raise ValueError("The file has no weights of cells.")
    return 1 + max(cells)


def reductions(values: Values) -> tuple[int, int]:
    cells = depth(values)
    return cells // 3, 2 * cells // 3


def features(values: Values, reductions: Sequence[int]) -> int:
    width = values["param/cells.0.preprocess1.op.1.weight"].shape[0]
    return width // 2 if 0 in reductions else width


def stem_multiplier(values: Values, reductions: Sequence[int]) -> int:
    return values["param/stem.0.weight"].shape[0] // features(values, reductions)


def batch(values: Values, half: str) -> Batch:
    return Batch(images(values[f"x_{half}"]), values[f"y_{half}"])


def images(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, np.float64).transpose(0, 2, 3, 1)


def is_partial(values: Values) -> bool:
    return "arch/betas_normal" in values


def arch(values: Values, prefix: str) -> Any:
    """The architecture under `prefix`, as our relaxation has it."""
    read = lambda kind: {cell: values[f"{prefix}/{kind}_{cell}"] for cell in CELLS}
    if not is_partial(values):
        return read("alphas")
    return {"candidates": read("alphas"), "edges": read("betas")}
