"""`model.py`: a derived network as a file of Python that needs flax and safetensors alone."""

import re
import textwrap
from typing import NamedTuple

from jaxnas.nets.standalone import classes, trace
from jaxnas.nets.standalone.classes import SourceClass
from jaxnas.nets.standalone.trace import ModuleCall

WEIGHTS = "weights.safetensors"
WIDTH = 100  # of a line
CALL = re.compile(r"""(.*?\()(.*name="[^"]*")\)(\(.*\))""")  # a layer, its settings, its arguments


class Facts(NamedTuple):
    """What a file says of a network beside its layers."""

    title: str  # one line
    image: tuple[int, int, int]  # height, width, channels
    class_names: tuple[str, ...]
    mean: tuple[float, ...]  # of the channels, in [0, 1] units
    std: tuple[float, ...]


def of_call(whole: ModuleCall, facts: Facts) -> str:
    """The text of `model.py`. Raises SourceError as `classes.of_network`."""
    written = classes.of_network(whole)
    parts = [_head(facts), *map(_class, written), _tail()]
    return "\n\n\n".join(part.strip("\n") for part in parts) + "\n"


def _head(facts: Facts) -> str:
    names = textwrap.fill(
        ", ".join(map(repr, facts.class_names)), 96, initial_indent="    ",
        subsequent_indent="    ", break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return f'''"""{facts.title}

Needs jax, flax and safetensors. `load()` gives the trained variables, `predict(variables, pixels)`
the logits of images. To train on: `Network().apply(variables, preprocess(pixels), train=True,
mutable=["batch_stats"])`; there is neither drop-path nor an auxiliary classifier, and layers
initialise as flax's do. Written by jaxnas.
"""

from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import unflatten_dict

IMAGE = {facts.image}  # height, width, channels
CLASS_NAMES = (
{names},
)
# Of each channel, in units of [0, 1].
MEAN = {facts.mean}
STD = {facts.std}'''


def _class(written: SourceClass) -> str:
    fields = "".join(f"    {name}: int\n" for name in written.fields)
    arguments = ", ".join((*written.arguments, *(("train",) if written.trains else ())))
    if not written.paths[0]:
        arguments = arguments.replace("train", "train: bool = False")
    body = textwrap.indent("\n".join(map(_wrapped, written.lines)), " " * 8)
    about = f'    """{_about(written)}"""\n\n'
    fields += "\n" if fields else ""
    return (
        f"class {written.name}(nn.Module):\n{about}{fields}    @nn.compact\n"
        f"    def __call__(self, {arguments}):\n{body}"
    )


def _wrapped(line: str) -> str:
    """A line, or three, of which the second one holds the settings of a layer."""
    if len(line) <= WIDTH - 8 or not (parts := CALL.fullmatch(line)):
        return line
    start, settings, call = parts.groups()
    wrapped = textwrap.fill(
        settings, WIDTH - 12, initial_indent="    ", subsequent_indent="    ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return f"{start}\n{wrapped}\n){call}"


def _about(written: SourceClass) -> str:
    """Our docstring's first line, and where the class is used."""
    about = written.about.replace("\\", "\\\\").replace('"""', "'''")
    places = ["/".join(path) for path in written.paths if path]
    if not places:
        return about or "The network."
    shown = ", ".join(places[:4]) + (f" and {len(places) - 4} more" if len(places) > 4 else "")
    lines = textwrap.wrap(f"Used as {shown}.", 92, break_long_words=False)
    return about + "\n\n" + textwrap.indent("\n".join(lines), "    ") + "\n    "


def _tail() -> str:
    return f'''def preprocess(pixels):
    """f32[B, H, W, C] that the network takes, of u8[B, H, W, C]."""
    return (pixels.astype(jnp.float32) / 255 - jnp.array(MEAN)) / jnp.array(STD)


def predict(variables, pixels):
    """f32[B, classes]: logits of u8[B, H, W, C]."""
    return Network().apply(variables, preprocess(pixels))


def load(path=Path(__file__).with_name("{WEIGHTS}")):
    """The trained variables: `params` and `batch_stats`."""
    from safetensors.numpy import load_file

    return unflatten_dict({{tuple(name.split("/")): x for name, x in load_file(path).items()}})'''


def of_network(infer, weights, stats, facts: Facts) -> tuple[str, ModuleCall]:
    """(the text of `model.py`, the traced network). Raises SourceError."""
    whole = trace.network(infer, weights, stats, facts.image)
    return of_call(whole, facts), whole
