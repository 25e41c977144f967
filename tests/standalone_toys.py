"""Tiny networks of every space, with their sources, made once a process."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import run
from jaxnas.nets.standalone import source, variables
from jaxnas.spaces import registry
from jaxnas.spaces.darts import network as darts_network
from jaxnas.spaces.genotype import Cell, Genotype
from jaxnas.spaces.hypercuboid import network as hypercuboid
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile import network as mobile
from jaxnas.spaces.mobile.chain import SKIP, Chain, ChainStage
from tests import mobile_toys

IMAGE = (8, 8, 2)
NAMES = ("darts", "narrowed", "imagenet", "nasbench201", "hypercuboid", "mobile", "all")


def cells(*names):
    """A DARTS genotype whose both cells have these operations on the edges of two nodes."""
    pairs = ((0, 2), (1, 2), (0, 3), (2, 3))
    edges = tuple((a, b, name) for (a, b), name in zip(pairs, names, strict=True))
    cell = Cell(edges, 2, (2, 3))
    return Genotype("darts", {"normal": cell, "reduce": cell})


GRID = Genotype(
    "hypercuboid",
    {"grid": Cell(((0, 1, "flood_conv_3x3:4-6"), (1, 2, "max_pool_3x3:6-8")), 1, (2,))},
)
CELL = Genotype(
    "nasbench201",
    {
        "cell": Cell(
            ((0, 1, "nor_conv_3x3"), (0, 2, "avg_pool_3x3"), (1, 2, "none"), (0, 3, "none"),
             (1, 3, "skip_connect"), (2, 3, "nor_conv_1x1")), 1, (3,),
        )
    },
)  # fmt: skip


def network(name):
    small = {"features": 4, "classes": 3}
    mixed = cells("sep_conv_3x3", "skip_connect", "dil_conv_5x5", "max_pool_3x3")
    if name == "darts":
        others = cells("conv_7x1_1x7", "avg_pool_3x3", "sep_conv_5x5", "none")
        both = Genotype("darts", {**mixed.cells, "reduce": others.cells["reduce"]})
        return darts_network.cifar(both, cells=3, reductions=(1,), auxiliary=False, **small)
    if name == "narrowed":  # its auxiliary classifier has weights that inference does not use
        return darts_network.cifar(
            mixed, cells=2, reductions=(), widths=(5, 3, 7), auxiliary=True, **small
        )
    if name == "imagenet":
        return darts_network.imagenet(mixed, cells=1, reductions=(), **small)
    if name == "nasbench201":
        return registry.of_genotype(CELL).network(
            CELL, cells=1, reductions=None, auxiliary=False, **small
        )
    if name == "hypercuboid":
        return hypercuboid.network(GRID, features=1, classes=3, reductions=(1,))
    if name == "mobile":  # TensorFlow's padding, a stride, a skipped layer
        chain = mobile_toys.single_path()
        genotype = chains.genotype(chain, ("k5_e3", SKIP))
    else:  # groups with a shuffle, hard swish, squeeze and excitation, a hidden layer, dropout
        block = "k3_e2_g2_se_hswish"
        chain = Chain("all", 4, 2, (ChainStage((block,), 4, 2, 1),), 8, hidden=6, dropout=0.1)
        genotype = chains.genotype(chain)
    return mobile.network(chain, genotype, classes=3)


@functools.cache
def made(name):
    """`net`, `weights`, `stats`, `facts`, `text`, `whole`, `variables`, `pixels`, `logits`."""
    net, rng = network(name), np.random.default_rng(0)
    image = (16, 16, 2) if name == "imagenet" else IMAGE
    weights, stats = run.first_state(net.init, jax.random.key(0), jnp.zeros((1, *image)))
    stats = jax.tree.map(lambda x: jnp.asarray(rng.uniform(0.5, 1, x.shape), x.dtype), stats)
    facts = source.Facts("A toy.", image, ("a", "b", "c"), (0.25, 0.5), (0.5, 0.25))
    text, whole = source.of_network(net.infer, weights, stats, facts)
    pixels = rng.integers(0, 256, (3, *image), np.uint8)
    inputs = (pixels.astype(np.float32) / 255 - np.float32(facts.mean)) / np.float32(facts.std)
    logits = np.asarray(mobile_toys.jit(net.infer)(weights, stats, inputs))
    return types.SimpleNamespace(
        net=net, weights=weights, stats=stats, facts=facts, text=text, whole=whole,
        variables=variables.flat(whole, weights, stats), pixels=pixels, logits=logits,
    )  # fmt: skip


def module(text):
    """The module of a source."""
    made = types.ModuleType("exported_model")
    made.__file__ = "model.py"
    exec(compile(text, "model.py", "exec"), vars(made))
    return made
