"""A traced network as nodes of ONNX.

Images are [B, C, H, W] there, as ONNX's convolutions want them: a value of four sides is kept so,
its axes renamed; all others are as they were.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from jaxnas.nets.standalone import trace
from jaxnas.nets.standalone.layers import ConvolutionForm, NormForm, SourceError
from jaxnas.nets.standalone.trace import Constant, Equation, ModuleCall, Value

FIRST, LAST = (0, 3, 1, 2), (0, 2, 3, 1)  # permutations: channels to the first place, to the last
AXES = (0, 2, 3, 1)  # of an axis of [B, H, W, C], the place in [B, C, H, W]
ELEMENTWISE = {
    "add": "Add", "add_any": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max",
    "min": "Min", "logistic": "Sigmoid", "tanh": "Tanh", "exp": "Exp", "log": "Log",
    "sqrt": "Sqrt", "abs": "Abs", "erf": "Erf", "neg": "Neg", "relu": "Relu", "elu": "Elu",
    "selu": "Selu", "hard_silu": "HardSwish", "hard_swish": "HardSwish",
}  # fmt: skip
COPIES = {"convert_element_type", "copy", "copy_p", "optimization_barrier", "stop_gradient"}
REDUCTIONS = {"reduce_sum": "ReduceSum", "reduce_max": "ReduceMax", "reduce_min": "ReduceMin"}


class Graph(NamedTuple):
    """Nodes and weights so far; `names` of values by their numbers."""

    variables: Mapping[str, np.ndarray]  # of `variables.flat`
    pixels: str  # the name of the input, whose first side is the batch
    nodes: list[onnx.NodeProto]
    weights: list[onnx.TensorProto]
    names: dict[int, str]
    counter: Iterator[int]

    def add(self, kind: str, inputs: Sequence[str], **settings: Any) -> str:
        """Adds a node; returns the name of its output."""
        name = f"{kind.lower()}_{next(self.counter)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **settings))
        return name

    def constant(self, array: Any, name: str = "", dtype: Any = np.float32) -> str:
        """Adds an array of constants; returns its name."""
        name = name or f"constant_{next(self.counter)}"
        array = np.ascontiguousarray(np.asarray(array, dtype))
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def integers(self, values: Sequence[int]) -> str:
        return self.constant(list(values), dtype=np.int64)


def begin(variables: Mapping[str, np.ndarray], pixels: str) -> Graph:
    """A graph without nodes."""
    return Graph(variables, pixels, [], [], {}, itertools.count())


def add_call(graph: Graph, call: ModuleCall, inputs: Sequence[str]) -> str:
    """Adds a module's call on the values of these names; returns the name of its output.

    Raises SourceError for a layer or an operation without an ONNX form here.
    """
    if call.layer is not None:
        return _layer(graph, call, inputs[0])
    for value, name in zip(call.inside, inputs, strict=True):
        graph.names[value.number] = name
    for item in call.body:
        if isinstance(item, ModuleCall):
            names = [_name(graph, value) for value in item.outside]
            graph.names[item.output.number] = add_call(graph, item, names)
        else:
            graph.names[item.output.number] = _operation(graph, item)
    return _name(graph, call.result)


def _name(graph: Graph, value: Value | Constant) -> str:
    if isinstance(value, Constant):
        return graph.constant(value.number)
    if value.number not in graph.names:
        array = graph.variables["/".join(_flax_path(value.weight))]
        array = array.transpose(FIRST) if array.ndim == 4 else array
        graph.names[value.number] = graph.constant(array)
    return graph.names[value.number]


def _flax_path(weight: Sequence[str]) -> tuple[str, ...]:
    collection, *path = weight
    return ("params" if collection == "params" else "batch_stats", *path)


def _layer(graph: Graph, call: ModuleCall, x: str) -> str:
    path = "/".join(call.path)
    weight = lambda name, collection="params": graph.variables[f"{collection}/{path}/{name}"]
    form = call.layer.form
    if isinstance(form, ConvolutionForm):
        kernel = weight("kernel").transpose(3, 2, 0, 1)
        inputs = [x, graph.constant(kernel, f"{path}/kernel")]
        inputs += [graph.constant(weight("bias"), f"{path}/bias")] if form.bias else []
        (top, bottom), (left, right) = form.padding
        return graph.add(
            "Conv", inputs, kernel_shape=kernel.shape[2:], strides=form.strides,
            pads=[top, left, bottom, right], dilations=[form.dilation] * 2, group=form.groups,
        )  # fmt: skip
    if isinstance(form, NormForm):
        mean, var = weight("mean", "batch_stats"), weight("var", "batch_stats")
        scale = weight("scale") if form.affine else np.ones_like(mean)
        bias = weight("bias") if form.affine else np.zeros_like(mean)
        arrays = {"scale": scale, "bias": bias, "mean": mean, "var": var}
        inputs = [x, *(graph.constant(a, f"{path}/{name}") for name, a in arrays.items())]
        return graph.add("BatchNormalization", inputs, epsilon=form.epsilon)
    if form == "Dropout":
        return x
    if form == "Dense" and len(call.outside[0].shape) == 2:
        inputs = [x, graph.constant(weight("kernel"), f"{path}/kernel")]
        if f"params/{path}/bias" in graph.variables:
            inputs.append(graph.constant(weight("bias"), f"{path}/bias"))
        return graph.add("Gemm", inputs)
    raise SourceError(f"The layer {path} ({form}) has no ONNX form here: export --to stablehlo.")


def _operation(graph: Graph, operation: Equation) -> str:
    name, settings = operation.name, operation.settings
    if name in _FORMS:
        return _FORMS[name](graph, operation)
    inputs = [_name(graph, value) for value in operation.inputs]
    if name in COPIES:
        return inputs[0]
    if name in ELEMENTWISE:
        return graph.add(ELEMENTWISE[name], inputs)
    if name == "relu6":
        return graph.add("Clip", [inputs[0], graph.constant(0), graph.constant(6)])
    if name == "silu":
        return graph.add("Mul", [inputs[0], graph.add("Sigmoid", inputs)])
    if name == "gelu":
        return graph.add("Gelu", inputs, approximate="tanh")
    if name == "hard_sigmoid":
        return graph.add("HardSigmoid", inputs, alpha=1 / 6, beta=0.5)
    if name == "rsqrt":
        return graph.add("Reciprocal", [graph.add("Sqrt", inputs)])
    if name in ("integer_pow", "square"):
        return graph.add("Pow", [inputs[0], graph.constant(settings.get("y", 2))])
    raise SourceError(f"The operation {name!r} has no ONNX form here: export --to stablehlo.")


def _axes(operation: Equation, axes: Sequence[int]) -> list[int]:
    """Axes of [B, H, W, C] as those of the graph's value."""
    return [AXES[a] if len(operation.inputs[0].shape) == 4 else a for a in axes]


