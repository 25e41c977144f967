"""Channel pruning of mobile networks: the channel groups of a fixed chain, and pruned chains."""

import numpy as np

from jaxnas.core.types import Network
from jaxnas.nets.channel_groups import ChannelGroup, ChannelMasks, ChannelSlice, PrunableNetwork
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.mobile import blocks
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile import network as networks
from jaxnas.spaces.mobile.chain import Chain, ChainStage, Layer

HEAD = "head"


def prunable_network(chain: Chain, classes: int) -> PrunableNetwork:
    """The network of a fixed chain; pruned ones are fixed chains too. Raises as `groups`."""
    return PrunableNetwork(
        network(chain, classes),
        groups(chain),
        lambda masks: remaining_chain(chain, masks),
        lambda remaining: network(remaining, classes),
    )


def network(chain: Chain, classes: int) -> Network:
    """The network of a fixed chain."""
    return networks.network(chain, chains.genotype(chain), classes=classes)


def fixed_chain(chain: Chain, genotype: Genotype) -> Chain:
    """The chain of a genotype's operations, without choices, every layer a separate stage."""
    names, stages = chains.operations(chain, genotype), []
    for name, layer in zip(names, chains.layers(chain), strict=True):
        stages.append(ChainStage((name,), layer.features, 1, layer.stride))
    return chain._replace(stages=tuple(stages))


def groups(chain: Chain) -> dict[str, ChannelGroup]:
    """The channel groups of a fixed chain: `hidden_I` inside layer I, `features_I` of its input
    (and of everything added to it), `head`.

    Channels of grouped convolutions, and those that set the number of squeezed features, cannot be
    pruned one by one: they are excluded. Raises ValueError for a chain with choices.
    """
    layers = chains.layers(chain)
    filters, slices, excluded = {}, {}, set()

    def add(
        name: str, kernel: tuple[str, ...] | None, *leaves: tuple[tuple[str, ...], int]
    ) -> None:
        """Adds leaves with the axes of a group's channels; `kernel`: the one that outputs them."""
        filters.setdefault(name, []).extend([ChannelSlice(kernel, -1)] if kernel else [])
        slices.setdefault(name, []).extend(ChannelSlice(path, axis) for path, axis in leaves)

    input_group = "features_0"
    widths = {input_group: chain.stem, HEAD: chain.head}
    stem = ("front", "convolution", "kernel")
    add(input_group, stem, (stem, -1), (("front", "norm"), -1))
    for i, layer in enumerate(layers):
        if len(layer.candidates) > 1:
            raise ValueError(f"Layer {i} of {chain.name} is not chosen yet: narrow a fixed chain.")
        if layer.candidates[0] == chains.SKIP:
            continue
        block, module = chains.block(layer.candidates[0]), f"layer_{i}"
        hidden_width, hidden = chains.hidden(layer, block), input_group
        if hidden_width != layer.inputs:
            hidden = f"hidden_{i}"
            widths[hidden] = hidden_width
            kernel = (module, "widen", "kernel")
            add(hidden, kernel, (kernel, -1), ((module, "widen_norm"), -1))
            add(input_group, None, (kernel, -2))
        narrow = (module, "narrow", "kernel")
        look = ((module, "look", "kernel"), -1), ((module, "look_norm"), -1)
        add(hidden, None, *look, (narrow, -2))
        output_group = input_group if layer.residual else f"features_{i + 1}"
        widths[output_group] = layer.features
        if block.groups > 1 or block.squeeze:
            excluded |= {input_group, hidden} | ({output_group} if block.groups > 1 else set())
        add(output_group, narrow, (narrow, -1), ((module, "narrow_norm"), -1))
        input_group = output_group
    head = ("back", "convolution", "kernel")
    linear = ("back", "hidden" if chain.hidden else "classifier", "kernel")
    add(input_group, None, (head, -2))
    add(HEAD, head, (head, -1), (("back", "norm"), -1), (linear, -2))
    return {
        name: ChannelGroup(widths[name], tuple(filters[name]), tuple(slices[name]))
        for name in sorted(widths.keys() - excluded)
    }


def remaining_chain(chain: Chain, masks: ChannelMasks) -> Chain | None:
    """The fixed chain of the remaining channels; None if no chain has this architecture.

    So if a layer has as many hidden channels as input channels (a chain's layer then has no first
    convolution) or above 99 times as many, and if unequal widths become equal, which would add a
    residual connection.
    """
    pruned, is_equal = _pruned_chain(chain, masks)
    return pruned if is_equal else None


def narrowest(chain: Chain, multiple: int) -> Chain:
    """A chain whose MACs are a lower bound of those of all chains pruned to multiples."""
    masks = {name: np.arange(group.width) < multiple for name, group in groups(chain).items()}
    return _pruned_chain(chain, masks)[0]


def _pruned_chain(chain: Chain, masks: ChannelMasks) -> tuple[Chain, bool]:
    """(the chain of remaining channels, whether its network has the layers of the unpruned one)."""
    width_of = lambda name, width: int(masks[name].sum()) if name in masks else width
    stages, input_group, layers = [], "features_0", chains.layers(chain)
    inputs = stem = width_of(input_group, chain.stem)
    is_equal = True
    for i, layer in enumerate(layers):
        name = layer.candidates[0]
        if name == chains.SKIP:
            stages.append(ChainStage((name,), inputs, 1, 1))
            continue
        if f"hidden_{i}" in masks:
            hidden = int(masks[f"hidden_{i}"].sum())
            is_equal &= inputs != hidden <= 99 * inputs
            name = _with_expansion(name, hidden, layer._replace(inputs=inputs))
        input_group = input_group if layer.residual else f"features_{i + 1}"
        inputs = width_of(input_group, layer.features)
        stages.append(ChainStage((name,), inputs, 1, layer.stride))
    head = width_of(HEAD, chain.head)
    pruned = chain._replace(stem=stem, head=head, stages=tuple(stages))
    pairs = zip(layers, chains.layers(pruned), strict=True)
    return pruned, is_equal and all(old.residual == new.residual for old, new in pairs)


def macs(chain: Chain, image: tuple[int, int, int], classes: int) -> int:
    """Multiply-accumulates of a fixed chain, in closed form."""
    height, width, colours = image
    divide = lambda n, stride: -(-n // stride)
    height, width = divide(height, chain.stem_stride), divide(width, chain.stem_stride)
    total = 9 * colours * chain.stem * height * width
    features = chain.stem
    for layer in chains.layers(chain):
        if layer.candidates[0] == chains.SKIP:
            continue
        block = chains.block(layer.candidates[0])
        hidden = chains.hidden(layer, block)
        if hidden != layer.inputs:
            total += layer.inputs * hidden // block.groups * height * width
        height, width = divide(height, layer.stride), divide(width, layer.stride)
        total += block.kernel**2 * hidden * height * width
        total += layer.features * hidden // block.groups * height * width
        if block.squeeze:
            total += 2 * hidden * blocks.squeezed_features(layer, block, chain)
        features = layer.features
    total += features * chain.head * height * width
    linear = chain.hidden or classes
    return total + chain.head * linear + (chain.hidden * classes if chain.hidden else 0)


def _with_expansion(name: str, hidden: int, layer: Layer) -> str:
    """The candidate's name with the expansion that makes `hidden` features, at most 99."""
    kernel, _, *suffixes = name.split("_")
    renamed = "_".join([kernel, f"e{min(hidden / layer.inputs, 99):.7g}", *suffixes])
    assert chains.hidden(layer, chains.block(renamed)) in (hidden, 99 * layer.inputs)
    return renamed
