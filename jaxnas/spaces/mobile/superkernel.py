"""The superkernel: one inverted bottleneck that contains all candidates of a layer.

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

# What a gate of 0 masks: the kernel only, as in the paper's code, or its output features, too.
Closing = Literal["kernel", "features"]


class SuperKernel(nn.Module):
    """Depthwise convolution with the kernel `sum_c gate_c mask_c * kernel`."""

    layer: Layer
    chain: Chain

    @nn.compact
    def __call__(self, x, gates):
        spatial, channels = masks(self.layer)
        size = spatial.shape[1]
        shape = (size, size, x.shape[-1])
        kernel = self.param("kernel", ops.he_normal(size**2, size**2), shape, x.dtype)
        mask = jnp.einsum("c,cij,ch->ijh", gates, spatial, channels).astype(x.dtype)
        return lowering.depthwise(x, kernel * mask, self.layer.stride, 1, self.chain.padding)


class SuperBottleneck(nn.Module):
    """The bottleneck of the largest candidate, masked by the gates, f32[candidates].

    The paper's code masks the kernel only: masked features still reach the next layer as
    normalised zeros, and a skipped layer adds such a constant. `closing` "features" sets them to
    zero: with one-hot gates the layer then equals the stand-alone block. Either way gradients pass
    as if only the kernel were masked, so that closed gates may open again.
    """

    layer: Layer
    chain: Chain
    norm: Norm
    closing: Closing

    @nn.compact
    def __call__(self, x, gates):
        layer, chain = self.layer, self.chain
        activation = inverted_bottleneck.ACTIVATIONS[chain.activation]
        _, channels = masks(layer)
        y = inverted_bottleneck.pointwise(channels.shape[1], name="widen")(x)
        y = activation(self.norm(name="widen_norm")(y))
        y = SuperKernel(layer, chain, name="look")(y, gates)
        y = self._mask(activation(self.norm(name="look_norm")(y)), gates @ channels != 0)
        y = inverted_bottleneck.pointwise(layer.features, name="narrow")(y)
        y = self._mask(self.norm(name="narrow_norm")(y), gates @ channels[:, 0] != 0)
        return x + y if layer.residual else y

    def _mask(self, y: jax.Array, is_open: jax.Array) -> jax.Array:
        """Zeros where `is_open` is False; the gradient is the identity's."""
        if self.closing == "kernel":
            return y
        return y + jax.lax.stop_gradient(jnp.where(is_open, y, 0) - y)


def masks(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """Each candidate's part of the kernel, as masks over its pixels and its channels.

    f32[candidates, k, k] and f32[candidates, hidden].
    """
    blocks = [None if n == chains.SKIP else chains.block(n) for n in layer.candidates]
    largest = max(block.kernel for block in blocks if block)
    widest = max(chains.hidden(layer, block) for block in blocks if block)
    spatial = np.zeros((len(blocks), largest, largest), np.float32)
    channels = np.zeros((len(blocks), widest), np.float32)
    for i, block in enumerate(blocks):
        if block:
            centre = slice((largest - block.kernel) // 2, (largest + block.kernel) // 2)
            spatial[i, centre, centre] = 1
            channels[i, : chains.hidden(layer, block)] = 1
    return spatial, channels


def check_chain(chain: Chain) -> None:
    """Raises ValueError where the candidates of a layer are not parts of one kernel."""
    for i, layer in enumerate(chains.layers(chain)):
        if len(layer.candidates) == 1:
            continue
        for name in layer.candidates:
            block = None if name == chains.SKIP else chains.block(name)
            if block and (
                block.groups > 1 or block.squeeze or block.activation or block.expansion <= 1
            ):
                raise ValueError(
                    f"Layer {i} of {chain.name} cannot cut {name!r} out of one kernel: candidates "
                    "there differ in kernel and expansion alone, and expansions are above 1."
                )
