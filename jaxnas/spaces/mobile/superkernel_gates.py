"""Gates of superkernels: norms of the kernel's parts compared with learned thresholds.

Single-Path NAS, https://arxiv.org/abs/1904.02877; formulas and the Frobenius norm, not squared, as
in dstamoulis/single-path-nas nas-search/superkernel.py. A searched layer has three thresholds and
three indicators: `kernel` (is it large?), `keep` (is the layer there?), `widen` (is it wide?).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import Arch, Choice, Gates, Key, Relaxation, Space, Weights
from jaxnas.spaces.mobile import chain as chains


class Indicators(NamedTuple):
    """The indicators of one layer, usually 0 or 1; `keep` is 1 if the layer cannot be skipped."""

    kernel: jax.Array
    keep: jax.Array
    widen: jax.Array


class SuperkernelSizes(NamedTuple):
    """The two kernels and the two expansions of a layer (static)."""

    kernels: tuple[int, int]
    expansions: tuple[float, float]


@jax.custom_jvp
def indicator(x: jax.Array) -> jax.Array:
    """1 where x >= 0, else 0; its derivative is the sigmoid's."""
    return jnp.where(x >= 0, 1, 0).astype(jnp.result_type(float, x))


@indicator.defjvp
def _indicator_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    slope = jax.nn.sigmoid(x) * jax.nn.sigmoid(-x)
    return indicator(x), (t * slope).astype(jnp.result_type(float, x))


def energies(kernel: jax.Array, small: int, first: int) -> jax.Array:
    """f32[2, 2] of a kernel `[k, k, C]`: squares summed over (the `first` channels, the others) and
    (the `small` x `small` centre, its surround)."""
    margin = (kernel.shape[0] - small) // 2
    centre = np.zeros((*kernel.shape[:2], 1), bool)
    centre[margin : margin + small, margin : margin + small] = True
    squares = jnp.square(kernel)
    by_feature = jnp.stack([jnp.sum(squares, (0, 1), where=mask) for mask in (centre, ~centre)])
    return jnp.stack([by_feature[:, :first].sum(1), by_feature[:, first:].sum(1)])


def opened(
    thresholds: jax.Array,
    squares: jax.Array,
    skips: bool,
    factors: jax.Array | None = None,
    *,
    step: Callable[[jax.Array], jax.Array] = indicator,
) -> Indicators:
    """The indicators of a layer, from thresholds f32[3] (kernel, keep, widen) and its energies.

    `factors`, f32[3], multiply the indicators: dropout. `step` maps a norm's distance above its
    threshold to an indicator.
    """
    factors = jnp.ones(3, squares.dtype) if factors is None else factors
    kernel = factors[0] * step(_root(squares[:, 1].sum()) - thresholds[0])
    # The norms of both halves of the channels, of the kernel size that the first indicator selects.
    first, second = (_root(parts[0] + kernel**2 * parts[1]) for parts in squares)
    widen = factors[2] * step(second - thresholds[2])
    keep = factors[1] * step(first - thresholds[1]) if skips else jnp.ones_like(kernel)
    return Indicators(kernel, keep, widen)


def gates_of(candidates: tuple[str, ...], indicators: Indicators) -> jax.Array:
    """f32[candidates]: the gate of each, a product of indicators; they sum to 1."""
    sizes, gates = sizes_of(candidates), []
    for name in candidates:
        if name == chains.SKIP:
            gates.append(1 - indicators.keep)
        else:
            block = chains.block(name)
            large, wide = block.kernel == sizes.kernels[1], block.expansion == sizes.expansions[1]
            kernel = indicators.kernel if large else 1 - indicators.kernel
            widen = indicators.widen if wide else 1 - indicators.widen
            gates.append(indicators.keep * kernel * widen)
    return jnp.stack(gates)


