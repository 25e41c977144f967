"""A layer that is a mixture of candidates, and its execution rules.

All candidates, or only the one with the largest gate: the memory of a step then does not grow with
the number of candidates. ProxylessNAS, https://arxiv.org/abs/1812.00332, section 3.2.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.core.types import Stats, Weights
from jaxnas.nets import count

Execute = Literal["all", "selected", "surrogate", "recomputed", "two"]
# A candidate: (weights, statistics of all candidates, image) -> (image, those statistics, moved).
Run = Callable[[Weights, Stats, jax.Array], tuple[jax.Array, Stats]]
# (runs, weights, gates, statistics, image) -> (image, statistics); one run and one gate a
# candidate. All runs take and give the same shapes, so that `jax.lax.switch` may pick one of them.
Mixture = Callable[[Sequence[Run], Weights, jax.Array, Stats, jax.Array], tuple[jax.Array, Stats]]


def weighted_sum(
    runs: Sequence[Run], weights: Weights, gates: jax.Array, stats: Stats, x: jax.Array
):
    """The mixture `sum_o gate_o op_o(x)`: every candidate is computed."""
    total = 0.0
    for i, run in enumerate(runs):
        y, stats = run(weights, stats, x)
        total += gates[i] * y
    return total, stats


class MixedLayer(nn.Module):
    """A mixture of the candidates of a layer; the call takes (image, f32[candidates] gates).

    A candidate is its name and a factory of its module, called with `parent=None`; the factory None
    is the identity. At least one candidate is a module.
    """

    candidates: tuple[tuple[str, Callable[..., nn.Module] | None], ...]
    mixture: Mixture
    remat: bool  # recompute the layer in its backward pass

    @nn.compact
    def __call__(self, x: jax.Array, gates: jax.Array) -> jax.Array:
        ops = self._ops()
        if self.is_initializing():
            for name, op in ops.items():
                y, variables = op.init_with_output(self.make_rng("params"), x)
                for kind, tree in variables.items():
                    self.put_variable(kind, name, tree)
            return y
        weights, stats = (dict(self.variables[kind]) for kind in ("params", "stats"))

        def mix(weights, gates, stats, x):
            runs = tuple(
                functools.partial(_apply, ops[name], name) if name in ops else _identity
                for name, _ in self.candidates
            )
            return self.mixture(runs, weights, gates, stats, x)

        y, new_stats = (jax.checkpoint(mix) if self.remat else mix)(weights, gates, stats, x)
        if self.is_mutable_collection("stats"):
            for name, tree in new_stats.items():
                self.put_variable("stats", name, tree)
        return y

    @nn.nowrap
    def macs(self, x: jax.Array, gates: jax.Array) -> int:
        """Multiply-accumulates of all candidates for one image."""
        return sum(count.module_macs(op, x) for op in self._ops().values())

    @nn.nowrap
    def _ops(self) -> dict[str, nn.Module]:
        """Modules without a parent: a mixture is a function of their weights and statistics."""
        return {name: make(parent=None) for name, make in self.candidates if make is not None}


def _apply(op: nn.Module, name: str, weights: Weights, stats: Stats, x: jax.Array):
    variables = {"params": weights[name], "stats": stats[name]}
    y, new = op.apply(variables, x, mutable=["stats"])
    return y, {**stats, name: new["stats"]}


def _identity(weights: Weights, stats: Stats, x: jax.Array):
    return x, stats


def mixture(execute: Execute) -> Mixture:
    """The execution rule of a layer's candidates.

    `all`: every one, `weighted_sum`. The other rules compute the candidate with the largest gate,
    times that gate, and recompute it in the backward pass; they differ in the gates that get a
    gradient. `selected`: only the largest; `surrogate`: the others too, as if their outputs were
    ones (GDAS's code); `recomputed`: the true gradient of every gate,
    <d loss / d output, candidate(x)>, the candidates computed one after the other in the backward
    pass (ProxylessNAS's full_v2); `two`: the same for the two largest gates, which
    `binary.two_path` opens. Raises ValueError for an unknown rule.
    """
    mixtures = {
        "all": weighted_sum,
        "selected": _selected,
        "surrogate": _surrogate,
        "recomputed": functools.partial(_recomputed, _all_candidates),
        "two": functools.partial(_recomputed, _largest_two),
    }
    if execute not in mixtures:
        raise ValueError(f"Candidates are executed {', '.join(mixtures)}, not {execute!r}.")
    return mixtures[execute]


def _selected(runs: Sequence[Run], weights: Weights, gates: jax.Array, stats: Stats, x: jax.Array):
    chosen = jnp.argmax(gates)
    y, stats = jax.lax.switch(chosen, runs, weights, stats, x)
    return gates[chosen] * y, stats


def _surrogate(runs: Sequence[Run], weights: Weights, gates: jax.Array, stats: Stats, x: jax.Array):
    y, stats = _selected(runs, weights, gates, stats, x)
    return y + gates.sum() - gates.max(), stats


def _all_candidates(gates: jax.Array) -> jax.Array:
    return jnp.arange(len(gates))


def _largest_two(gates: jax.Array) -> jax.Array:
    return jax.lax.top_k(gates, 2)[1]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _recomputed(differentiated: Callable[[jax.Array], jax.Array], runs, weights, gates, stats, x):
    """`_selected`, whose backward pass computes the candidates `differentiated(gates)` as well."""
    return _selected(runs, weights, gates, stats, x)


def _forward(differentiated, runs, weights, gates, stats, x):
    return _selected(runs, weights, gates, stats, x), (weights, gates, stats, x)


def _backward(differentiated, runs, residuals, cotangents):
    weights, gates, stats, x = residuals
    d_y, _ = cotangents  # no loss depends on running statistics
    chosen = jnp.argmax(gates)

    def pull_back(run: Run):
        def back(weights, stats, x, d_y):
            return jax.vjp(lambda w, x: run(w, stats, x)[0], weights, x)[1](d_y)

        return back

    pulls = [pull_back(run) for run in runs]
    d_weights, d_x = jax.lax.switch(chosen, pulls, weights, stats, x, gates[chosen] * d_y)

    def gate_gradient(candidate: jax.Array) -> jax.Array:
        y, _ = jax.lax.switch(candidate, runs, weights, stats, x)
        return jnp.sum(d_y * y)

    candidates = differentiated(gates)
    # One after the other: the memory of one candidate.
    d_gates = jnp.zeros_like(gates).at[candidates].set(jax.lax.map(gate_gradient, candidates))
    return d_weights, d_gates, jax.tree.map(jnp.zeros_like, stats), d_x


_recomputed.defvjp(_forward, _backward)
