"""The mobile chains of the papers and the published networks of them, by name."""

from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.mobile.chain import SKIP, Chain, ChainStage, Squeeze, genotype

SINGLE_PATH = ("k3_e3", "k5_e3", "k3_e6", "k5_e6", SKIP)
PROXYLESS = ("k3_e3", "k3_e6", "k5_e3", "k5_e6", "k7_e3", "k7_e6", SKIP)
# In the order of the FBNet columns of HELP and HW-NAS-Bench.
FBNET = ("k3_e1", "k3_e1_g2", "k3_e3", "k3_e6", "k5_e1", "k5_e1_g2", "k5_e3", "k5_e6", SKIP)

# TensorFlow's normalisation in MnasNet, whose trunk Single-Path NAS has.
TENSORFLOW = {"padding": "same", "decay": 0.99, "epsilon": 1e-3}


def single_path() -> Chain:
    """Single-Path NAS: 20 layers, {3, 5} x {3, 6}, the repeats may be skipped.

    https://arxiv.org/abs/1904.02877, dstamoulis/single-path-nas nas-search/.
    """
    stages = (
        ("k3_e1", 16, 1, 1),
        (SINGLE_PATH, 24, 4, 2),
        (SINGLE_PATH, 40, 4, 2),
        (SINGLE_PATH, 80, 4, 2),
        (SINGLE_PATH, 96, 4, 1),
        (SINGLE_PATH, 192, 4, 2),
        ("k3_e6", 320, 1, 1),
    )
    return Chain("single-path", 32, 2, _stages(stages), 1280, **TENSORFLOW)


def spnasnet() -> Genotype:
    """The result of Single-Path NAS for a Pixel 1 at 80 ms (spnasnet_100 of timm)."""
    small, large = "k3_e3", "k5_e6"
    names = [small] * 3 + [SKIP] + 2 * ([large] + [small] * 3)
    return genotype(single_path(), names + [large] + ["k5_e3"] * 3 + [large] * 4)


def proxyless(features: tuple[int, ...] = (24, 40, 80, 96, 192, 320)) -> Chain:
    """ProxylessNAS: 21 layers, {3, 5, 7} x {3, 6}; a skip where stride and features allow it.

    `features` are those of the six searched stages. https://arxiv.org/abs/1812.00332,
    mit-han-lab/proxylessnas super_nets/super_proxyless.py.
    """
    depths, strides = (4, 4, 4, 4, 4, 1), (2, 2, 2, 1, 2, 1)
    if len(features) != len(depths):
        raise ValueError(f"ProxylessNAS has {len(depths)} stages, not {len(features)}.")
    searched = [(PROXYLESS, *row) for row in zip(features, depths, strides, strict=True)]
    stages = _stages((("k3_e1", 16, 1, 1), *searched))
    return Chain("proxyless", 32, 2, stages, 1280, "relu6", "relu6", epsilon=1e-3)


def proxyless_mobile() -> tuple[Chain, Genotype]:
    """The mobile network of the authors' model zoo; its second stage has 32 features, not 24."""
    chain = proxyless((32, 40, 80, 96, 192, 320))
    kernels = "53--73557555555577777"
    expansions = "33--33336333633366336"
    pairs = zip(kernels, expansions, strict=True)
    return chain, genotype(chain, [SKIP if k == "-" else f"k{k}_e{e}" for k, e in pairs])


def fbnet(head: int = 1984) -> Chain:
    """FBNet: 22 layers, 9 blocks; a skip where stride and features allow it.

    The code of its authors has skips elsewhere too, as a 1x1 convolution; the paper has not.
    An expansion of 1 has no first 1x1 convolution, as in their code.
    https://arxiv.org/abs/1812.03443, facebookresearch/mobile-vision arch/fbnet_v2/irf_block.py.
    """
    features, depths = (16, 24, 32, 64, 112, 184, 352), (1, 4, 4, 4, 4, 4, 1)
    rows = zip(features, depths, (1, 2, 2, 2, 1, 2, 1), strict=True)
    return Chain("fbnet", 16, 2, _stages((FBNET, *row) for row in rows), head)


def fbnet_a() -> tuple[Chain, Genotype]:
    """FBNet-A of facebookresearch/mobile-vision; its head has 1504 features."""
    names = "- 33 31 - - 56 33 51 33 56 53 51g 56 36 51g 53 31g 56 56 53 56 56"
    return _published(fbnet(1504), names)


def fbnet_b() -> tuple[Chain, Genotype]:
    """FBNet-B of facebookresearch/mobile-vision."""
    names = "31 36 51 31 31 56 53 36 56 56 56 - 53 56 31 51 53 56 51 56 56 36"
    return _published(fbnet(), names)


