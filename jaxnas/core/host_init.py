"""Initial states computed by NumPy: XLA takes seconds to compile a hundred random draws.

The draws of a traced function are those of JAX, bit for bit: Threefry-2x32 with 20 rounds
(Salmon et al. 2011, https://doi.org/10.1145/2063384.2063405), keyed and counted as in
`jax.random` with `jax_threefry_partitionable`. What is computed from them has no fused operations,
so that it may differ from a compiled function's in the last digit.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Lazy = Callable[[], np.ndarray]

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = np.uint32(0x1BD11BDA)
HALF = np.uint64(32)  # a key is two words of 32 bits, here one of 64


class _NoRuleError(Exception):
    """An operation that NumPy is not told how to compute."""


def evaluate(init: Callable[..., Any], *arguments: Any) -> Any | None:
    """`init(*arguments)` as arrays of the default device, or None if NumPy cannot compute it.

    It can for uniform and normal draws, constants and changes of shape, in loops, too. Only what
    the result depends on is computed.
    """
    if not jax.config.jax_threefry_partitionable:  # pyright: ignore[reportAttributeAccessIssue]
        return None
    closed, shapes = jax.make_jaxpr(init, return_shape=True)(*arguments)
    if any(map(_is_foreign_key, closed.jaxpr.invars)):
        return None
    leaves = [_known(_to_host(leaf)) for leaf in jax.tree.leaves(arguments)]
    try:
        results = [value() for value in _bind(closed.jaxpr, closed.consts, leaves)]
    except _NoRuleError:
        return None
    avals = [variable.aval for variable in closed.jaxpr.outvars]
    return jax.tree.unflatten(jax.tree.structure(shapes), map(_to_device, results, avals))


def threefry(keys: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two words u32[...] for keys u64[...] and counts u64[...], which broadcast."""
    words = [(keys >> HALF).astype(np.uint32), keys.astype(np.uint32)]
    words.append(words[0] ^ words[1] ^ PARITY)
    high, low = (counts >> HALF).astype(np.uint32), counts.astype(np.uint32)
    with np.errstate(over="ignore"):  # sums are modulo 2^32
        high, low = high + words[0], low + words[1]
        for block in range(5):
            for rotation in ROTATIONS[block % 2]:
                high = high + low
                low = high ^ ((low << np.uint32(rotation)) | (low >> np.uint32(32 - rotation)))
            high = high + words[(block + 1) % 3]
            low = low + (words[(block + 2) % 3] + np.uint32(block + 1))
    return high, low


def _is_key(array: Any) -> bool:
    return jnp.issubdtype(array.dtype, jax.dtypes.prng_key)


def _to_host(leaf: Any) -> np.ndarray:
    if _is_key(leaf):
        return _packed(np.asarray(jax.random.key_data(leaf)))
    return np.asarray(leaf)


def _to_device(value: np.ndarray, aval: Any) -> jax.Array:
    if _is_key(aval):
        key_data: Any = _unpacked(value)  # of NumPy, which JAX takes too
        return jax.random.wrap_key_data(key_data, impl="threefry2x32")
    return jax.device_put(np.array(value, aval.dtype))


def _packed(words: np.ndarray) -> np.ndarray:
    return _joined(words[..., 0], words[..., 1])


def _unpacked(keys: np.ndarray) -> np.ndarray:
    return np.stack([(keys >> HALF).astype(np.uint32), keys.astype(np.uint32)], -1)


