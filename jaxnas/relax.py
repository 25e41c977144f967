"""How preferences open candidates: arch -> gates."""

import jax

from jaxnas.types import Arch, Gates, Key, Relaxation, Space, Weights


def softmax(scale: float = 1e-3) -> Relaxation:
    """Gates of an edge are the softmax of its logits.

    Logits start as `scale` times a standard normal. DARTS, eq. 2,
    https://arxiv.org/abs/1806.09055
    """

    def init(key: Key, space: Space) -> Arch:
        keys = jax.random.split(key, len(space))
        return {
            name: scale * jax.random.normal(k, choice.shape)
            for k, (name, choice) in zip(keys, space.items(), strict=True)
        }

    def gates(arch: Arch, weights: Weights, **_) -> Gates:
        return jax.tree.map(jax.nn.softmax, arch)

    return Relaxation(init, gates)
