"""Mixtures that compute one candidate of a layer: the one with the largest gate.

For `supernet.mixed`. What a step keeps in memory does not grow with the number of
candidates. ProxylessNAS, https://arxiv.org/abs/1812.00332, section 3.2.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.core.types import Stats, Weights

Execute = Literal["all", "selected", "surrogate", "recomputed", "two"]

# What a candidate does: (weights, statistics of all candidates, image) -> (image, those statistics
# moved).
Run = Callable[[Weights, Stats, jax.Array], tuple[jax.Array, Stats]]
# mixture(runs, weights, gates, statistics, image) -> (image, statistics); one run and one gate a
# candidate. All runs take and give the same shapes, so that `jax.lax.switch` may pick one of them.
Mixture = Callable[[Sequence[Run], Weights, jax.Array, Stats, jax.Array], tuple[jax.Array, Stats]]


def all_alive(runs: Sequence[Run], weights: Weights, gates: jax.Array, stats: Stats, x: jax.Array):
    """`sum_o gate_o op_o(x)`: every candidate is computed."""
    total = 0.0
    for i, run in enumerate(runs):
        y, stats = run(weights, stats, x)
        total += gates[i] * y
    return total, stats


class MixedLayer(nn.Module):
    """One layer, a mixture of its candidates; the call takes (image, f32[candidates] gates).

    A candidate is its name and what makes its module, called with `parent=None`; None is the
    identity. The last candidate is not the only identity: a layer has one module at least.
    """

    candidates: tuple[tuple[str, Callable[..., nn.Module] | None], ...]
    mixture: Mixture
    remat: bool

    @nn.compact
    def __call__(self, x: jax.Array, gates: jax.Array) -> jax.Array:
        # Modules without a parent: a mixture is a function of their weights and statistics.
        ops = {name: make(parent=None) for name, make in self.candidates if make is not None}
        if self.is_initializing():
            for name, op in ops.items():
                y, made = op.init_with_output(self.make_rng("params"), x)
                for kind, tree in made.items():
                    self.put_variable(kind, name, tree)
            return y
        weights, stats = (dict(self.variables[kind]) for kind in ("params", "stats"))

        def mix(weights, gates, stats, x):
            runs = tuple(
                functools.partial(_run, ops[name], name) if name in ops else _stay
                for name, _ in self.candidates
            )
            return self.mixture(runs, weights, gates, stats, x)

        y, moved = (jax.checkpoint(mix) if self.remat else mix)(weights, gates, stats, x)
        if self.is_mutable_collection("stats"):
            for name, tree in moved.items():
                self.put_variable("stats", name, tree)
        return y


def _run(op: nn.Module, name: str, weights: Weights, stats: Stats, x: jax.Array):
    variables = {"params": weights[name], "stats": stats[name]}
    y, moved = op.apply(variables, x, mutable=["stats"])
    return y, {**stats, name: moved["stats"]}


def _stay(weights: Weights, stats: Stats, x: jax.Array):
    return x, stats


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
