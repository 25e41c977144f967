"""Sizes are those of the papers' code, to the last parameter."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from jaxnas.core.types import Network
from jaxnas.nets import count, ops
from jaxnas.spaces.darts import choices
from jaxnas.spaces.darts import genotypes as published
from jaxnas.spaces.darts import network as darts_network
from jaxnas.spaces.darts import supernet as darts
from jaxnas.spaces.nasbench201 import network as nasbench201_network
from jaxnas.spaces.nasbench201 import notation as nasbench201_notation

CIFAR, IMAGENET = (32, 32, 3), (224, 224, 3)
# Parameters: C16 L8, C36 L20, auxiliary, C36 L20 with 100 classes, ImageNet, its auxiliary;
# millions of multiply-accumulates on CIFAR-10 and ImageNet (shared facts, 1.5).
SIZES = {
    "NASNet": (333_946, 3_830_950, 457_994, 3_895_840, 5_564_320, 1_236_200, 603.45, 604.0),
    "AmoebaNet": (326_330, 3_145_078, 457_994, 3_184_048, 4_627_360, 1_236_200, 488.93, 526.7),
    "DARTS_V1": (232_890, 3_169_414, 476_426, 3_221_344, 4_510_432, 1_260_776, 500.99, 505.9),
    "DARTS_V2": (246_106, 3_349_342, 476_426, 3_401_272, 4_718_752, 1_260_776, 528.36, 529.9),
    "PC_DARTS_cifar": (335_738, 3_634_678, 476_426, 3_686_608, 5_270_560, 1_260_776, 556.67, 571.1),
    "PC_DARTS_image": (327_546, 3_721_510, 476_426, 3_773_440, 5_342_464, 1_260_776, 570.47, 581.6),
    "PDARTS": (292_026, 3_433_798, 476_426, 3_485_728, 4_944_352, 1_260_776, 532.17, 542.8),
    "DrNAS_cifar10": (360_410, 4_099_294, 476_426, 4_151_224, 5_738_464, 1_260_776, 635.14, 633.8),
    "DrNAS_imagenet": (346_650, 4_048_750, 476_426, 4_100_680, 5_726_368, 1_260_776, 617.94, 624.4),
    "darts_pt_s5_0": (239_002, 2_851_246, 476_426, 2_903_176, 4_228_576, 1_260_776, 449.12, 465.8),
    "darts_pt_s5_3": (271_450, 3_328_174, 476_426, 3_380_104, 4_779_712, 1_260_776, 517.71, 527.5),
    "beta_c10_s5": (206_938, 2_567_854, 476_426, 2_619_784, 3_880_768, 1_260_776, 403.75, 425.8),
    "GDAS_V1": (330_330, 3_368_782, 476_426, 3_420_712, 4_969_216, 1_260_776, 519.43, 537.6),
}  # fmt: skip
# What the larger network adds, its stems and widths, is the same for every genotype.
ON_IMAGENET = ("NASNet", "DARTS_V2", "PC_DARTS_image", "DrNAS_imagenet")
ALL_3X3 = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+" + "|".join(
    ["", "nor_conv_3x3~0", "nor_conv_3x3~1", "nor_conv_3x3~2", ""]
)
MIXED = ALL_3X3.replace("+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
                        "+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|")  # fmt: skip
NASBENCH = [
    (ALL_3X3, 10, 32, 1_531_546, 220.12),
    (ALL_3X3, 100, 32, 1_537_396, 220.13),
    (ALL_3X3, 120, 16, 1_538_696, 55.04),
    (ALL_3X3.replace("nor_conv_3x3", "nor_conv_1x1", 1), 10, 32, 1_316_506, 188.66),
    (MIXED, 10, 32, 1_045_466, 149.34),
    (ALL_3X3.replace("nor_conv_3x3", "skip_connect"), 10, 32, 73_306, 7.783),
    (ALL_3X3.replace("nor_conv_3x3", "none"), 10, 32, 73_306, 7.783),
]


@pytest.mark.parametrize("name", SIZES)
def test_a_published_genotype_has_its_published_size(name):
    small, cifar, aux, hundred, imagenet, imagenet_aux, macs, imagenet_macs = SIZES[name]
    found = published.PUBLISHED[name]
    weights = lambda **settings: count.parameters(darts_network.cifar(found, **settings), CIFAR)
    # Sizes of a genotype differ by its numbers of cells and channels alone: two are enough.
    assert name not in ("NASNet", "DARTS_V2") or weights(features=16, cells=8) == small
    # More rows of the linear layer: counted in full for one of them.
    nodes = len(found.cells["normal"].concat)
    assert hundred - cifar == (100 - 10) * (4 * 36 * nodes + 1)
    assert name != "DARTS_V2" or weights(classes=100) == hundred
    full = count.size(darts_network.cifar(found, auxiliary=True), CIFAR)
    assert (full.parameters, full.auxiliary) == (cifar, aux)
    assert round(full.macs / 1e6, 2) == macs
    if name not in ON_IMAGENET:
        return
    large = count.size(darts_network.imagenet(found, auxiliary=True), IMAGENET)
    assert (large.parameters, large.auxiliary) == (imagenet, imagenet_aux)
    assert round(large.macs / 1e6, 1) == imagenet_macs


@pytest.mark.parametrize(("text", "classes", "side", "parameters", "macs"), NASBENCH)
def test_a_benchmark_cell_has_its_published_size(text, classes, side, parameters, macs):
    net = nasbench201_network.nasbench201(nasbench201_notation.from_arch(text), classes=classes)
    found = count.size(net, (side, side, 3))
    assert found.parameters == parameters
    assert round(found.macs / 1e6, 3 if macs < 10 else 2) == macs


@pytest.mark.parametrize(
    ("space", "settings", "parameters", "macs"),
    [
        (choices.darts(), {}, 1_930_618, 300.256),
        (choices.darts(), {"partial": 2}, 671_482, 115.272),
        (choices.darts(), {"partial": 4}, 299_578, 56.597),
        (choices.darts(), {"partial": 8}, 178_042, None),
        (choices.darts(), {"partial": 4, "classes": 100}, 322_708, None),
        (choices.darts_without_none(), {}, 1_930_618, 300.256),
        (choices.darts(), {"classes": 100}, 1_953_748, None),
        (choices.darts(), {"features": 36, "cells": 20}, 19_932_310, None),
        (choices.darts(), {"cells": 5}, 1_275_834, None),
        (choices.darts(), {"cells": 11}, 2_585_146, None),
        (choices.darts(), {"cells": 17}, 3_894_202, None),
        (choices.s1(), {}, 405_146, None),
        (choices.s2(), {}, 665_466, None),
        (choices.s3(), {}, 665_466, None),
        (choices.s4(), {}, 624_506, None),
    ],
    ids=[
        "darts",
        "K=2",
        "K=4",
        "K=8",
        "K=4-100",
        "no-none",
        "100-classes",
        "C36-L20",
        "L5",
        "L11",
        "L17",
        "S1",
        "S2",
        "S3",
        "S4",
    ],
)
def test_a_supernet_has_its_published_size(space, settings, parameters, macs):
    net = darts.supernet(space, **settings)
    assert count.parameters(net, CIFAR) == parameters
    assert macs is None or round(count.macs(net, CIFAR) / 1e6, 3) == macs


def test_a_supernet_for_imagenet_has_its_published_size():
    net = darts.supernet(partial=2, classes=1000, imagenet=True)
    assert count.parameters(net, IMAGENET) == 956_512
    with pytest.raises(ValueError, match="divide 36x36 pixels by 8"):
        net.init(jax.random.key(0), jnp.zeros((1, 36, 36, 3)))


def test_counting_twice_gives_the_same():
    """Jit keeps traces: the second count calls fewer modules."""
    net = darts.supernet(features=4, cells=3)
    assert count.size(net, (8, 8, 1)) == count.size(net, (8, 8, 1))


def test_the_count_is_that_of_real_weights():
    net = darts_network.cifar(published.PUBLISHED["DARTS_V2"], features=4, cells=3)
    weights, _ = net.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    assert count.size(net, (8, 8, 1)).parameters == sum(w.size for w in jax.tree.leaves(weights))


class Looped(nn.Module):
    """Three 1x1 convolutions in a loop over stacked weights."""

    @nn.compact
    def __call__(self, x, gates):
        loop = nn.scan(Body, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
        return loop(name="body")(x, None)[0].mean((1, 2))


class Counted(Looped):
    @nn.nowrap
    def macs(self, x, gates):
        return 3 * count.module_macs(Body(parent=None), x, None)


class Body(nn.Module):
    @nn.compact
    def __call__(self, x, _):
        return ops.Pointwise(4, name="pointwise")(x), None


class ByHand(nn.Module):
    """The same loop by `jax.lax.scan` over stacked weights."""

    @nn.compact
    def __call__(self, x, gates):
        op = ops.Pointwise(4, parent=None)
        make = lambda key: jax.vmap(op.init, (0, None))(jax.random.split(key, 3), x)["params"]
        step = lambda x, weights: (op.apply({"params": weights}, x), None)
        return jax.lax.scan(step, x, self.param("stack", make))[0].mean((1, 2))


def linen(module):
    """A network of a module alone."""
    init = lambda key, x: (module.init(key, x, None)["params"], {})
    return Network(init, None, lambda weights, stats, x: module.apply({"params": weights}, x, None))


def test_a_loop_counts_as_its_module_says():
    assert count.macs(linen(Counted()), (2, 3, 4)) == 3 * 4 * 4 * 6


@pytest.mark.parametrize("module", [Looped(), ByHand()])
def test_a_loop_that_does_not_say_what_it_multiplies_is_refused(module):
    with pytest.raises(ValueError, match="in a loop, which hides how often: give the module"):
        count.macs(linen(module), (2, 3, 4))
