"""Our layers as layers of flax: the text that makes one, and the weights in its layout."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np

from jaxnas.nets import batch_norm, ops

Convert = Callable[[np.ndarray], np.ndarray]
# Of flax's layers: the setting that inference sets, written as training's opposite.
INFERENCE = {nn.BatchNorm: "use_running_average", nn.Dropout: "deterministic"}
WRITTEN = (bool, int, float, str, tuple, type(None))


class ConvolutionForm(NamedTuple):
    """A convolution, possibly in groups, over rows and columns."""

    strides: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]  # (before, after) each
    dilation: int = 1
    groups: int = 1
    bias: bool = False


class NormForm(NamedTuple):
    """A batch normalisation by its statistics."""

    epsilon: float
    affine: bool


class FlaxLayer(NamedTuple):
    """A layer without inner ones. Numbers in `text` that may differ from use to use are marked."""

    text: str  # Python that makes it, without its name and the closing bracket
    shape: tuple[int, ...] | None  # of its output; None: ask the layer
    form: ConvolutionForm | NormForm | str = (
        ""  # what it computes; of flax's other layers the class's name
    )
    kernel: Convert | None = None  # our array of the weight `kernel` in flax's layout
    trains: bool = False  # whether training differs from inference


class SourceError(ValueError):
    """A network that cannot be written as source code; the message is one line."""


def mark(number: int, name: str = "size") -> str:
    """An integer in a text that may differ between layers written alike; `name`: what it is."""
    return f"«{name}={int(number)}»"


def of(module: nn.Module, shape: tuple[int, ...]) -> FlaxLayer | None:
    """The layer for a module whose first argument has that shape; None for one of inner modules."""
    if type(module) in _OURS:
        return _OURS[type(module)](module, shape)
    if type(module).__module__.startswith("flax.linen"):
        return _of_flax(module)
    if isinstance(module, ops.Noise):
        raise SourceError(
            "The network has an edge of noise (RobustDARTS S4), which no runtime draws again: "
            "export a genotype without it."
        )
    return None


def _depthwise(module: ops.Depthwise, shape: tuple[int, ...]) -> FlaxLayer:
    size, channels = module.size, shape[-1]
    text = _start(channels, size, module.stride)
    text += _padding(module.padding, size, module.dilation)
    text += f", kernel_dilation={module.dilation}" if module.dilation > 1 else ""
    text += f", feature_group_count={mark(channels, 'features')}, use_bias=False"
    form = ConvolutionForm(
        (module.stride,) * 2,
        _around(module.padding, size, module.stride, module.dilation, shape),
        module.dilation,
        channels,
    )
    kernel = lambda array: array[:, :, None]
    return FlaxLayer(text, _shrunk(shape, form.strides, channels), form, kernel)


def _pointwise(module: ops.Pointwise, shape: tuple[int, ...]) -> FlaxLayer:
    text = f"nn.Conv({mark(module.features, 'features')}, (1, 1), {mark(module.stride, 'stride')}"
    kernel = lambda array: array[None, None]
    if module.groups > 1:
        text += f", feature_group_count={mark(module.groups, 'groups')}"
        # [groups, C, O] -> [1, 1, C, groups * O]
        kernel = lambda array: np.moveaxis(array, 0, 1).reshape(1, 1, array.shape[1], -1)
    text += ", use_bias=False"
    form = ConvolutionForm((module.stride,) * 2, ((0, 0), (0, 0)), groups=module.groups)
    return FlaxLayer(text, _shrunk(shape, form.strides, module.features), form, kernel)


def _convolution(module: ops.Convolution, shape: tuple[int, ...]) -> FlaxLayer:
    text = _start(module.features, module.size, module.stride)
    text += _padding(module.padding, module.size)
    text += "" if module.bias else ", use_bias=False"
    around = _around(module.padding, module.size, module.stride, 1, shape)
    form = ConvolutionForm((module.stride,) * 2, around, bias=module.bias)
    return FlaxLayer(text, _shrunk(shape, form.strides, module.features), form)


def _rectangle(module: ops.Rectangle, shape: tuple[int, ...]) -> FlaxLayer:
    margins = tuple(((n - 1) // 2, (n - 1) // 2) for n in module.size)
    text = f"nn.Conv({mark(module.features, 'features')}, {module.size}, {module.strides}"
    sides = [
        (n + sum(margin) - size) // stride + 1
        for n, margin, size, stride in zip(
            shape[1:3], margins, module.size, module.strides, strict=True
        )
    ]
    text += f", padding={margins}, use_bias=False"
    form = ConvolutionForm(tuple(module.strides), margins)
    return FlaxLayer(text, (shape[0], *sides, module.features), form)


def _batch_norm(module: batch_norm.BatchNorm, shape: tuple[int, ...]) -> FlaxLayer:
    text = f"nn.BatchNorm(not train, momentum={module.decay}, epsilon={module.epsilon}"
    text += "" if module.affine else ", use_scale=False, use_bias=False"
    return FlaxLayer(text, shape, NormForm(module.epsilon, module.affine), trains=True)


_OURS: Mapping[type, Callable[[Any, tuple[int, ...]], FlaxLayer]] = {
    ops.Depthwise: _depthwise,
    ops.Pointwise: _pointwise,
    ops.Convolution: _convolution,
    ops.Rectangle: _rectangle,
    batch_norm.BatchNorm: _batch_norm,
}


def _start(features: int, size: int, stride: int) -> str:
    size_text = mark(size)
    return (
        f"nn.Conv({mark(features, 'features')}, ({size_text}, {size_text}), "
        f"{mark(stride, 'stride')}"
    )


def _padding(padding: str, size: int, dilation: int = 1) -> str:
    if padding == "same":
        return ', padding="SAME"'
    return f", padding={mark(dilation * (size - 1) // 2, 'padding')}"


def _around(
    padding: str, size: int, stride: int, dilation: int, shape: tuple[int, ...]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Pixels of zeros (before, after) the rows and the columns."""
    if padding != "same":
        return ((dilation * (size - 1) // 2,) * 2,) * 2
    return tuple(
        (total // 2, total - total // 2)
        for n in shape[1:3]
        for total in [max((-(-n // stride) - 1) * stride + dilation * (size - 1) + 1 - n, 0)]
    )


def _shrunk(shape: tuple[int, ...], strides: tuple[int, int], features: int) -> tuple[int, ...]:
    sides = (-(-n // stride) for n, stride in zip(shape[1:3], strides, strict=True))
    return (shape[0], *sides, features)


def _of_flax(module: nn.Module) -> FlaxLayer:
    """A layer of flax's own, by its settings; initialisers are left out."""
    kind, words = type(module), []
    inference = INFERENCE.get(kind)
    for field in dataclasses.fields(module):
        value = getattr(module, field.name)
        is_default = field.default is not dataclasses.MISSING and value == field.default
        if field.name in ("parent", "name", inference) or field.name.endswith("_init"):
            continue
        if is_default or field.name == "param_dtype":
            continue
        if not isinstance(value, WRITTEN):
            raise SourceError(
                f"The layer {kind.__name__} has a setting {field.name} that cannot be written as "
                "text: it can be exported from Python alone."
            )
        text = mark(value, field.name) if type(value) is int else repr(value)
        words.append(text if field.default is dataclasses.MISSING else f"{field.name}={text}")
    if inference:
        words.append(f"{inference}=not train")
    text = f"nn.{kind.__name__}({', '.join(words)}"
    return FlaxLayer(text, None, kind.__name__, trains=inference is not None)
