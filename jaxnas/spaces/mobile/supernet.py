"""Supernets of mobile chains: each layer a mixture of its candidates, or one superkernel."""

import functools
from collections.abc import Callable

import flax.linen as nn

from jaxnas.core.types import Supernet
from jaxnas.nets import batch_norm, functional
from jaxnas.nets.mixed import mixed_layer
from jaxnas.spaces.mobile import blocks, network, superkernel
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile.chain import Chain


class MobileSearchNetwork(nn.Module):
    """Stem, layers, head; calls take (images, gates).

    `make_layer(layer, chain, norm, name=...)` makes the layers that have a choice.
    """

    chain: Chain
    make_layer: Callable[..., nn.Module]
    classes: int
    norms: batch_norm.Norms

    @nn.compact
    def __call__(self, x, gates):
        inner = blocks.chain_norm(self.chain, self.norms.inside)
        outer = blocks.chain_norm(self.chain, self.norms.outside)
        rows = chains.gate_rows(self.chain)
        x = blocks.MobileStem(self.chain, outer, name="front")(x)
        for i, layer in enumerate(chains.layers(self.chain)):
            if i in rows:
                choice, row = rows[i]
                module = self.make_layer(layer, self.chain, inner, name=f"layer_{i}")
                x = module(x, gates[choice][row])
            elif layer.candidates[0] != chains.SKIP:
                fixed = layer.candidates[0]
                x = blocks.bottleneck(layer, fixed, self.chain, outer, name=f"layer_{i}")(x)
        return blocks.MobileHead(self.chain, self.classes, outer, False, name="back")(x)


def mixed(
    chain: Chain,
    *,
    classes: int = 1000,
    affine: bool = True,
    remat: bool = True,
    mixture: mixed_layer.Mixture = mixed_layer.weighted_sum,
) -> Supernet:
    """The supernet of ProxylessNAS and FBNet: a layer is the mixture of its candidates.

    Normalisation in searched layers is affine, as in both papers' code, unless `affine` is False;
    `mixture` computes the candidates (see `mixed_layer`); `remat`: recompute a searched layer in
    its backward pass. There is no dropout. Raises ValueError for an invalid chain or one without
    choices, and at `init` for images too small for its halvings.
    """

    def make_layer(layer, chain, norm, *, name):
        make = lambda op: functools.partial(blocks.bottleneck, layer, op, chain, norm)
        candidates = tuple((op, None if op == chains.SKIP else make(op)) for op in layer.candidates)
        return mixed_layer.MixedLayer(candidates, mixture, remat, name=name)

    return _supernet(chain, make_layer, classes, affine)


def single_path(
    chain: Chain, *, classes: int = 1000, closing: superkernel.Closing = "features"
) -> Supernet:
    """The supernet of Single-Path NAS: a layer is one superkernel, masked by the gates.

    Gates may be any numbers: the kernel is `sum_c gate_c mask_c * kernel`. For `closing` see
    `superkernel.SuperBottleneck`. There is no dropout, which the paper's code has before the
    classifier. Raises ValueError for an invalid chain, one without choices, or one whose candidates
    are not parts of one kernel, and at `init` for images too small for its halvings.
    """
    superkernel.check_chain(chain)
    if closing not in ("kernel", "features"):
        raise ValueError(f"A closed gate closes the 'kernel' or the 'features', not {closing!r}.")

    def make_layer(layer, chain, norm, *, name):
        return superkernel.SuperBottleneck(layer, chain, norm, closing, name=name)

    return _supernet(chain, make_layer, classes, True)


def _supernet(
    chain: Chain, make_layer: Callable[..., nn.Module], classes: int, affine: bool
) -> Supernet:
    space = chains.space(chain)
    network.check_classes(classes)
    make = functools.partial(MobileSearchNetwork, chain, make_layer, classes)
    check_image = functools.partial(chains.check_image, chain)
    return functional.supernet(space, make, affine=affine, check_image=check_image)
