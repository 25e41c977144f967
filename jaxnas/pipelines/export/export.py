"""`jaxnas export`: writes a trained network as files that run without jaxnas, and checks each."""

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import PIL.Image
import rich.console

from jaxnas import data, run
from jaxnas.evaluators import training
from jaxnas.hardware import device
from jaxnas.nets.standalone.source import Facts
from jaxnas.pipelines.export import card, check, formats
from jaxnas.pipelines.export import record as records
from jaxnas.pipelines.export import trained as trained_networks
from jaxnas.pipelines.export.formats import Exportable
from jaxnas.pipelines.export.trained import TrainedNetwork
from jaxnas.pipelines.settings.export import ExportSettings
from jaxnas.run import compilation_cache, files, progress

FOLDER, EXAMPLE = "export", "example.png"


def main(settings: ExportSettings, console: rich.console.Console | None = None) -> Path:
    """Runs the command; returns the folder of the exports.

    A file is kept only if it passes its check. Raises ValueError, of whose subclasses RunError for
    what is no trained run, SourceError for what cannot be written, MissingPackageError and
    ExportCheckError.
    """
    console = console or rich.console.Console()
    log = lambda text="": progress.print_line(console, text)
    for name in settings.to:
        formats.check_packages(name)
    compilation_cache.enable()
    trained = trained_networks.load(settings.run)
    source = {"data": settings.data, "data_dir": settings.data_dir}
    dataset = trained_networks.test_data(trained, {k: v for k, v in source.items() if v})
    folder = Path(settings.out).expanduser() if settings.out else trained.run / FOLDER
    with files.as_run_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
    network = _exportable(trained)
    with jax.default_matmul_precision("highest"):
        expected = training.predict(trained.net, trained.weights, trained.stats, dataset)
    log(f"jaxnas exports the network of {trained.run} to {folder}")
    figures = dict(trained.summary.get(records.EXPORTS) or {})
    for name in dict.fromkeys(settings.to):
        figures[name] = _export(network, name, folder, dataset, expected)
        log(line(figures[name]))
        records.write_summary(trained.run, dict(trained.summary) | {records.EXPORTS: figures})
    _write_example(folder / EXAMPLE, dataset.test.inputs[0])
    run.write_text(folder / card.CARD, card.text(trained, figures))
    log(f"card: {folder / card.CARD}")
    return folder


def line(figures: dict[str, Any]) -> str:
    """What the check of an export says, in a line."""
    return (
        f"{figures['file']}: {figures['bytes'] / 1e3:,.0f} kB; in {figures['runtime']} "
        f"{100 * figures['top1']:.1f} % of {figures['images']} images, logits within "
        f"{figures['max_difference']:.1e} (allowed {figures['tolerance']:.1e}), "
        f"{figures['latency_ms']:.3g} ms an image"
    )


def _exportable(trained: TrainedNetwork) -> Exportable:
    record = trained.record
    title = f"The network of {trained.run.resolve().name}, {len(record.class_names)} classes."
    facts = Facts(
        title.replace("\\", "/").replace('"', "'"),
        record.image, record.class_names, record.mean, record.std,
    )  # fmt: skip
    return formats.exportable(trained.net.infer, trained.weights, trained.stats, facts)


def _export(
    network: Exportable, name: str, folder: Path, dataset: data.DataSet, expected: np.ndarray
) -> dict[str, Any]:
    """Writes one format beside its place, checks it, and puts it there; returns its figures."""
    form = formats.FORMATS[name]
    with files.as_run_error(folder), tempfile.TemporaryDirectory(dir=folder) as beside:
        path, began_s = Path(beside) / form.file, time.monotonic()
        form.write(network, path)
        export_s = time.monotonic() - began_s
        figures = check.run(path, dataset.test, expected)
        parts = path.rglob("*") if path.is_dir() else [path]
        size = sum(part.stat().st_size for part in parts if part.suffix != ".pyc")
        _replace(path, folder / form.file)
    facts = {"file": form.file, "bytes": size, "export_s": round(export_s, 2)}
    return facts | figures | {"device": device.host_cpu()}


def _replace(path: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    shutil.rmtree(path / "__pycache__", ignore_errors=True)
    os.replace(path, target)


def _write_example(path: Path, pixels: np.ndarray) -> None:
    """The first test image as a picture, to try `jaxnas predict` on."""
    if pixels.shape[-1] in (1, 3):
        with files.as_run_error(path):
            PIL.Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path)
