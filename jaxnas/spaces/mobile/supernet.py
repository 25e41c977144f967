"""Supernets of mobile chains: every layer a mixture of its candidates, or one superkernel."""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax

from jaxnas.core.types import Stats, Supernet, Weights
from jaxnas.nets import batch_norm, functional
from jaxnas.nets import inverted_bottleneck as blocks
from jaxnas.nets.batch_norm import Norm
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile import superkernel
from jaxnas.spaces.mobile.chain import Chain, Layer

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
    """A layer's candidates, each with the image added where it fits, and their mixture."""

    layer: Layer
    chain: Chain
    norm: Norm
    mixture: Mixture
    remat: bool

    @nn.compact
    def __call__(self, x: jax.Array, gates: jax.Array) -> jax.Array:
        # Modules without a parent: a mixture is a function of their weights and statistics.
        ops = {
            name: blocks.Bottleneck(
                self.layer, chains.block(name), self.chain, self.norm, parent=None
            )
            for name in self.layer.candidates
            if name != chains.SKIP
        }
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
                for name in self.layer.candidates
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


class SearchChain(nn.Module):
    """Front, layers, back; a call takes (images, gates).

    `searched(layer, chain, norm, name=...)` makes the layers that have a choice.
    """

    chain: Chain
    searched: Callable[..., nn.Module]
    classes: int
    norms: batch_norm.Norms

    @nn.compact
    def __call__(self, x, gates):
        inside = blocks.chain_norm(self.chain, self.norms.inside)
        outer = blocks.chain_norm(self.chain, self.norms.outside)
        rows = chains.places(self.chain)
        x = blocks.MobileStem(self.chain, outer, name="front")(x)
        for i, layer in enumerate(chains.layers(self.chain)):
            if i in rows:
                choice, row = rows[i]
                make = self.searched(layer, self.chain, inside, name=f"layer_{i}")
                x = make(x, gates[choice][row])
            elif layer.candidates[0] != chains.SKIP:
                what = chains.block(layer.candidates[0])
                x = blocks.Bottleneck(layer, what, self.chain, outer, name=f"layer_{i}")(x)
        return blocks.MobileHead(self.chain, self.classes, outer, False, name="back")(x)


def mixed(
    chain: Chain,
    *,
    classes: int = 1000,
    affine: bool = True,
    remat: bool = True,
    mixture: Mixture = all_alive,
) -> Supernet:
    """The supernet of ProxylessNAS and FBNet: a layer is the mixture of its candidates.

    Normalisation in searched layers is affine, as in both papers' code, unless `affine` is False;
    `mixture` says how candidates are computed; `remat` recomputes a searched layer in its backward
    pass instead of keeping what is inside. There is no dropout. Raises ValueError for a chain that
    cannot be or leaves no choice, and at `init` for images too small for its halvings.
    """

    def searched(layer, chain, norm, *, name):
        return MixedLayer(layer, chain, norm, mixture, remat, name=name)

    return _supernet(chain, searched, classes, affine)


def single_path(
    chain: Chain, *, classes: int = 1000, closing: superkernel.Closing = "features"
) -> Supernet:
    """The supernet of Single-Path NAS: a layer is its largest candidate, masked by the gates.

    Gates may be any numbers: the kernel is `sum_c gate_c mask_c * kernel`. For `closing` see
    `superkernel.SuperBottleneck`. There is no dropout, which the paper's code has before the
    classifier. Raises ValueError for a chain that cannot be, leaves no choice, or whose candidates
    are not parts of one kernel, and at `init` for images too small for its halvings.
    """
    superkernel.refuse(chain)
    if closing not in ("kernel", "features"):
        raise ValueError(f"A closed gate closes the 'kernel' or the 'features', not {closing!r}.")

    def searched(layer, chain, norm, *, name):
        return superkernel.SuperBottleneck(layer, chain, norm, closing, name=name)

    return _supernet(chain, searched, classes, True)


def _supernet(chain: Chain, searched, classes: int, affine: bool) -> Supernet:
    space = chains.space(chain)
    blocks.check_classes(classes)
    make = functools.partial(SearchChain, chain, searched, classes)
    refuse = functools.partial(chains.check_image, chain)
    return functional.supernet(space, make, affine=affine, refuse=refuse)
