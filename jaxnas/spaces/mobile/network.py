"""The networks of mobile genotypes: one inverted bottleneck a layer.

MobileNetV2, https://arxiv.org/abs/1801.04381
"""

import functools

import flax.linen as nn
import jax

from jaxnas.core.types import Network
from jaxnas.nets import batch_norm, functional
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.mobile import blocks
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile.chain import Chain


class MobileNetwork(nn.Module):
    """Stem, the chosen blocks, head."""

    chain: Chain
    operations: tuple[str, ...]  # one a layer
    classes: int
    training: bool

    @nn.compact
    def __call__(self, x):
        norm = blocks.chain_norm(self.chain, batch_norm.norms(True, self.training).outside)
        x = blocks.MobileStem(self.chain, norm, name="front")(x)
        for i, (layer, name) in enumerate(
            zip(chains.layers(self.chain), self.operations, strict=True)
        ):
            if name != chains.SKIP:
                x = blocks.bottleneck(layer, name, self.chain, norm, name=f"layer_{i}")(x)
        return blocks.MobileHead(self.chain, self.classes, norm, self.training, name="back")(x)


def network(chain: Chain, genotype: Genotype, *, classes: int = 1000) -> Network:
    """The network of a mobile genotype; of `chain.genotype(chain)` where the chain is fixed.

    `apply` has dropout before the classifier, with the chain's rate. There is neither an auxiliary
    head nor drop-path: `apply` raises ValueError for a `drop_path` other than None and the number
    0. Raises GenotypeError for a genotype that is not the chain's, ValueError for an invalid chain,
    and at `init` for images too small for its halvings.
    """
    operations = chains.operations(chain, genotype)
    check_classes(classes)
    make = functools.partial(MobileNetwork, chain, operations, classes)
    return functional.network(
        make,
        check_image=functools.partial(chains.check_image, chain),
        call=_with_dropout,
        init_rngs=lambda key: dict(zip(("params", "dropout"), jax.random.split(key), strict=True)),
    )


def _with_dropout(inputs, key, drop_path):
    if drop_path is not None and (not isinstance(drop_path, (int, float)) or drop_path != 0):
        raise ValueError("Mobile networks drop no paths: give drop_path=0.")
    return (inputs,), {"dropout": key}


def check_classes(classes: int) -> None:
    """Raises ValueError unless classes >= 2."""
    if classes < 2:
        raise ValueError(f"A network tells at least 2 classes apart, not {classes}.")
