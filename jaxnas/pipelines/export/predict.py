"""`jaxnas predict`: the class of pictures, and how sure of it an exported network is."""

import json
from pathlib import Path

import numpy as np

from jaxnas import data
from jaxnas.data import image_io
from jaxnas.pipelines.export import runtimes
from jaxnas.pipelines.settings.export import ClassifySettings
from jaxnas.pipelines.settings.limits import fail, require


def main(settings: ClassifySettings) -> None:
    """Runs the command: a line a picture. Raises ExportedFileError and DataError."""
    require("--top", settings.top, minimum=1)
    if not settings.images:
        fail("No picture is named: give one or more after the export.")
    runtime = runtimes.load(Path(settings.export).expanduser())
    names = runtime.about["class_names"]
    pixels = np.stack([pixels_of(path, runtime.about["image"]) for path in settings.images])
    rows = []
    shares_of_images = probabilities(runtimes.logits(runtime, pixels))
    for path, shares in zip(settings.images, shares_of_images, strict=True):
        best = np.argsort(-shares, kind="stable")[: settings.top]
        classes = {names[i]: round(float(shares[i]), 6) for i in best}
        rows.append({"image": path, "classes": classes})
        if not settings.json:
            print(f"{path}: {', '.join(f'{name} {100 * p:.1f} %' for name, p in classes.items())}")
    if settings.json:
        print(json.dumps(rows, indent=1))


def pixels_of(path: str, shape: tuple[int, int, int]) -> np.ndarray:
    """u8[H, W, C] of a picture, cropped to a square and scaled as `--image-size` does.

    Raises DataError for a file that is no picture, and one that cannot have that shape.
    """
    height, width, channels = shape
    if channels not in (1, 3):
        raise data.DataError(
            f"The network takes images of {channels} channels, which no picture has: run the "
            "exported file on arrays (docs/export.md)."
        )
    pixels = image_io.decode(Path(path).expanduser(), channels, path)
    if pixels.shape[:2] == (height, width):
        return pixels
    if height != width:
        raise data.DataError(
            f"{path}: {pixels.shape[0]}x{pixels.shape[1]} pixels, but the network takes "
            f"{height}x{width}: scale the picture to that."
        )
    return image_io.resize(pixels, height)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """f64[N, classes]: the softmax of logits."""
    powers = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)