def _plain(graph: Graph, value: Value | Constant) -> str:
    """The value with its axes in JAX's order."""
    name = _name(graph, value)
    is_image = isinstance(value, Value) and len(value.shape) == 4
    return graph.add("Transpose", [name], perm=LAST) if is_image else name


def _kept(graph: Graph, name: str, value: Value) -> str:
    """A value in JAX's order as it is kept here."""
    return graph.add("Transpose", [name], perm=FIRST) if len(value.shape) == 4 else name


def _pool(graph: Graph, operation: Equation) -> str:
    stride = operation.settings["stride"]
    kind, extra = "MaxPool", {}
    if operation.name == "average_pool":
        kind, extra = "AveragePool", {"count_include_pad": 0}
    x = _name(graph, operation.inputs[0])
    return graph.add(
        kind, [x], kernel_shape=[3, 3], strides=[stride] * 2, pads=[1, 1, 1, 1], **extra
    )


def _window(graph: Graph, operation: Equation) -> str:
    settings = operation.settings
    window, strides = settings["window_dimensions"], settings["window_strides"]
    if any(map(any, settings["padding"])) or len(window) != 4 or window[0] * window[3] != 1:
        raise SourceError("Pooling with padding has no ONNX form here: export --to stablehlo.")
    sides = {"kernel_shape": window[1:3], "strides": strides[1:3]}
    x = _name(graph, operation.inputs[0])
    if operation.name == "reduce_window_max":
        return graph.add("MaxPool", [x], **sides)
    mean = graph.add("AveragePool", [x], **sides)
    return graph.add("Mul", [mean, graph.constant(math.prod(window))])


