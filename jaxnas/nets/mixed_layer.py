"""Mixtures that compute one candidate of a layer: the one with the largest gate.

For `supernet.mixed`. What a step keeps in memory does not grow with the number of
candidates. ProxylessNAS, https://arxiv.org/abs/1812.00332, section 3.2.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp

from jaxnas.core.types import Stats, Weights
from jaxnas.spaces.mobile.supernet import Mixture, Run, all_alive

Execute = Literal["all", "selected", "surrogate", "recomputed", "two"]


def mixture(execute: Execute) -> Mixture:
    """How a layer's candidates are computed.

    `all`: every one, as `sum_o gate_o op_o(x)`. The others compute the candidate with the largest
    gate, times that gate, and recompute it in the backward pass; they differ in which gates get a
    gradient. `selected`: its own; `surrogate`: the others too, as if they gave ones (GDAS's code);
    `recomputed`: every gate its true one, <d loss / d output, candidate(x)>, the candidates
    computed one after the other in the backward pass (ProxylessNAS's full_v2); `two`: so those of
    the two largest gates, which `binary.two_path` opens. Raises ValueError for another word.
    """
    known = {
        "all": all_alive,
        "selected": _selected,
        "surrogate": _surrogate,
        "recomputed": functools.partial(_drawn, _every),
        "two": functools.partial(_drawn, _largest_two),
    }
    if execute not in known:
        raise ValueError(f"Candidates are executed {', '.join(known)}, not {execute!r}.")
    return known[execute]


def _selected(runs: Sequence[Run], weights: Weights, gates: jax.Array, stats: Stats, x: jax.Array):
    chosen = jnp.argmax(gates)
    y, stats = jax.lax.switch(chosen, runs, weights, stats, x)
    return gates[chosen] * y, stats


def _surrogate(runs: Sequence[Run], weights: Weights, gates: jax.Array, stats: Stats, x: jax.Array):
    y, stats = _selected(runs, weights, gates, stats, x)
    return y + gates.sum() - gates.max(), stats


def _every(gates: jax.Array) -> jax.Array:
    return jnp.arange(len(gates))


def _largest_two(gates: jax.Array) -> jax.Array:
    return jax.lax.top_k(gates, 2)[1]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _drawn(judged: Callable[[jax.Array], jax.Array], runs, weights, gates, stats, x):
    return _selected(runs, weights, gates, stats, x)


def _forward(judged, runs, weights, gates, stats, x):
    return _selected(runs, weights, gates, stats, x), (weights, gates, stats, x)


def _backward(judged, runs, kept, cotangents):
    weights, gates, stats, x = kept
    slope, _ = cotangents  # running statistics are nobody's loss
    chosen = jnp.argmax(gates)

    def pull_back(run: Run):
        def back(weights, stats, x, slope):
            return jax.vjp(lambda w, x: run(w, stats, x)[0], weights, x)[1](slope)

        return back

    pulls = [pull_back(run) for run in runs]
    d_weights, d_x = jax.lax.switch(chosen, pulls, weights, stats, x, gates[chosen] * slope)

    def worth(candidate: jax.Array) -> jax.Array:
        y, _ = jax.lax.switch(candidate, runs, weights, stats, x)
        return jnp.sum(slope * y)

    looked_at = judged(gates)
    # One after the other: the memory of one candidate.
    d_gates = jnp.zeros_like(gates).at[looked_at].set(jax.lax.map(worth, looked_at))
    return d_weights, d_gates, jax.tree.map(jnp.zeros_like, stats), d_x


_drawn.defvjp(_forward, _backward)
