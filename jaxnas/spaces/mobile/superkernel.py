"""One bottleneck that holds all candidates of a layer: they are cut out of its kernel.

Single-Path NAS, https://arxiv.org/abs/1904.02877, dstamoulis/single-path-nas
nas-search/superkernel.py: the depthwise kernel is as large and as wide as the largest candidate's;
a smaller candidate is its centre, over its first features.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.nets import inverted_bottleneck, lowering, ops
from jaxnas.nets.batch_norm import Norm
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile.chain import Chain, Layer

# What a closed gate closes: the kernel alone, as in the paper's code, or what comes of it as well.
Closing = Literal["kernel", "features"]


class SuperKernel(nn.Module):
    """Depthwise convolution with `sum_c gate_c mask_c * kernel`."""

    layer: Layer
    chain: Chain

    @nn.compact
    def __call__(self, x, gates):
        centres, wide = masks(self.layer)
        size = centres.shape[1]
        shape = (size, size, x.shape[-1])
        kernel = self.param("kernel", ops.he_normal(size**2, size**2), shape, x.dtype)
        opened = jnp.einsum("c,cij,ch->ijh", gates, centres, wide).astype(x.dtype)
        return lowering.depthwise(x, kernel * opened, self.layer.stride, 1, self.chain.padding)


class SuperBottleneck(nn.Module):
    """The bottleneck of the largest candidate, open as far as the gates, f32[candidates], say.

    The paper's code masks the kernel alone, so that a closed half still reaches the next layer as
    what normalisation makes of zeros, and a skipped layer adds such a constant. `closing`
    "features" puts zeros there: with one-hot gates the layer is then the stand-alone block. Either
    way gradients pass as if nothing but the kernel were masked, so that the closed may open again.
    """

    layer: Layer
    chain: Chain
    norm: Norm
    closing: Closing

    @nn.compact
    def __call__(self, x, gates):
        layer, chain = self.layer, self.chain
        activation = inverted_bottleneck.ACTIVATIONS[chain.activation]
        _, wide = masks(layer)
        y = inverted_bottleneck.pointwise(wide.shape[1], name="widen")(x)
        y = activation(self.norm(name="widen_norm")(y))
        y = SuperKernel(layer, chain, name="look")(y, gates)
        y = self._closed(activation(self.norm(name="look_norm")(y)), gates @ wide != 0)
        y = inverted_bottleneck.pointwise(layer.features, name="narrow")(y)
        y = self._closed(self.norm(name="narrow_norm")(y), gates @ wide[:, 0] != 0)
        return x + y if layer.residual else y

    def _closed(self, y: jax.Array, is_open: jax.Array) -> jax.Array:
        """Zeros where closed; the gradient passes as if all were open."""
        if self.closing == "kernel":
            return y
        return y + jax.lax.stop_gradient(jnp.where(is_open, y, 0) - y)


def masks(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """f32[candidates, k, k] and f32[candidates, hidden]: what of the kernel each candidate is."""
    sizes = [None if n == chains.SKIP else chains.block(n) for n in layer.candidates]
    largest = max(what.kernel for what in sizes if what)
    widest = max(chains.hidden(layer, what) for what in sizes if what)
    centres = np.zeros((len(sizes), largest, largest), np.float32)
    wide = np.zeros((len(sizes), widest), np.float32)
    for i, what in enumerate(sizes):
        if what:
            inside = slice((largest - what.kernel) // 2, (largest + what.kernel) // 2)
            centres[i, inside, inside] = 1
            wide[i, : chains.hidden(layer, what)] = 1
    return centres, wide


def refuse(chain: Chain) -> None:
    """Raises ValueError where the candidates of a layer are not parts of one kernel."""
    for i, layer in enumerate(chains.layers(chain)):
        if len(layer.candidates) == 1:
            continue
        for name in layer.candidates:
            what = None if name == chains.SKIP else chains.block(name)
            if what and (what.groups > 1 or what.squeeze or what.activation or what.expansion <= 1):
                raise ValueError(
                    f"Layer {i} of {chain.name} cannot cut {name!r} out of one kernel: candidates "
                    "there differ in kernel and expansion alone, and expansions are above 1."
                )
