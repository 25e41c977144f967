"""Mobile chains as data, and the sizes of the published networks."""

import jax
import numpy as np
import pytest

from jaxnas.nets import count
from jaxnas.spaces import genotype
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile import network as mobile_network
from jaxnas.spaces.mobile import superkernel_gates, zoo
from jaxnas.spaces.mobile import supernet as mobile_supernet
from jaxnas.spaces.mobile.chain import SKIP, Block, Chain, ChainStage
from tests import mobile_toys, paths

IMAGENET = (224, 224, 3)
SHARED = paths.SHARED


def fixed(chain):
    return lambda: (chain(), chains.genotype(chain()))


def everywhere(name):
    chain = zoo.single_path()
    return lambda: (chain, chains.genotype(chain, [name] * 20))


# Parameters and millions of multiply-accumulates: the first five rows are those of the shared
# facts, 4.6. ProxylessNAS has the parameters that its port to osmr/imgclsmob asserts; those of the
# rest are torchvision's and timm's, from memory. MACs below the first five rows are our own count.
SIZES = {
    "spnasnet_100": (
        lambda: (zoo.single_path(), zoo.spnasnet()), 4_421_616, 333.47,
    ),
    "all k3_e3": (everywhere("k3_e3"), 3_494_328, 272.13),
    "all k3_e6": (everywhere("k3_e6"), 4_684_776, 472.62),
    "all k5_e3": (everywhere("k5_e3"), 3_568_824, 298.47),
    "all k5_e6": (everywhere("k5_e6"), 4_833_768, 525.31),
    "proxyless_mobile": (zoo.proxyless_mobile, 4_080_512, 320.43),
    "mobilenet_v2": (fixed(zoo.mobilenet_v2), 3_504_872, 300.77),
    "mobilenet_v3_large": (fixed(zoo.mobilenet_v3_large), 5_483_032, 216.59),
    "mobilenet_v3_small": (fixed(zoo.mobilenet_v3_small), 2_542_856, 56.51),
    "mnasnet_a1": (fixed(zoo.mnasnet_a1), 3_887_038, 311.58),
    "mnasnet_b1": (fixed(zoo.mnasnet_b1), 4_383_312, 314.42),
}  # fmt: skip


@pytest.mark.parametrize("name", SIZES)
def test_a_published_network_has_its_published_size(name):
    make, parameters, macs = SIZES[name]
    found = count.size(mobile_network.network(*make()), IMAGENET)
    assert found.parameters == parameters
    assert round(found.macs / 1e6, 2) == macs


@pytest.mark.parametrize(
    ("make", "millions", "macs"),
    [
        (zoo.fbnet_a, 4.3, 244.5),
        (zoo.fbnet_b, 4.8, 291.1),
        (zoo.fbnet_c, 5.5, 378.2),
    ],
)
def test_an_fbnet_has_the_size_that_its_authors_print(make, millions, macs):
    found = count.size(mobile_network.network(*make()), IMAGENET)
    assert found.parameters / 1e6 == pytest.approx(millions, abs=0.08)
    assert found.macs / 1e6 == pytest.approx(macs, abs=0.11)


def test_the_single_path_supernet_has_sixty_thresholds():
    net = mobile_supernet.single_path(zoo.single_path())
    arch = jax.eval_shape(
        lambda: superkernel_gates.relaxation(net.space).init(jax.random.key(0), net.space)
    )
    open_ = sum(leaf.size for leaf in jax.tree.leaves(arch))
    assert open_ == 60
    assert count.parameters(net, IMAGENET) + open_ == 4_833_828


def test_the_spaces_have_the_layers_and_candidates_of_their_papers():
    shapes = lambda chain: {name: c.shape for name, c in chains.space(chain).items()}
    assert shapes(zoo.single_path()) == {"first": (5, 4), "layers": (15, 5)}
    assert shapes(zoo.proxyless()) == {"first": (6, 6), "layers": (15, 7)}
    assert shapes(zoo.fbnet()) == {"first": (6, 8), "layers": (16, 9)}
    assert len(chains.layers(zoo.fbnet())) == 22
    assert [edge[0] for edge in chains.space(zoo.single_path())["first"].edges] == [
        1, 5, 9, 13, 17,
    ]  # fmt: skip


def test_the_fbnet_candidates_are_the_columns_of_the_public_table():
    path = SHARED / "latency" / "help_fbnet.npz"
    if not path.exists():
        pytest.skip("the shared folder is not beside the repository")
    with np.load(path, allow_pickle=False) as table:
        names = [str(name).replace("skip", SKIP) for name in table["op_names"]]
        assert table["ops"].shape[1] == len(chains.layers(zoo.fbnet()))
    assert tuple(names) == zoo.FBNET


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("k3_e1_g2", Block(3, 1, 2)),
        ("k5_e2.5_se_hswish", Block(5, 2.5, 1, True, "hswish")),
        ("k7_e6_relu6", Block(7, 6, activation="relu6")),
    ],
)
def test_a_name_says_what_a_block_is(name, block):
    assert chains.block(name) == block


