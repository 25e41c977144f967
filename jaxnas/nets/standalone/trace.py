"""What a network computes: its calls of modules, and the operations between them.

The inference of a network is traced once. Every call of a module is enclosed by two marks, so that
the operations between them are its own, those of inner modules apart.
"""

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Literal, Primitive

from jaxnas.nets.standalone import layers
from jaxnas.nets.standalone.layers import FlaxLayer, SourceError

# The batch while a network is traced: a prime, so that a side of that length is the batch.
BATCH = 7919
# Functions that are written by their name: what they do within is not looked at.
NAMED = {"relu", "relu6", "silu", "gelu", "hard_sigmoid", "hard_silu", "hard_swish", "elu", "selu"}

Path = tuple[str, ...]


class Value(NamedTuple):
    """An array that is computed, or one of the weights."""

    number: int
    shape: tuple[int, ...]
    weight: Path | None = None  # its path: ("params" or "stats", modules, name)


class Constant(NamedTuple):
    """A number that stands in the program."""

    number: float


class Equation(NamedTuple):
    name: str  # of JAX's primitive, or one of NAMED
    inputs: tuple[Value | Constant, ...]
    settings: Mapping[str, Any]
    output: Value


class ModuleCall(NamedTuple):
    """A call of a module, with what it computes."""

    path: Path
    kind: str  # its class
    about: str  # the first line of its docstring
    fields: Mapping[str, int]
    layer: FlaxLayer | None  # where it has no inner parts
    names: tuple[str, ...]  # of its arguments
    outside: tuple[Value, ...]  # what it is called with
    inside: tuple[Value, ...]  # the same, as its own operations name them
    body: Sequence[Any]  # of Equation and ModuleCall, in order
    result: Value | None = None  # as its own operations name it
    output: Value | None = None  # the same, as the caller's operations name it


enter_p, leave_p = Primitive("enter_module"), Primitive("leave_module")
for primitive in (enter_p, leave_p):
    primitive.multiple_results = True
    primitive.def_abstract_eval(lambda *arrays, path: list(arrays))


def network(infer: Callable, weights: Any, stats: Any, image: tuple[int, int, int]) -> ModuleCall:
    """The call of the whole network on images of a shape.

    `infer(weights, stats, inputs)` is that of a `core.types.Network`; only the shapes of weights
    and statistics are used. Raises SourceError for what cannot be written as source code.
    """
    modules: dict[Path, tuple[nn.Module, FlaxLayer | None, tuple[str, ...]]] = {}
    inputs = jax.ShapeDtypeStruct((BATCH, *image), jnp.float32)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), (weights, stats))
    with nn.intercept_methods(_marking(modules)):
        # A function of its own: JAX would find another trace of `infer` in its cache, unmarked.
        traced = jax.make_jaxpr(lambda *arguments: infer(*arguments))(*shapes, inputs)
    trees = {"params": weights, "stats": stats}
    paths = [
        (collection, *(entry.key for entry in path))
        for collection, tree in trees.items()
        for path, _ in jax.tree_util.tree_flatten_with_path(tree)[0]
    ]
    return _read(traced, modules, paths)


def _marking(modules: dict) -> Callable:
    """An interceptor of flax that encloses each call of a module by marks."""

    def intercept(call, arguments, keywords, context):
        module = context.module
        if context.method_name != "__call__" or keywords:
            return call(*arguments, **keywords)
        arrays = [a for a in arguments if a is not None]
        if not arrays or not all(hasattr(a, "shape") for a in arrays):
            return call(*arguments)
        path = tuple(module.path)
        if path in modules:
            raise SourceError(f"The module {'/'.join(path)} is called twice, so it has no source.")
        layer = layers.of(module, tuple(arrays[0].shape))
        names = [name for name in inspect.signature(type(module).__call__).parameters][1:]
        modules[path] = module, layer, tuple(names[: len(arrays)])
        marked = iter(enter_p.bind(*arrays, path=path))
        if layer is not None and layer.shape is not None:
            y = jnp.zeros(layer.shape, arrays[0].dtype)
        else:
            y = call(*(None if a is None else next(marked) for a in arguments))
        if not hasattr(y, "shape"):
            raise SourceError(f"The module {'/'.join(path)} gives several arrays.")
        return leave_p.bind(y, path=path)[0]

    return intercept


