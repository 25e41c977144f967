"""An operation as an expression of Python: one line for each of JAX's primitives."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jaxnas.nets.standalone import trace
from jaxnas.nets.standalone.layers import SourceError, mark
from jaxnas.nets.standalone.trace import Equation

INFIX = {"add": "+", "add_any": "+", "sub": "-", "mul": "*", "div": "/"}
FUNCTIONS = {
    "max": "jnp.maximum", "min": "jnp.minimum", "logistic": "nn.sigmoid", "tanh": "jnp.tanh",
    "exp": "jnp.exp", "log": "jnp.log", "sqrt": "jnp.sqrt", "rsqrt": "jax.lax.rsqrt",
    "abs": "jnp.abs", "erf": "jax.lax.erf", "square": "jnp.square", "neg": "-",
    "stop_gradient": "jax.lax.stop_gradient",
}  # fmt: skip
REDUCTIONS = {"reduce_sum": "jnp.sum", "reduce_max": "jnp.max", "reduce_min": "jnp.min"}
POOLS = {
    "max_pool": "nn.max_pool({x}, (3, 3), ({s}, {s}), ((1, 1), (1, 1)))",
    "average_pool": (
        "nn.avg_pool({x}, (3, 3), ({s}, {s}), ((1, 1), (1, 1)), count_include_pad=False)"
    ),
}
COPIES = {"convert_element_type", "copy", "copy_p", "optimization_barrier"}


class Expression(NamedTuple):
    text: str
    is_sum: bool = False  # to be put into brackets within another one
    # (function, count): a sum over so many values, whose quotient by the count is a mean
    mean: tuple[str, int] | None = None


def of(operation: Equation, arguments: Sequence[Expression], batch: str) -> Expression:
    """The expression of an operation; `batch` is Python for the number of images.

    Raises SourceError for a primitive that has none here.
    """
    name, settings = operation.name, operation.settings
    shape = operation.output.shape
    first = arguments[0] if arguments else Expression("")
    if name in trace.NAMED:
        return Expression(f"nn.{name}({first.text})")
    if name == "div" and first.mean and _number(arguments[1]) == first.mean[1]:
        return Expression(first.mean[0])
    if name in INFIX:
        left, right = map(_bracketed, arguments)
        return Expression(f"{left} {INFIX[name]} {right}", is_sum=True)
    if name in FUNCTIONS:
        return Expression(f"{FUNCTIONS[name]}({', '.join(a.text for a in arguments)})")
    if name == "integer_pow":
        return Expression(f"{_bracketed(first)} ** {settings['y']}", is_sum=True)
    if name in COPIES:
        return first
    if name in POOLS:
        return Expression(POOLS[name].format(x=first.text, s=settings["stride"]))
    if name in _SHAPED:
        return _SHAPED[name](operation, arguments, batch)
    raise SourceError(
        f"The network computes {name!r} (shape {shape}), which has no source here: build it of "
        "layers of jaxnas.nets.ops or of flax."
    )


def shape_text(shape: Sequence[int], batch: str) -> str:
    """A shape as a tuple of Python, whose batch is not a number."""
    sides = [batch if n == trace.BATCH else mark(n) for n in shape]
    return f"({', '.join(sides)}{',' if len(sides) == 1 else ''})"


def _bracketed(expression: Expression) -> str:
    return f"({expression.text})" if expression.is_sum else expression.text


def _number(expression: Expression) -> float | None:
    try:
        return float(expression.text)
    except ValueError:
        return None


def _reshape(operation: Equation, arguments: Sequence[Expression], batch: str) -> Expression:
    sides = ["-1" if n % trace.BATCH == 0 else mark(n) for n in operation.output.shape]
    if sides.count("-1") > 1:
        raise SourceError("The network reshapes the batch into two sides: it has no source here.")
    return Expression(f"{_bracketed(arguments[0])}.reshape({', '.join(sides)})")


def _squeeze(operation: Equation, arguments: Sequence[Expression], batch: str) -> Expression:
    return Expression(
        f"jnp.squeeze({arguments[0].text}, {_tuple(operation.settings['dimensions'])})"
    )


def _transpose(operation: Equation, arguments: Sequence[Expression], batch: str) -> Expression:
    permutation = _tuple(operation.settings["permutation"])
    return Expression(f"{_bracketed(arguments[0])}.transpose{permutation}")


def _concatenate(operation: Equation, arguments: Sequence[Expression], batch: str) -> Expression:
    axis = operation.settings["dimension"]
    axis = -1 if axis == len(operation.output.shape) - 1 else axis
    return Expression(f"jnp.concatenate([{', '.join(a.text for a in arguments)}], {axis})")


def _reduce(operation: Equation, arguments: Sequence[Expression], batch: str) -> Expression:
    axes, shape = operation.settings["axes"], operation.inputs[0].shape
    text = f"{REDUCTIONS[operation.name]}({arguments[0].text}, {_tuple(axes)})"
    if operation.name != "reduce_sum":
        return Expression(text)
    mean = f"jnp.mean({arguments[0].text}, {_tuple(axes)})"
    return Expression(text, mean=(mean, math.prod(shape[axis] for axis in axes)))


def _window(operation: Equation, arguments: Sequence[Expression], batch: str) -> Expression:
    settings, x = operation.settings, arguments[0].text
    window, strides = settings["window_dimensions"], settings["window_strides"]
    if any(map(any, settings["padding"])) or set(settings["window_dilation"]) != {1}:
        raise SourceError("The network pools with padding or dilation: it has no source here.")
    inner = f"{x}, {_tuple(window[1:-1])}, {_tuple(strides[1:-1])}"
    if operation.name == "reduce_window_max":
        return Expression(f"nn.max_pool({inner})")
    start = f"jax.lax.reduce_window({x}, 0.0, jax.lax.add, {_tuple(window)}, {_tuple(strides)}"
    mean = f"nn.avg_pool({inner})"
    return Expression(f'{start}, "VALID")', mean=(mean, math.prod(window)))


def _pad(operation: Equation, arguments: Sequence[Expression], batch: str) -> Expression:
    config, value = operation.settings["padding_config"], arguments[1].text
    if any(inside for _, _, inside in config) or any(n < 0 for edge in config for n in edge):
        raise SourceError("The network pads between pixels: it has no source here.")
    if not any(n for edge in config for n in edge):
        return arguments[0]
    around = _tuple([_tuple(edge[:2]) for edge in config])
    extra = "" if _number(arguments[1]) == 0 else f", constant_values={value}"
    return Expression(f"jnp.pad({arguments[0].text}, {around}{extra})")


def _slice(operation: Equation, arguments: Sequence[Expression], batch: str) -> Expression:
    settings, shape = operation.settings, operation.inputs[0].shape
    strides = settings["strides"] or (1,) * len(shape)
    parts = []
    for start, end, stride, side in zip(
        settings["start_indices"], settings["limit_indices"], strides, shape, strict=True
    ):
        text = f"{start or ''}:{'' if end == side else mark(end)}"
        parts.append(text + (f":{stride}" if stride > 1 else ""))
    return Expression(f"{_bracketed(arguments[0])}[{', '.join(parts)}]")


def _broadcast(operation: Equation, arguments: Sequence[Expression], batch: str) -> Expression:
    shape, before = operation.output.shape, getattr(operation.inputs[0], "shape", ())
    places, text = operation.settings["broadcast_dimensions"], _bracketed(arguments[0])
    if not before:
        value = _number(arguments[0])
        if value in (0, 1):
            return Expression(f"jnp.{'ones' if value else 'zeros'}({shape_text(shape, batch)})")
        return Expression(f"jnp.full({shape_text(shape, batch)}, {arguments[0].text})")
    index = ", ".join(":" if axis in places else "None" for axis in range(len(shape)))
    index = re.sub(r"(, :)+$", "", index)  # the last sides need not be named
    text = text if len(before) == len(shape) else f"{text}[{index}]"
    grown = [shape[axis] != n for axis, n in zip(places, before, strict=True)]
    spread = any(grown) or any(n != 1 for axis, n in enumerate(shape) if axis not in places)
    return Expression(f"jnp.broadcast_to({text}, {shape_text(shape, batch)})" if spread else text)


def _dot(operation: Equation, arguments: Sequence[Expression], batch: str) -> Expression:
    (contracted, batched) = operation.settings["dimension_numbers"]
    left, right = (len(a.shape) for a in operation.inputs)
    if batched != ((), ()) or tuple(map(tuple, contracted)) != ((left - 1,), (0,)) or right != 2:
        raise SourceError("The network has a product of tensors that has no source here.")
    return Expression(f"{_bracketed(arguments[0])} @ {_bracketed(arguments[1])}", is_sum=True)


_SHAPED: Mapping[str, Callable[[Equation, Sequence[Expression], str], Expression]] = {
    "reshape": _reshape, "squeeze": _squeeze, "transpose": _transpose, "pad": _pad,
    "concatenate": _concatenate, "slice": _slice, "broadcast_in_dim": _broadcast,
    "dot_general": _dot, "reduce_window_sum": _window, "reduce_window_max": _window,
    **dict.fromkeys(REDUCTIONS, _reduce),
}  # fmt: skip


def _tuple(values: Sequence[Any]) -> str:
    parts = [value if isinstance(value, str) else str(int(value)) for value in values]
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
