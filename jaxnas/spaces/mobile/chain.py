"""Mobile spaces as data: a chain of layers, each a choice among inverted bottlenecks.

MobileNetV2, https://arxiv.org/abs/1801.04381. Names describe candidates: `k5_e3` has an expansion
of 3 and a depthwise 5x5 kernel; `_g2` splits the 1x1 convolutions into 2 groups, `_se` adds squeeze
and excitation, `_relu`, `_relu6` or `_hswish` replace the chain's activation.
Layers are numbered from 0, fixed ones too: layer i is the edge (i, i + 1) of space and genotype.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, NoReturn

import numpy as np

from jaxnas.core.types import Choice, Gates, Space
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces.genotype import Cell, Genotype, GenotypeError

# The candidate that is the identity.
SKIP = "skip_connect"
ACTIVATIONS = ("relu", "relu6", "hswish")
# Choices: of layers that may be skipped, and of those (first of a stage, as a rule) that may not.
LAYERS, FIRST = "layers", "first"


class Block(NamedTuple):
    """The settings of an inverted bottleneck, without its features and stride."""

    kernel: int
    expansion: float  # hidden features = round(expansion * input features)
    groups: int = 1  # of both 1x1 convolutions
    squeeze: bool = False
    activation: str | None = None  # None: the chain's


class Squeeze(NamedTuple):
    """Squeeze and excitation of a chain: https://arxiv.org/abs/1709.01507"""

    ratio: float
    of: Literal["input", "hidden"]  # the features that the ratio multiplies
    gate: Literal["sigmoid", "hard_sigmoid"]
    divisor: int  # the squeezed features are a multiple of it


class ChainStage(NamedTuple):
    """`repeats` layers of equal features; the first has the stride."""

    candidates: tuple[str, ...]  # one: the stage is fixed
    features: int
    repeats: int
    stride: int


class Chain(NamedTuple):
    """The macro architecture of a mobile space: stem, stages, head. Sizes are those of ImageNet."""

    name: str  # of the space, in genotypes
    stem: int  # features of the first convolution, 3x3
    stem_stride: int
    stages: tuple[ChainStage, ...]
    head: int  # features of the last convolution, 1x1
    activation: str = "relu"  # in blocks that do not name one
    outer_activation: str = "relu"  # of stem and head
    padding: Literal["symmetric", "same"] = "symmetric"  # torch's or TensorFlow's
    decay: float = 0.9  # of running statistics
    epsilon: float = 1e-5  # of normalisation
    hidden: int = 0  # features of a linear layer before the last; 0: there is none
    squeeze: Squeeze = Squeeze(0.25, "input", "sigmoid", 1)
    dropout: float = 0.2  # before the last linear layer, when a selected network is trained


class Layer(NamedTuple):
    """A layer of the chain."""

    candidates: tuple[str, ...]
    inputs: int  # input features
    features: int  # output features
    stride: int

    @property
    def residual(self) -> bool:
        """Whether a block's input is added to its output."""
        return self.stride == 1 and self.inputs == self.features


@functools.cache
def block(name: str) -> Block:
    """The block that a candidate's name describes. Raises ValueError for an invalid name."""
    kernel, *fields = name.split("_")
    try:
        if kernel[:1] != "k" or not fields or fields[0][:1] != "e":
            raise ValueError
        parsed = Block(int(kernel[1:]), float(fields[0][1:]))
        for field in fields[1:]:
            if field == "se":
                parsed = parsed._replace(squeeze=True)
            elif field in ACTIVATIONS:
                parsed = parsed._replace(activation=field)
            elif field[:1] == "g":
                parsed = parsed._replace(groups=int(field[1:]))
            else:
                raise ValueError
    except ValueError:
        raise ValueError(
            f"No mobile candidate is called {name!r}: write {SKIP}, or k<kernel>_e<expansion> and "
            f"then, as needed, _g<groups>, _se, _{', _'.join(ACTIVATIONS)}."
        ) from None
    odd = parsed.kernel % 2 == 1 and parsed.kernel > 0
    if not (odd and 0 < parsed.expansion < 100 and parsed.groups > 0):
        raise ValueError(f"{name!r}: need an odd kernel, 0 < expansion < 100, a group or more.")
    return parsed


def hidden(layer: Layer, block: Block) -> int:
    """Features between the two 1x1 convolutions."""
    return round(block.expansion * layer.inputs)


@functools.lru_cache(64)  # drawing a network asks for them six times
def layers(chain: Chain) -> tuple[Layer, ...]:
    """The layers in order. `skip_connect` is a candidate at stride 1 and equal features only.

    Raises ValueError for invalid settings of the chain.
    """
    _check_chain(chain)
    chain_layers, inputs = [], chain.stem
    for stage in chain.stages:
        for i in range(stage.repeats):
            layer = Layer(stage.candidates, inputs, stage.features, 1 if i else stage.stride)
            if not layer.residual:
                candidates = tuple(name for name in layer.candidates if name != SKIP)
                layer = layer._replace(candidates=candidates)
            _check_layer(layer)
            chain_layers.append(layer)
            inputs = stage.features
    return tuple(chain_layers)