@pytest.mark.parametrize(
    "name",
    ["", "k3", "e3_k3", "k4_e3", "k3_e0", "k3_enan", "k3_e3_g0", "k3_e3_x", "kx_e3", "none"],
)
def test_a_name_that_says_nothing_is_refused(name):
    with pytest.raises(ValueError, match="candidate|kernel|group"):
        chains.block(name)


def test_a_genotype_is_text_and_comes_back():
    chain, found = zoo.fbnet_a()
    again = genotype.from_json(genotype.to_json(found))
    assert again == found
    assert chains.operations(chain, again)[:4] == (SKIP, "k3_e3", "k3_e1", SKIP)


def test_what_is_selected_is_what_the_gates_open():
    chain, found = zoo.single_path(), zoo.spnasnet()
    assert chains.select(chain, chains.one_hot(chain, found)) == found
    level = {name: np.ones(choice.shape) for name, choice in chains.space(chain).items()}
    assert set(chains.operations(chain, chains.select(chain, level))[1:21]) == {"k3_e3"}


def test_gates_that_say_nothing_are_refused():
    chain = mobile_toys.single_path()
    gates = chains.one_hot(chain, chains.genotype(chain, ["k3_e3", SKIP]))
    with pytest.raises(ValueError, match=r"'first' are missing, expected \(1, 4\)"):
        chains.select(chain, {"layers": gates["layers"]})
    with pytest.raises(ValueError, match="not finite"):
        chains.select(chain, gates | {"first": gates["first"] * np.nan})


def test_a_genotype_of_another_chain_is_refused():
    chain = mobile_toys.single_path()
    with pytest.raises(genotype.GenotypeError, match="space 'single-path', not 'tiny'"):
        chains.operations(chain, zoo.spnasnet())
    with pytest.raises(genotype.GenotypeError, match="Layer 1 of tiny has no 'skip_connect'"):
        chains.genotype(chain, [SKIP, SKIP])
    with pytest.raises(genotype.GenotypeError, match="2 layers to choose, not 1"):
        chains.genotype(chain, ["k3_e3"])
    short = chains.genotype(chains.resized(chain, repeats=1), ["k3_e3"])
    with pytest.raises(genotype.GenotypeError, match=r"edges \[0, 1\] to \[2, 3\]"):
        chains.operations(chain, short)


def test_a_chain_becomes_small():
    small = chains.resized(zoo.single_path(), width=0.5, halvings=2, repeats=2)
    assert [s.features for s in small.stages] == [8, 16, 24, 40, 48, 96, 160]
    assert (small.stem, small.stem_stride, small.head) == (16, 1, 640)
    assert [s.stride for s in small.stages] == [1, 1, 1, 2, 1, 2, 1]
    assert len(chains.layers(small)) == 12
    assert chains.halvings(small) == 2


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"width": 0}, "above 0"),
        ({"width": float("nan")}, "above 0"),
        ({"width": 1.0}, "stays as it is with width=1.0"),
        ({"halvings": 6}, "halves the size 5 times, not 6"),
        ({"halvings": 5}, "stays as it is with halvings=5"),
        ({"repeats": 0}, "at least one layer"),
        ({"repeats": 4}, "stays as it is with repeats=4"),
    ],
)
def test_a_resizing_that_cannot_be_or_does_nothing_is_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        chains.resized(zoo.single_path(), **settings)


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        (ChainStage((SKIP,), 8, 1, 2), "cannot be skipped"),
        (ChainStage(("k3_e3", "k3_e3"), 8, 1, 1), "twice"),
        (ChainStage(("k3_e1_g3",), 8, 1, 1), "3 groups"),
        (ChainStage(("k3_e3",), 8, 0, 1), "at least one feature and layer"),
        (ChainStage(("k3_e3",), 8, 1, 3), "stride"),
    ],
)
def test_a_chain_that_cannot_be_is_refused(stage, reason):
    with pytest.raises(ValueError, match=reason):
        chains.layers(Chain("odd", 8, 1, (stage,), 8))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"activation": "gelu"}, "no activation 'gelu'"),
        ({"padding": "valid"}, "no padding 'valid'"),
        ({"decay": 1.0}, "decay < 1"),
        ({"stages": ()}, "needs a stage"),
    ],
)
def test_a_chain_of_unknown_settings_is_refused(fields, reason):
    with pytest.raises(ValueError, match=reason):
        chains.layers(zoo.mobilenet_v2()._replace(**fields))


def test_a_space_without_choices_or_with_uneven_ones_is_refused():
    with pytest.raises(ValueError, match="leaves no choice"):
        chains.space(zoo.mobilenet_v2())
    uneven = (
        ChainStage(("k3_e3", "k5_e3"), 8, 1, 2),
        ChainStage(("k3_e3", "k5_e3", "k7_e3"), 9, 1, 1),
    )
    with pytest.raises(ValueError, match="unequally many"):
        chains.space(Chain("uneven", 8, 1, uneven, 8))
    with pytest.raises(ValueError, match="6 stages, not 2"):
        zoo.proxyless((8, 16))
