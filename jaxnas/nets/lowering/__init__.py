"""Lowerings of convolutions and pooling that XLA compiles to few, fast operations.

Images are `[B, H, W, C]`, kernels `[k, k, C]` (depthwise) or `[k, k, C, O]` (full). XLA runs
grouped convolutions on the CPU, and the gradients of full ones inside its loops
(jax-ml/jax#12868), 5 to 80 times slower than the forms here; figures are in docs/performance.md.
None of them scatters, so their gradients are deterministic on every backend.
"""

from jaxnas.nets.lowering.depthwise_convolution import depthwise
from jaxnas.nets.lowering.full_convolution import convolution, pointwise
from jaxnas.nets.lowering.pooling import average_pool, max_pool
from jaxnas.nets.lowering.windows import NARROW, Padding, blank

__all__ = [
    "NARROW",
    "Padding",
    "average_pool",
    "blank",
    "convolution",
    "depthwise",
    "max_pool",
    "pointwise",
]