def gate_rows(chain: Chain) -> dict[int, tuple[str, int]]:
    """Layer -> (choice, row) of its gates, for every layer that has a choice."""
    gate_of_layer, rows = {}, {LAYERS: 0, FIRST: 0}
    all_layers = layers(chain)
    has_skips = any(SKIP in layer.candidates for layer in all_layers)
    for i, layer in enumerate(all_layers):
        if len(layer.candidates) > 1:
            choice = FIRST if has_skips and SKIP not in layer.candidates else LAYERS
            gate_of_layer[i] = choice, rows[choice]
            rows[choice] += 1
    return gate_of_layer


def space(chain: Chain) -> Space:
    """The choices of a chain: `layers`; `first` too, if some layers may be skipped and others not.

    Raises ValueError for a chain without choices, and where layers of one choice have unequally
    many candidates.
    """
    all_layers, rows = layers(chain), {}
    for i, (choice, _) in gate_rows(chain).items():
        rows.setdefault(choice, []).append(i)
    if not rows:
        raise ValueError(f"{chain.name} leaves no choice: every layer has one candidate.")
    for name, indices in rows.items():
        if len({len(all_layers[i].candidates) for i in indices}) > 1:
            raise ValueError(
                f"Layers of the choice {name!r} have unequally many candidates: "
                "give every searched stage the same."
            )
    return {
        name: Choice(
            tuple((i, i + 1) for i in indices), tuple(all_layers[i].candidates for i in indices)
        )
        for name, indices in sorted(rows.items())
    }


def genotype(chain: Chain, names: Iterable[str] = ()) -> Genotype:
    """The genotype of one operation name a searched layer, in order; fixed layers are filled in.

    Raises GenotypeError for another number of names and for operations that a layer does not have.
    """
    names, all_layers = list(names), layers(chain)
    searched = sum(len(layer.candidates) > 1 for layer in all_layers)
    if len(names) != searched:
        raise GenotypeError(f"{chain.name} has {searched} layers to choose, not {len(names)}.")
    chosen = iter(names)
    edges = tuple(
        (i, i + 1, next(chosen) if len(layer.candidates) > 1 else layer.candidates[0])
        for i, layer in enumerate(all_layers)
    )
    operations(chain, found := Genotype(chain.name, {LAYERS: Cell(edges, 1, (len(edges),))}))
    return found


def operations(chain: Chain, genotype: Genotype) -> tuple[str, ...]:
    """The operation of every layer. Raises GenotypeError unless the genotype is the chain's."""
    genotypes.check(genotype)
    all_layers, cell = layers(chain), genotype.cells.get(LAYERS)
    if genotype.space != chain.name:
        raise GenotypeError(f"The genotype is of the space {genotype.space!r}, not {chain.name!r}.")
    edges = [(i, i + 1) for i in range(len(all_layers))]
    if cell is None or len(genotype.cells) != 1 or [edge[:2] for edge in cell.edges] != edges:
        raise GenotypeError(
            f"A genotype of {chain.name} has one cell, {LAYERS!r}, with the edges "
            f"[0, 1] to [{len(edges) - 1}, {len(edges)}] in order."
        )
    names = tuple(name for _, _, name in cell.edges)
    for i, (name, layer) in enumerate(zip(names, all_layers, strict=True)):
        if name not in layer.candidates:
            raise GenotypeError(
                f"Layer {i} of {chain.name} has no {name!r}; "
                f"there are {', '.join(layer.candidates)}."
            )
    return names


def select(chain: Chain, gates: Gates) -> Genotype:
    """Every layer keeps its strongest candidate; ties go to the one listed first.

    Raises ValueError for gates of another shape and gates that are not finite.
    """
    rows = {}
    for name, choice in space(chain).items():
        if name not in gates or np.shape(gates[name]) != choice.shape:
            shape = np.shape(gates[name]) if name in gates else "missing"
            raise ValueError(f"The gates of {name!r} are {shape}, expected {choice.shape}.")
        rows[name] = np.asarray(gates[name])
        if not np.isfinite(rows[name]).all():
            raise ValueError(f"Some gates of {name!r} are not finite: there is nothing to select.")
    all_layers = layers(chain)
    best = {i: int(np.argmax(rows[name][row])) for i, (name, row) in gate_rows(chain).items()}
    return genotype(chain, (all_layers[i].candidates[best[i]] for i in sorted(best)))


def one_hot(chain: Chain, genotype: Genotype) -> Mapping[str, np.ndarray]:
    """One-hot gates of a genotype's operations, f32[edges, candidates] a choice."""
    names, all_layers = operations(chain, genotype), layers(chain)
    gates = {name: np.zeros(choice.shape, np.float32) for name, choice in space(chain).items()}
    for i, (choice, row) in gate_rows(chain).items():
        gates[choice][row, all_layers[i].candidates.index(names[i])] = 1
    return gates