def _reduce(graph: Graph, operation: Equation) -> str:
    axes, rank = operation.settings["axes"], len(operation.inputs[0].shape)
    kind = REDUCTIONS[operation.name]
    if rank == 4 and tuple(axes) != (1, 2):
        x = _plain(graph, operation.inputs[0])
    else:
        x, axes = _name(graph, operation.inputs[0]), _axes(operation, axes)
    return graph.add(kind, [x, graph.integers(axes)], keepdims=0)


def _concatenate(graph: Graph, operation: Equation) -> str:
    names = [_name(graph, value) for value in operation.inputs]
    return graph.add("Concat", names, axis=_axes(operation, [operation.settings["dimension"]])[0])


def _pad(graph: Graph, operation: Equation) -> str:
    config = operation.settings["padding_config"]
    x = _name(graph, operation.inputs[0])
    if not any(map(any, config)):
        return x
    if any(inside for _, _, inside in config) or any(n < 0 for edge in config for n in edge):
        raise SourceError("Padding between pixels has no ONNX form here: export --to stablehlo.")
    order = np.argsort(_axes(operation, range(len(config))))
    pads = [config[a][0] for a in order] + [config[a][1] for a in order]
    return graph.add("Pad", [x, graph.integers(pads), _name(graph, operation.inputs[1])])


def _slice(graph: Graph, operation: Equation) -> str:
    settings, shape = operation.settings, operation.inputs[0].shape
    axes = [a for a in range(len(shape)) if shape[a] != trace.BATCH]
    strides = settings["strides"] or (1,) * len(shape)
    parts = [settings["start_indices"], settings["limit_indices"], strides]
    starts, ends, steps = ([int(part[a]) for a in axes] for part in parts)
    inputs = [starts, ends, _axes(operation, axes), steps]
    return graph.add("Slice", [_name(graph, operation.inputs[0]), *map(graph.integers, inputs)])


def _reshape(graph: Graph, operation: Equation) -> str:
    sides = [-1 if n % trace.BATCH == 0 else n for n in operation.output.shape]
    x = _plain(graph, operation.inputs[0])
    return _kept(graph, graph.add("Reshape", [x, graph.integers(sides)]), operation.output)


def _transpose(graph: Graph, operation: Equation) -> str:
    x = _plain(graph, operation.inputs[0])
    permuted = graph.add("Transpose", [x], perm=operation.settings["permutation"])
    return _kept(graph, permuted, operation.output)


def _broadcast(graph: Graph, operation: Equation) -> str:
    shape, places = operation.output.shape, operation.settings["broadcast_dimensions"]
    before = getattr(operation.inputs[0], "shape", ())
    x = _plain(graph, operation.inputs[0])
    if not before:
        order = FIRST if len(shape) == 4 else range(len(shape))
        return _expanded(graph, x, [shape[axis] for axis in order])
    if len(before) < len(shape):
        missing = [a for a in range(len(shape)) if a not in places]
        x = graph.add("Unsqueeze", [x, graph.integers(missing)])
    if [1 if a not in places else before[places.index(a)] for a in range(len(shape))] != [*shape]:
        x = _expanded(graph, x, shape)
    return _kept(graph, x, operation.output)


def _expanded(graph: Graph, x: str, shape: Sequence[int]) -> str:
    """A value repeated along its sides of length 1; a side may be the batch."""
    batch = graph.add("Shape", [graph.pixels], start=0, end=1)
    sides = [batch if n == trace.BATCH else graph.integers([n]) for n in shape]
    return graph.add("Expand", [x, graph.add("Concat", sides, axis=0)])


def _product(graph: Graph, operation: Equation) -> str:
    (contracted, batched) = operation.settings["dimension_numbers"]
    ranks = [len(value.shape) for value in operation.inputs]
    if ranks != [2, 2] or any(batched) or tuple(map(tuple, contracted)) != ((1,), (0,)):
        raise SourceError("A product of tensors has no ONNX form here: export --to stablehlo.")
    return graph.add("MatMul", [_name(graph, value) for value in operation.inputs])


_FORMS: Mapping[str, Callable[[Graph, Equation], str]] = {
    "max_pool": _pool, "average_pool": _pool, "concatenate": _concatenate, "pad": _pad,
    "slice": _slice, "reshape": _reshape, "squeeze": _reshape, "transpose": _transpose,
    "broadcast_in_dim": _broadcast, "dot_general": _product, "reduce_window_sum": _window,
    "reduce_window_max": _window, **dict.fromkeys(REDUCTIONS, _reduce),
}  # fmt: skip
