"""The formats of `jaxnas export`: each writes its file from a traced network."""

import functools
import importlib
import io
import json
import types
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from jaxnas.nets.standalone import source, variables
from jaxnas.nets.standalone.source import Facts
from jaxnas.nets.standalone.trace import ModuleCall
from jaxnas.pipelines.export import runtimes

INSTALL = "pip install 'jaxnas[export]'"


class MissingPackageError(ValueError):
    """A package that an export needs is not installed; the message is one line."""


class Exportable(NamedTuple):
    """A trained network as its source, its traced calls and its weights by flax's names."""

    source: str  # of model.py
    whole: ModuleCall
    variables: Mapping[str, np.ndarray]
    facts: Facts
    about: Mapping[str, Any]  # JSON that goes into the file


class Format(NamedTuple):
    file: str  # or folder, in the folder of exports
    packages: tuple[str, ...]  # that it and its check need beside jax and flax
    write: Callable[[Exportable, Path], None]


def exportable(infer: Callable, weights: Any, stats: Any, facts: Facts) -> Exportable:
    """A network ready for every format. Raises SourceError for one that has no source."""
    text, whole = source.of_network(infer, weights, stats, facts)
    about = {"title": facts.title, "class_names": facts.class_names, "image": facts.image}
    return Exportable(text, whole, variables.flat(whole, weights, stats), facts, about)


def check_packages(name: str) -> None:
    """Raises MissingPackageError unless all that a format needs can be imported."""
    for package in FORMATS[name].packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise MissingPackageError(
                f"--to {name} needs the package {package}: {INSTALL}"
            ) from error


def _write_flax(network: Exportable, path: Path) -> None:
    from safetensors.numpy import save

    path.mkdir()
    (path / "model.py").write_text(network.source, encoding="utf-8")
    weights = save(dict(network.variables), {"title": network.facts.title})
    (path / source.WEIGHTS).write_bytes(weights)


def _write_onnx(network: Exportable, path: Path) -> None:
    from jaxnas.pipelines.export import onnx_file

    path.write_bytes(
        onnx_file.encoded(network.whole, network.variables, network.facts, network.about)
    )


def _write_stablehlo(network: Exportable, path: Path) -> None:
    """The program of `predict` in model.py, for any number of images and any platform."""
    module = types.ModuleType("exported_model")
    module.__file__ = str(path.with_name("model.py"))
    exec(compile(network.source, "model.py", "exec"), vars(module))
    flat = {tuple(name.split("/")): jnp.asarray(x) for name, x in network.variables.items()}
    predict = functools.partial(module.predict, module.unflatten_dict(flat))
    (batch,) = export.symbolic_shape("batch")
    pixels = jax.ShapeDtypeStruct((batch, *network.facts.image), jnp.uint8)
    program = export.export(jax.jit(predict), platforms=("cpu", "cuda", "rocm", "tpu"))(pixels)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(runtimes.PROGRAM, bytes(program.serialize()))
        archive.writestr(runtimes.ABOUT, json.dumps(network.about, indent=1))
    path.write_bytes(file.getvalue())


FORMATS: Mapping[str, Format] = {
    "stablehlo": Format(runtimes.STABLEHLO, (), _write_stablehlo),
    "onnx": Format(runtimes.ONNX, ("onnx", "onnxruntime"), _write_onnx),
    "flax": Format(runtimes.FLAX, ("safetensors",), _write_flax),
}
