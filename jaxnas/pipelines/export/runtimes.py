"""Exported files in their own runtimes. This file imports nothing of jaxnas.

`python -I runtimes.py EXPORT IMAGES.npz ANSWERS.npz` runs an export on `pixels`, u8[N, H, W, C],
and writes its `logits`, the milliseconds of one image and what ran it. jaxnas cannot be imported in
that process.
"""

import importlib.metadata
import importlib.util
import json
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ONNX, STABLEHLO, FLAX = "model.onnx", "model.stablehlo.zip", "flax"
PROGRAM, ABOUT = "network.jax_export", "about.json"  # in the file of StableHLO
BATCH = 256
WARM_UP, MIN_CALLS, MAX_CALLS, SECONDS = 5, 20, 1000, 1.0  # of the timing


class ExportedFileError(ValueError):
    """A file that is no export, or cannot be run here; the message is one line."""


class Runtime(NamedTuple):
    """An export that is ready to run."""

    run: Callable[[np.ndarray], np.ndarray]  # u8[B, H, W, C] -> f32[B, classes], logits
    about: Mapping[str, Any]  # "class_names", "image"
    name: str  # of the runtime, with its version


def load(path: Path) -> Runtime:
    """The export at a path: a file *.onnx or *.zip, or a folder with model.py (which is run).

    Raises ExportedFileError.
    """
    path = path.parent if path.name == "model.py" else path
    if not path.exists():
        raise ExportedFileError(f"{path} does not exist: give a file that jaxnas export wrote.")
    if path.is_dir():
        load_kind, package = _flax, "safetensors"
    elif path.suffix == ".onnx":
        load_kind, package = _onnx, "onnxruntime"
    elif path.suffix == ".zip":
        load_kind, package = _stablehlo, "jax"
    else:
        raise ExportedFileError(
            f"{path} is no export: give {ONNX}, {STABLEHLO} or the folder {FLAX} of an export."
        )
    try:
        return load_kind(path)
    except ModuleNotFoundError as error:
        raise ExportedFileError(
            f"{path} needs {error.name or package}: pip install {error.name or package}"
        ) from error
    except ExportedFileError:
        raise
    # Each runtime has errors of its own for damaged files, a bare Exception among them.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ExportedFileError(
            f"{path} is no export that can be read ({reason}): export it again."
        ) from error


def _onnx(path: Path) -> Runtime:
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["jaxnas"])
    run = lambda pixels: session.run(["logits"], {"pixels": pixels})[0]
    return Runtime(run, about, f"onnxruntime {onnxruntime.__version__}")


def _stablehlo(path: Path) -> Runtime:
    import jax
    from jax import export

    with zipfile.ZipFile(path) as archive:
        about = json.loads(archive.read(ABOUT))
        program = export.deserialize(bytearray(archive.read(PROGRAM)))
    call = jax.jit(program.call)
    return Runtime(lambda pixels: np.asarray(call(pixels)), about, f"jax {jax.__version__}")


def _flax(path: Path) -> Runtime:
    import jax

    spec = importlib.util.spec_from_file_location("exported_model", path / "model.py")
    model = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(model)
    variables = model.load()
    call = jax.jit(model.predict)
    about = {"class_names": list(model.CLASS_NAMES), "image": list(model.IMAGE)}
    name = f"flax {importlib.metadata.version('flax')}, jax {jax.__version__}"
    return Runtime(lambda pixels: np.asarray(call(variables, pixels)), about, name)


def logits(runtime: Runtime, pixels: np.ndarray) -> np.ndarray:
    """f32[N, classes] of u8[N, H, W, C], batch by batch."""
    size = min(BATCH, len(pixels))
    parts = []
    for start in range(0, len(pixels), size):
        # The last batch is filled up with images seen before, so that one program does.
        rows = np.minimum(np.arange(start, start + size), len(pixels) - 1)
        parts.append(runtime.run(pixels[rows]))
    return np.concatenate(parts)[: len(pixels)]


def latency_ms(runtime: Runtime, image: np.ndarray) -> tuple[float, float, float]:
    """Milliseconds of one image, u8[1, H, W, C], to its logits: median and quartiles."""
    for _ in range(WARM_UP):
        runtime.run(image)
    times: list[float] = []
    while len(times) < MIN_CALLS or (len(times) < MAX_CALLS and sum(times) < SECONDS):
        began = time.perf_counter()
        runtime.run(image)
        times.append(time.perf_counter() - began)
    low, median, high = np.quantile(times, [0.25, 0.5, 0.75]) * 1e3
    return float(median), float(low), float(high)


def main(export: str, images: str, answers: str) -> None:
    """See the docstring of this file."""
    sys.modules["jaxnas"] = None  # any import of it fails from here on
    runtime = load(Path(export))
    with np.load(images) as arrays:
        pixels = arrays["pixels"]
    np.savez(
        answers,
        logits=logits(runtime, pixels),
        ms=latency_ms(runtime, pixels[:1]),
        runtime=runtime.name,
        about=json.dumps(runtime.about),
    )


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ExportedFileError as error:
        sys.exit(str(error))
