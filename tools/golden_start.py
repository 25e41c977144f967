"""Where a golden search began, for files that hold only where it ended.

In `darts_*_5_steps.npz` the arrays `param/*` and `arch/*` equal those after the last step: the
tensors went on moving after they were noted. The start was drawn from a small seed with
torch's own initialisation, so it can be drawn again, and is known by its being near.
"""

from collections.abc import Mapping

import numpy as np

from jaxnas.core.types import Choice

SEEDS = range(64)
ARCH_SCALE = 0.7  # of the standard normal that the architecture started as
NEAR = 0.5  # of the weights' norm: another seed is more than its whole norm away


def is_lost(values: Mapping[str, np.ndarray]) -> bool:
    """Whether the file gives the last weights as the first."""
    pairs = [(k, k.replace("param_after/", "param/")) for k in values if "param_after/" in k]
    return all(np.array_equal(values[after], values[before]) for after, before in pairs)


def drawn(
    values: Mapping[str, np.ndarray], choice: Choice, features: int, cells: int
) -> dict[str, np.ndarray]:
    """`values` with `param/*` and `arch/*` as they were before the first step.

    Raises ValueError where PyTorch is missing or no seed gives weights near the last ones.
    """
    try:
        import torch

        from tools.peer import darts_torch
    except ImportError:
        raise ValueError(
            "The file gives the weights after the last step as the first ones; to draw the first "
            "ones again PyTorch is needed: pip install torch."
        ) from None
    classes = values["param/classifier.bias"].shape[0]
    nodes = len({target for _, target in choice.edges})
    after = {k: v for k, v in values.items() if k.startswith("param_after/")}
    for seed in SEEDS:
        torch.manual_seed(seed)
        network = darts_torch.supernet(features, cells, classes, nodes, choice.candidates[0])
        start = {f"param/{k}": v.double().numpy() for k, v in network.state_dict().items()}
        if _distance(start, after) < NEAR:
            torch.manual_seed(seed + 1)
            shape = values["arch/alphas_normal"].shape
            arch = [ARCH_SCALE * torch.randn(shape, dtype=torch.float64) for _ in range(2)]
            names = ("arch/alphas_normal", "arch/alphas_reduce")
            return {**values, **start} | {n: a.numpy() for n, a in zip(names, arch, strict=True)}
    raise ValueError(
        "The file gives the weights after the last step as the first ones, and none of the seeds "
        f"0 to {SEEDS[-1]} gives first ones near them."
    )


def _distance(start: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> float:
    pairs = [(start.get(k.replace("param_after/", "param/")), v) for k, v in after.items()]
    if any(w is None or w.shape != v.shape for w, v in pairs):
        return np.inf
    norm = np.sqrt(sum(np.square(v).sum() for _, v in pairs))
    return float(np.sqrt(sum(np.square(w - v).sum() for w, v in pairs)) / norm)