def _joined(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    return (high.astype(np.uint64) << HALF) | low.astype(np.uint64)


def _counted(keys: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The words of each key at the counts of an array of that shape."""
    counts = np.arange(np.prod(shape, dtype=int), dtype=np.uint64).reshape(shape)
    return threefry(keys.reshape(keys.shape + (1,) * len(shape)), counts)


def _fold_in(keys, data, **_):
    data = data.astype(np.uint32)
    return _joined(*threefry(keys, data.reshape(data.shape + (1,) * (keys.ndim - data.ndim))))


def _bits(keys, *, bit_width, shape, **_):
    return np.bitwise_xor(*_counted(keys, shape))


def _broadcast(x, *, shape, broadcast_dimensions, **_):
    expanded = [1] * len(shape)
    for axis, size in zip(broadcast_dimensions, x.shape, strict=True):
        expanded[axis] = size
    return np.broadcast_to(x.reshape(expanded), shape)


def _slice(x, *, start_indices, limit_indices, strides, **_):
    strides = strides or (1,) * x.ndim
    return x[tuple(map(slice, start_indices, limit_indices, strides))]


def _erf_inv(x):
    """By XLA, with as many values as the next power of two, so that few sizes are compiled."""
    padded = np.zeros(1 << max(x.size - 1, 1).bit_length(), x.dtype)
    padded[: x.size] = x.ravel()
    return np.asarray(_compiled_erf_inv()(padded))[: x.size].reshape(x.shape)


@functools.cache
def _compiled_erf_inv() -> Callable[[np.ndarray], jax.Array]:
    return jax.jit(jax.lax.erf_inv)


RULES: Mapping[str, Callable[..., np.ndarray]] = {
    "random_fold_in": _fold_in,
    "random_split": lambda keys, *, shape, **_: _joined(*_counted(keys, shape)),
    "random_bits": _bits,
    "random_clone": lambda keys, **_: keys,
    "random_wrap": lambda words, **_: _packed(words),
    "random_unwrap": lambda keys, **_: _unpacked(keys),
    "broadcast_in_dim": _broadcast,
    "reshape": lambda x, *, new_sizes, **_: x.reshape(new_sizes),
    "squeeze": lambda x, *, dimensions, **_: np.squeeze(x, dimensions),
    "slice": _slice,
    "convert_element_type": lambda x, *, new_dtype, **_: x.astype(new_dtype),
    "bitcast_convert_type": lambda x, *, new_dtype, **_: x.view(new_dtype),
    "erf_inv": lambda x, **_: _erf_inv(x),
    "shift_right_logical": lambda x, y, **_: x >> y,
    "or": lambda x, y, **_: x | y,
    "add": lambda x, y, **_: x + y,
    "sub": lambda x, y, **_: x - y,
    "mul": lambda x, y, **_: x * y,
    "max": lambda x, y, **_: np.maximum(x, y),
}


def _bind(jaxpr: Any, consts: Sequence, inputs: Sequence[Lazy]) -> list[Lazy]:
    """The results of a program, none of them computed."""
    values = {id(v): _known(np.asarray(c)) for v, c in zip(jaxpr.constvars, consts, strict=True)}
    values |= zip(map(id, jaxpr.invars), inputs, strict=True)

    def read(v: Any) -> Lazy:
        return _known(np.asarray(v.val, v.aval.dtype)) if hasattr(v, "val") else values[id(v)]

    for equation in jaxpr.eqns:
        outputs = _outputs(equation, [read(v) for v in equation.invars])
        values |= zip(map(id, equation.outvars), outputs, strict=True)
    return [read(v) for v in jaxpr.outvars]


def _outputs(equation: Any, inputs: Sequence[Lazy]) -> list[Lazy]:
    name, params = equation.primitive.name, equation.params
    if name == "jit":
        body = params["jaxpr"]
        return _bind(body.jaxpr, body.consts, inputs)
    if name == "remat2":
        return _bind(params["jaxpr"], (), inputs)
    if name == "scan" and params["length"]:
        return _loop(inputs, **params)
    if not _has_rule(equation):
        return [functools.partial(_refuse, name)] * len(equation.outvars)
    return [_once(lambda: RULES[name](*(x() for x in inputs), **params))]


def _loop(inputs: Sequence[Lazy], *, jaxpr, num_consts, num_carry, length, reverse, **_):
    """The results of a `scan`: what is carried, then stacks of what every round gives."""
    consts, carry = inputs[:num_consts], inputs[num_consts : num_consts + num_carry]
    stacks, rounds = inputs[num_consts + num_carry :], {}
    for i in reversed(range(length)) if reverse else range(length):
        rows = [_once(lambda x=x, i=i: x()[i]) for x in stacks]
        outputs = _bind(jaxpr.jaxpr, jaxpr.consts, [*consts, *carry, *rows])
        carry, rounds[i] = outputs[:num_carry], outputs[num_carry:]
    by_result = zip(*(rounds[i] for i in range(length)), strict=True)
    return [*carry, *(_once(lambda rows=rows: np.stack([x() for x in rows])) for rows in by_result)]


def _refuse(name: str):
    raise _NoRuleError(name)


def _has_rule(equation: Any) -> bool:
    name, params = equation.primitive.name, equation.params
    if name not in RULES or any(map(_is_foreign_key, equation.outvars)):
        return False
    if name == "random_bits":
        return params["bit_width"] == 32
    if name == "shift_right_logical":
        return equation.invars[0].aval.dtype.kind == "u"
    if name == "bitcast_convert_type":
        return equation.invars[0].aval.dtype.itemsize == np.dtype(params["new_dtype"]).itemsize
    return name != "reshape" or params["dimensions"] is None


def _is_foreign_key(variable: Any) -> bool:
    """Whether it is a key of another generator than Threefry."""
    return _is_key(variable.aval) and str(variable.aval.dtype) != "key<fry>"


def _known(value: np.ndarray) -> Lazy:
    return lambda: value


def _once(compute: Lazy) -> Lazy:
    """`compute` called once at most, and forgotten then with all that it refers to."""
    pending, done = [compute], []

    def value() -> np.ndarray:
        if pending:
            done.append(pending.pop()())
        return done[0]

    return value