def sizes_of(candidates: tuple[str, ...]) -> SuperkernelSizes:
    """Raises ValueError unless the candidates are two kernels times two expansions, and a skip."""
    blocks = [chains.block(name) for name in candidates if name != chains.SKIP]
    kernels, expansions = ({b[i] for b in blocks} for i in (0, 1))
    expected_blocks = {chains.Block(k, e) for k in kernels for e in expansions}
    if (
        len(kernels) != 2
        or len(expansions) != 2
        or set(blocks) != expected_blocks
        or len(blocks) != 4
    ):
        raise ValueError(
            "Thresholds choose between two kernels and two expansions, "
            f"which {', '.join(candidates)} are not: give all four, and a skip or none."
        )
    return SuperkernelSizes(tuple(sorted(kernels)), tuple(sorted(expansions)))


def relaxation(space: Space, *, warmup_steps: int = 0, keep: float | None = None) -> Relaxation:
    """arch[choice] is f32[edges, 3], zeros; gates depend on it and on the layers' kernels.

    For supernets of `supernet.single_path`, whose kernels are looked up by layer. Before
    `warmup_steps` every indicator has dropout: it is kept with probability `keep` and divided by
    it, else 0. `expected` has no dropout. Layers that cannot be skipped have a threshold for the
    skip without effect, as in the paper's code.
    Raises ValueError for a space of other candidates, and for a warm-up without its `keep` or the
    reverse; when called, for weights of another supernet.
    """
    for choice in space.values():
        for candidates in choice.candidates:
            sizes_of(candidates)
    if warmup_steps < 0 or (keep is None) != (warmup_steps == 0):
        raise ValueError("Give `warmup_steps` above 0 and `keep` together, or neither.")
    if keep is not None and not 0 < keep < 1:
        raise ValueError(f"Indicators are kept with a probability between 0 and 1, not {keep}.")

    def init(key: Key, space: Space) -> Arch:
        return {name: jnp.zeros((len(choice.edges), 3)) for name, choice in space.items()}

    def gates(arch: Arch, weights: Weights, *, key: Key, step: jax.Array) -> Gates:
        if not warmup_steps:
            return expected(arch, weights, step=step)
        keys = jax.random.split(key, len(space))
        drawn = {
            name: jax.random.bernoulli(k, keep, arch[name].shape) / keep
            for k, name in zip(keys, sorted(space), strict=True)
        }
        factors = {
            name: jnp.where(step < warmup_steps, values, 1).astype(arch[name].dtype)
            for name, values in drawn.items()
        }
        return {name: _rows(space[name], arch[name], weights, factors[name]) for name in space}

    def expected(arch: Arch, weights: Weights, *, step: jax.Array) -> Gates:
        return {name: _rows(space[name], arch[name], weights, None) for name in space}

    return Relaxation(init, gates, expected)


def shares(space: Space, arch: Arch, weights: Weights) -> Gates:
    """The gates with sigmoids for indicators, as probabilities of the candidates (ours).

    The gates of the search are 0 or 1, which does not rank the closed candidates.
    """
    step = jax.nn.sigmoid
    return {name: _rows(space[name], arch[name], weights, None, step) for name in space}


def _rows(
    choice: Choice, thresholds: jax.Array, weights: Weights, factors, step=indicator
) -> jax.Array:
    rows = []
    for i, ((layer, _), candidates) in enumerate(zip(choice.edges, choice.candidates, strict=True)):
        sizes = sizes_of(candidates)
        kernel = _kernel_of(weights, layer)
        first = round(kernel.shape[-1] * sizes.expansions[0] / sizes.expansions[1])
        squares = energies(kernel, sizes.kernels[0], first)
        skips = chains.SKIP in candidates
        dropout_factors = None if factors is None else factors[i]
        indicators = opened(thresholds[i], squares, skips, dropout_factors, step=step)
        rows.append(gates_of(candidates, indicators))
    return jnp.stack(rows)


def _kernel_of(weights: Weights, layer: int) -> jax.Array:
    convolution = weights.get(f"layer_{layer}", {}).get("look")
    if convolution is None:
        raise ValueError(
            f"Layer {layer} has no superkernel for thresholds to look at: search a supernet of "
            "`spaces.mobile.supernet.single_path`."
        )
    return convolution["kernel"]


def _root(square: jax.Array) -> jax.Array:
    """The square root with the derivative 0 at 0, where the true one is infinite."""
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)