def halvings(chain: Chain) -> int:
    """The number of layers that halve the image, the stem included."""
    return sum(stride > 1 for stride in (chain.stem_stride, *(s.stride for s in chain.stages)))


def resized(
    chain: Chain,
    *,
    width: float | None = None,
    halvings: int | None = None,
    repeats: int | None = None,
) -> Chain:
    """A chain for small images or small devices.

    `width` multiplies all features, stem and head too, rounded to multiples of 8; `halvings` is how
    many of the last strided layers keep their stride, the earlier ones get stride 1; `repeats` is
    the maximum of layers in a stage. Raises ValueError for a setting that is impossible or has no
    effect.
    """
    strides = (chain.stem_stride, *(s.stride for s in chain.stages))
    if width is not None:
        if not 0 < width < 100:
            raise ValueError(f"A width multiplies the features: choose it above 0, not {width}.")
        scale = lambda features: _multiple_of_8(width * features)
        stages = tuple(s._replace(features=scale(s.features)) for s in chain.stages)
        stem, head = scale(chain.stem), scale(chain.head)
        hidden = scale(chain.hidden) if chain.hidden else 0
        chain = _changed(chain, "width", width, stem=stem, head=head, hidden=hidden, stages=stages)
    if halvings is not None:
        halving = [i for i, stride in enumerate(strides) if stride > 1]
        if not 0 <= halvings <= len(halving):
            raise ValueError(
                f"{chain.name} halves the size {len(halving)} times, not {halvings} times."
            )
        halving = halving[len(halving) - halvings :]
        first, *others = (stride if i in halving else 1 for i, stride in enumerate(strides))
        stages = tuple(s._replace(stride=n) for s, n in zip(chain.stages, others, strict=True))
        chain = _changed(chain, "halvings", halvings, stem_stride=first, stages=stages)
    if repeats is not None:
        if repeats < 1:
            raise ValueError(f"A stage has at least one layer, not {repeats}.")
        stages = tuple(s._replace(repeats=min(s.repeats, repeats)) for s in chain.stages)
        chain = _changed(chain, "repeats", repeats, stages=stages)
    return chain


def check_image(chain: Chain, height: int, width: int) -> None:
    """Raises ValueError where the halvings leave less than a pixel."""
    if min(height, width) < 2 ** halvings(chain):
        raise ValueError(
            f"{chain.name} halves {height}x{width} pixels {halvings(chain)} times, to less than "
            "one: give larger images, or resize the chain with fewer `halvings`."
        )


def _changed(chain: Chain, setting: str, value: float, **fields) -> Chain:
    changed = chain._replace(**fields)
    if changed == chain:
        raise ValueError(f"{chain.name} stays as it is with {setting}={value}: leave it out.")
    return changed


def _multiple_of_8(features: float) -> int:
    """The multiple of 8 nearest to `features`, at least 8 and at least nine tenths of `features`.

    MobileNetV2's own rounding (tensorflow/models, slim/nets/mobilenet/mobilenet.py).
    """
    rounded = max(8, int(features + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * features else rounded + 8


def _check_chain(chain: Chain) -> None:
    strides = (chain.stem_stride, *(s.stride for s in chain.stages))
    sizes = [chain.stem, chain.head, *(n for s in chain.stages for n in (s.features, s.repeats))]
    if not chain.stages or min(sizes) < 1 or chain.hidden < 0:
        raise ValueError(f"{chain.name} needs a stage, and at least one feature and layer in each.")
    if not set(strides) <= {1, 2}:
        raise ValueError(f"{chain.name} has a stride other than 1 and 2.")
    if unknown := {chain.activation, chain.outer_activation} - set(ACTIVATIONS):
        _fail_unknown("activation", min(unknown), ACTIVATIONS)
    if chain.padding not in ("symmetric", "same"):
        _fail_unknown("padding", chain.padding, ("symmetric", "same"))
    if not (0 <= chain.decay < 1 and chain.epsilon > 0 and 0 <= chain.dropout < 1):
        raise ValueError(f"{chain.name}: need 0 <= decay < 1, epsilon > 0 and 0 <= dropout < 1.")


def _check_layer(layer: Layer) -> None:
    if not layer.candidates:
        raise ValueError(
            f"A layer from {layer.inputs} to {layer.features} features, stride {layer.stride}, "
            f"cannot be skipped: give it a candidate besides {SKIP}."
        )
    if len(set(layer.candidates)) < len(layer.candidates):
        raise ValueError("A candidate stands twice in a stage: name each once.")
    for name in layer.candidates:
        if name != SKIP:
            spec = block(name)
            widths = (layer.inputs, hidden(layer, spec), layer.features)
            if any(n % spec.groups for n in widths) or min(widths) < 1:
                raise ValueError(
                    f"{name!r} splits {widths[0]}, {widths[1]} and {widths[2]} features into "
                    f"{spec.groups} groups: make them multiples of it."
                )


def _fail_unknown(setting: str, value: str, allowed: Sequence[str]) -> NoReturn:
    raise ValueError(f"There is no {setting} {value!r}; choose among {', '.join(allowed)}.")