def fbnet_c() -> tuple[Chain, Genotype]:
    """FBNet-C of facebookresearch/mobile-vision."""
    names = "31 36 - 31 31 56 53 56 36 56 53 56 56 56 56 56 53 56 56 56 56 36"
    return _published(fbnet(), names)


def mobilenet_v2() -> Chain:
    """MobileNetV2, https://arxiv.org/abs/1801.04381, table 2; normalised as in torchvision."""
    stages = (
        ("k3_e1", 16, 1, 1),
        ("k3_e6", 24, 2, 2),
        ("k3_e6", 32, 3, 2),
        ("k3_e6", 64, 4, 2),
        ("k3_e6", 96, 3, 1),
        ("k3_e6", 160, 3, 2),
        ("k3_e6", 320, 1, 1),
    )
    return Chain("mobilenet-v2", 32, 2, _stages(stages), 1280, "relu6", "relu6")


def mobilenet_v3_large() -> Chain:
    """MobileNetV3-Large, https://arxiv.org/abs/1905.02244, table 1."""
    stages = (
        ("k3_e1", 16, 1, 1),
        ("k3_e4", 24, 1, 2),
        ("k3_e3", 24, 1, 1),
        ("k5_e3_se", 40, 3, 2),
        ("k3_e6_hswish", 80, 1, 2),
        ("k3_e2.5_hswish", 80, 1, 1),
        ("k3_e2.3_hswish", 80, 2, 1),
        ("k3_e6_se_hswish", 112, 2, 1),
        ("k5_e6_se_hswish", 160, 3, 2),
    )
    return _v3("mobilenet-v3-large", stages, 960, 1280)


def mobilenet_v3_small() -> Chain:
    """MobileNetV3-Small, https://arxiv.org/abs/1905.02244, table 2."""
    stages = (
        ("k3_e1_se", 16, 1, 2),
        ("k3_e4.5", 24, 1, 2),
        ("k3_e3.667", 24, 1, 1),
        ("k5_e4_se_hswish", 40, 1, 2),
        ("k5_e6_se_hswish", 40, 2, 1),
        ("k5_e3_se_hswish", 48, 2, 1),
        ("k5_e6_se_hswish", 96, 3, 2),
    )
    return _v3("mobilenet-v3-small", stages, 576, 1024)


def mnasnet_a1() -> Chain:
    """MnasNet-A1, https://arxiv.org/abs/1807.11626, figure 7; it squeezes and excites."""
    stages = (
        ("k3_e1", 16, 1, 1),
        ("k3_e6", 24, 2, 2),
        ("k5_e3_se", 40, 3, 2),
        ("k3_e6", 80, 4, 2),
        ("k3_e6_se", 112, 2, 1),
        ("k5_e6_se", 160, 3, 2),
        ("k3_e6", 320, 1, 1),
    )
    return Chain("mnasnet-a1", 32, 2, _stages(stages), 1280, **TENSORFLOW)


def mnasnet_b1() -> Chain:
    """MnasNet-B1, https://arxiv.org/abs/1807.11626: without squeeze and excitation."""
    stages = (
        ("k3_e1", 16, 1, 1),
        ("k3_e3", 24, 3, 2),
        ("k5_e3", 40, 3, 2),
        ("k5_e6", 80, 3, 2),
        ("k3_e6", 96, 2, 1),
        ("k5_e6", 192, 4, 2),
        ("k3_e6", 320, 1, 1),
    )
    return Chain("mnasnet-b1", 32, 2, _stages(stages), 1280, **TENSORFLOW)


def _v3(name: str, stages: tuple, head: int, hidden: int) -> Chain:
    return Chain(
        name,
        16,
        2,
        _stages(stages),
        head,
        outer_activation="hswish",
        decay=0.99,
        epsilon=1e-3,
        hidden=hidden,
        squeeze=Squeeze(0.25, "hidden", "hard_sigmoid", 8),
    )


def _stages(rows) -> tuple[ChainStage, ...]:
    """From (candidate or candidates, features, repeats, stride)."""
    as_tuple = lambda candidates: (
        (candidates,) if isinstance(candidates, str) else tuple(candidates)
    )
    return tuple(ChainStage(as_tuple(candidates), *sizes) for candidates, *sizes in rows)


def _published(chain: Chain, text: str) -> tuple[Chain, Genotype]:
    """The genotype of a text such as "36 51g -": kernel, expansion, two groups; skip."""
    name_of = lambda code: (
        SKIP if code == "-" else f"k{code[0]}_e{code[1]}" + ("_g2" if code[2:] else "")
    )
    return chain, genotype(chain, map(name_of, text.split()))
