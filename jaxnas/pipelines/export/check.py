"""The check of an export: run in its own runtime, in a process of its own, and compared."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from jaxnas.data import Images
from jaxnas.pipelines.export import runtimes

# Of the logits, relative to the largest one (our choice): float32 sums in another order differ by
# a hundredth of that.
TOLERANCE = 1e-4


class ExportCheckError(ValueError):
    """An export that does not compute what the network does; the message is one line."""


def run(path: Path, images: Images, expected: np.ndarray) -> dict[str, Any]:
    """The figures of an export on all test images; `expected` are the network's logits.

    The keys: `runtime`, `images`, `top1`, `max_difference` and `tolerance` of the logits,
    `top1_equal` (a share), `latency_ms` with its quartiles `latency_low`, `latency_high`. Raises
    ExportCheckError where the process fails, a logit differs by more than the tolerance, or
    another class wins though it was further behind than two tolerances.
    """
    with tempfile.TemporaryDirectory() as folder:
        pixels, answers = Path(folder) / "images.npz", Path(folder) / "answers.npz"
        np.savez(pixels, pixels=images.inputs)
        words = [sys.executable, "-I", runtimes.__file__, path, pixels, answers]
        # On the CPU: other devices round products of float32 to fewer bits.
        environment = os.environ | {"JAX_PLATFORMS": "cpu"}
        ran = subprocess.run(
            [str(word) for word in words], capture_output=True, text=True, env=environment
        )
        if ran.returncode:
            lines = ran.stderr.strip().splitlines() or ["no reason given"]
            raise ExportCheckError(f"The export cannot be run: {lines[-1][:300]}")
        with np.load(answers) as arrays:
            logits, ms = arrays["logits"], arrays["ms"].tolist()
            name, about = str(arrays["runtime"]), json.loads(str(arrays["about"]))
    figures = compare(logits, expected, images.labels)
    keys = ("latency_ms", "latency_low", "latency_high")
    return (
        {"runtime": name, "classes": len(about["class_names"])}
        | figures
        | dict(zip(keys, ms, strict=True))
    )


def compare(logits: np.ndarray, expected: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """`images`, `top1` and the differences of f32[N, classes]. Raises ExportCheckError."""
    if logits.shape != expected.shape or not np.isfinite(logits).all():
        raise ExportCheckError(
            f"The export gives logits of shape {logits.shape}, some of them perhaps not finite; "
            f"the network gives {expected.shape}."
        )
    tolerance = TOLERANCE * max(float(np.abs(expected).max()), 1.0)
    difference = float(np.abs(logits - expected).max())
    equal = logits.argmax(-1) == expected.argmax(-1)
    second, first = np.sort(expected, -1)[:, -2:].T
    wrong = int((~equal & (first - second > 2 * tolerance)).sum())
    if not difference <= tolerance or wrong:
        raise ExportCheckError(
            f"The export differs from the network: its logits by up to {difference:.3g}, allowed "
            f"are {tolerance:.3g}; its class on {int((~equal).sum())} of {len(labels)} images."
        )
    return {
        "images": len(labels),
        "top1": float((logits.argmax(-1) == labels).mean()),
        "top1_equal": float(equal.mean()),
        "max_difference": difference,
        "tolerance": tolerance,
    }