class _Reading(NamedTuple):
    """What is known while a program is read; `calls` are those not left yet, innermost last."""

    modules: Mapping[Path, tuple[nn.Module, FlaxLayer | None, tuple[str, ...]]]
    numbers: Iterator[int]
    calls: list[ModuleCall]


def _read(traced: ClosedJaxpr, modules: Mapping, paths: Sequence[Path]) -> ModuleCall:
    """The program of a trace as calls and operations; `paths`: of its weights, which come first."""
    reading = _Reading(modules, itertools.count(), [])
    values = {
        variable: _value(reading, variable, path)
        for variable, path in zip(traced.jaxpr.invars, [*paths, None], strict=True)
    }
    top: list = []
    _walk(reading, traced, values, top)
    calls = [item for item in top if isinstance(item, ModuleCall)]
    if len(calls) != 1:
        raise SourceError("The network is not one module of flax, so it has no source.")
    return calls[0]


def _walk(reading: _Reading, program: ClosedJaxpr, values: dict, top: list) -> None:
    """Adds the items of a program to the innermost call; its inputs are in `values`."""
    for variable, array in zip(program.jaxpr.constvars, program.consts, strict=True):
        values[variable] = _constant(array)
    get = lambda a: _constant(a.val) if isinstance(a, Literal) else values[a]
    for equation in program.jaxpr.eqns:
        inputs, settings = tuple(map(get, equation.invars)), equation.params
        inner = settings.get("jaxpr") or settings.get("call_jaxpr")
        name = settings.get("name", "") if inner is not None else equation.primitive.name
        outputs = [_value(reading, variable) for variable in equation.outvars]
        if equation.primitive is enter_p:
            reading.calls.append(_entered(reading, settings["path"], inputs, tuple(outputs)))
        elif equation.primitive is leave_p:
            call = reading.calls.pop()
            left = call._replace(result=inputs[0], output=outputs[0])
            (reading.calls[-1].body if reading.calls else top).append(left)
        elif inner is not None and name not in NAMED:
            closed = inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())
            scope = dict(zip(closed.jaxpr.invars, inputs, strict=True))
            _walk(reading, closed, scope, top)
            outvars = closed.jaxpr.outvars
            outputs = [_constant(a.val) if isinstance(a, Literal) else scope[a] for a in outvars]
        else:
            body = reading.calls[-1].body if reading.calls else top
            body.append(Equation(name, inputs, settings, outputs[0]))
        values.update(zip(equation.outvars, outputs, strict=True))


def _value(reading: _Reading, variable: Any, weight: Path | None = None) -> Value:
    return Value(next(reading.numbers), tuple(variable.aval.shape), weight)


def _entered(reading: _Reading, path: Path, outside: tuple, inside: tuple) -> ModuleCall:
    module, layer, names = reading.modules[path]
    about = (inspect.getdoc(type(module)) or "").splitlines()
    fields = {name: value for name, value in vars(module).items() if type(value) is int}
    kind = type(module).__name__
    line = about[0] if about else ""
    return ModuleCall(path, kind, line, fields, layer, names, outside, inside, [])


def _constant(array: Any) -> Constant:
    if getattr(array, "size", 1) != 1:
        raise SourceError("The network has an array of constants, which has no place in a source.")
    number = array.item() if hasattr(array, "item") else array
    # JAX has classes of its own for integers, whose text is not a number.
    return Constant(float(number) if isinstance(number, float) else int(number))
