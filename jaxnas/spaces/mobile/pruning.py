"""Narrower mobile networks: what of a chain may go, and the chain of what is left."""

import numpy as np

from jaxnas.core.types import Network
from jaxnas.nets.channel_groups import ChannelGroup, ChannelMasks, ChannelSlice, PrunableNetwork
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.mobile import blocks
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile import network as networks
from jaxnas.spaces.mobile.chain import Chain, ChainStage, Layer

HEAD = "head"


def subject(chain: Chain, classes: int) -> PrunableNetwork:
    """The network of a fixed chain, whose narrower ones are such chains. Raises as `parts`."""
    known, left = parts(chain), lambda kept: chain_of(chain, kept)
    return PrunableNetwork(
        network(chain, classes), known, left, lambda found: network(found, classes)
    )


def network(chain: Chain, classes: int) -> Network:
    """The network of a fixed chain."""
    return networks.network(chain, chains.genotype(chain), classes=classes)


def fixed(chain: Chain, genotype: Genotype) -> Chain:
    """The chain that has a genotype's operations and no choice, every layer a stage of its own."""
    names, stages = chains.operations(chain, genotype), []
    for name, layer in zip(names, chains.layers(chain), strict=True):
        stages.append(ChainStage((name,), layer.features, 1, layer.stride))
    return chain._replace(stages=tuple(stages))


def parts(chain: Chain) -> dict[str, ChannelGroup]:
    """What of a fixed chain can be narrowed: `hidden_I` inside layer I, `features_I` that enter
    it (and all that are added to them), `head`.

    Channels in groups, and those that decide how many are squeezed, do not go one by one: they
    stay. Raises ValueError for a chain with choices.
    """
    layers = chains.layers(chain)
    filters, places, staying = {}, {}, set()

    def add(part: str, made: tuple[str, ...] | None, *at: tuple[tuple[str, ...], int]) -> None:
        filters.setdefault(part, []).extend([ChannelSlice(made, -1)] if made else [])
        places.setdefault(part, []).extend(ChannelSlice(path, axis) for path, axis in at)

    entering = "features_0"
    widths = {entering: chain.stem, HEAD: chain.head}
    stem = ("front", "convolution", "kernel")
    add(entering, stem, (stem, -1), (("front", "norm"), -1))
    for i, layer in enumerate(layers):
        if len(layer.candidates) > 1:
            raise ValueError(f"Layer {i} of {chain.name} is not chosen yet: narrow a fixed chain.")
        if layer.candidates[0] == chains.SKIP:
            continue
        what, here = chains.block(layer.candidates[0]), f"layer_{i}"
        wide, hidden = chains.hidden(layer, what), entering
        if wide != layer.inputs:
            hidden = f"hidden_{i}"
            widths[hidden] = wide
            kernel = (here, "widen", "kernel")
            add(hidden, kernel, (kernel, -1), ((here, "widen_norm"), -1))
            add(entering, None, (kernel, -2))
        narrow = (here, "narrow", "kernel")
        look = ((here, "look", "kernel"), -1), ((here, "look_norm"), -1)
        add(hidden, None, *look, (narrow, -2))
        leaving = entering if layer.residual else f"features_{i + 1}"
        widths[leaving] = layer.features
        if what.groups > 1 or what.squeeze:
            staying |= {entering, hidden} | ({leaving} if what.groups > 1 else set())
        add(leaving, narrow, (narrow, -1), ((here, "narrow_norm"), -1))
        entering = leaving
    last = ("back", "convolution", "kernel")
    linear = ("back", "hidden" if chain.hidden else "classifier", "kernel")
    add(entering, None, (last, -2))
    add(HEAD, last, (last, -1), (("back", "norm"), -1), (linear, -2))
    return {
        name: ChannelGroup(widths[name], tuple(filters[name]), tuple(places[name]))
        for name in sorted(widths.keys() - staying)
    }


def chain_of(chain: Chain, kept: ChannelMasks) -> Chain | None:
    """The fixed chain of what is left; None where as many channels are inside a layer as enter
    it, which a chain says for a layer without its first convolution, or above 99 times as many,
    and where widths meet by chance, which would add images."""
    found, sound = _written(chain, kept)
    return found if sound else None


def least(chain: Chain, multiple: int) -> Chain:
    """A chain no dearer than any that narrowing to multiples can leave, which it may not be."""
    narrowest = {name: np.arange(part.width) < multiple for name, part in parts(chain).items()}
    return _written(chain, narrowest)[0]


def _written(chain: Chain, kept: ChannelMasks) -> tuple[Chain, bool]:
    """(the chain of what is left, whether it has the layers of the whole one)."""
    left = lambda part, whole: int(kept[part].sum()) if part in kept else whole
    stages, entering, layers = [], "features_0", chains.layers(chain)
    inputs = stem = left(entering, chain.stem)
    sound = True
    for i, layer in enumerate(layers):
        name = layer.candidates[0]
        if name == chains.SKIP:
            stages.append(ChainStage((name,), inputs, 1, 1))
            continue
        if f"hidden_{i}" in kept:
            hidden = int(kept[f"hidden_{i}"].sum())
            sound &= inputs != hidden <= 99 * inputs
            name = _spelled(name, hidden, layer._replace(inputs=inputs))
        entering = entering if layer.residual else f"features_{i + 1}"
        inputs = left(entering, layer.features)
        stages.append(ChainStage((name,), inputs, 1, layer.stride))
    found = chain._replace(stem=stem, head=left(HEAD, chain.head), stages=tuple(stages))
    pairs = zip(layers, chains.layers(found), strict=True)
    return found, sound and all(one.residual == other.residual for one, other in pairs)


def macs(chain: Chain, image: tuple[int, int, int], classes: int) -> int:
    """Multiply-accumulates of a fixed chain, in closed form."""
    height, width, colours = image
    halve = lambda n, stride: -(-n // stride)
    height, width = halve(height, chain.stem_stride), halve(width, chain.stem_stride)
    total = 9 * colours * chain.stem * height * width
    features = chain.stem
    for layer in chains.layers(chain):
        if layer.candidates[0] == chains.SKIP:
            continue
        what = chains.block(layer.candidates[0])
        hidden = chains.hidden(layer, what)
        if hidden != layer.inputs:
            total += layer.inputs * hidden // what.groups * height * width
        height, width = halve(height, layer.stride), halve(width, layer.stride)
        total += what.kernel**2 * hidden * height * width
        total += layer.features * hidden // what.groups * height * width
        if what.squeeze:
            total += 2 * hidden * blocks.squeezed_features(layer, what, chain)
        features = layer.features
    total += features * chain.head * height * width
    inside = chain.hidden or classes
    return total + chain.head * inside + (chain.hidden * classes if chain.hidden else 0)


def _spelled(name: str, hidden: int, layer: Layer) -> str:
    kernel, _, *rest = name.split("_")
    found = "_".join([kernel, f"e{min(hidden / layer.inputs, 99):.7g}", *rest])
    assert chains.hidden(layer, chains.block(found)) in (hidden, 99 * layer.inputs)
    return found
