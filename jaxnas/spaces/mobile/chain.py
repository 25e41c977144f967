"""Mobile spaces as data: a chain of layers, each a choice among inverted bottlenecks.

MobileNetV2, https://arxiv.org/abs/1801.04381. A candidate is named by what it is:
`k5_e3` widens 3 times and looks around with a 5x5 kernel; `_g2` splits the 1x1 convolutions into
2 groups, `_se` squeezes and excites, `_relu`, `_relu6` or `_hswish` replace the chain's activation.
Layers are numbered from 0, fixed ones too: layer i is the edge (i, i + 1) of space and genotype.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, NoReturn

import numpy as np

from jaxnas.core.types import Choice, Gates, Space
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces.genotype import Cell, Genotype, GenotypeError

# The candidate that leaves the image as it is.
SKIP = "skip_connect"
ACTIVATIONS = ("relu", "relu6", "hswish")
# Layers of a stage that may be skipped, and those (first of a stage, as a rule) that may not.
LAYERS, FIRST = "layers", "first"


class Block(NamedTuple):
    """An inverted bottleneck without its place."""

    kernel: int
    expansion: float  # hidden features = round(expansion * features that enter)
    groups: int = 1  # of both 1x1 convolutions
    squeeze: bool = False
    activation: str | None = None  # None: the chain's


class Squeeze(NamedTuple):
    """How a chain squeezes and excites: https://arxiv.org/abs/1709.01507"""

    ratio: float
    of: Literal["input", "hidden"]  # whose features the ratio is of
    gate: Literal["sigmoid", "hard_sigmoid"]
    divisor: int  # the squeezed features are a multiple of it


class ChainStage(NamedTuple):
    """`repeats` layers of equal features; the first has the stride."""

    candidates: tuple[str, ...]  # one: the stage is fixed
    features: int
    repeats: int
    stride: int


class Chain(NamedTuple):
    """A mobile network but for its choices: stem, stages, head. Sizes are those of ImageNet."""

    name: str  # of the space, in genotypes
    stem: int  # features of the 3x3 convolution in front
    stem_stride: int
    stages: tuple[ChainStage, ...]
    head: int  # features of the 1x1 convolution behind
    activation: str = "relu"  # in blocks that do not name one
    outer_activation: str = "relu"  # of stem and head
    padding: Literal["symmetric", "same"] = "symmetric"  # torch's or TensorFlow's
    decay: float = 0.9  # of running statistics
    epsilon: float = 1e-5  # of normalisation
    hidden: int = 0  # features of a linear layer before the last; 0: there is none
    squeeze: Squeeze = Squeeze(0.25, "input", "sigmoid", 1)
    dropout: float = 0.2  # before the last linear layer, when a found network is trained


class Layer(NamedTuple):
    """A place in the chain."""

    candidates: tuple[str, ...]
    inputs: int  # features that enter
    features: int  # features that leave
    stride: int

    @property
    def residual(self) -> bool:
        """Whether the image is added to what a block makes of it."""
        return self.stride == 1 and self.inputs == self.features


def block(name: str) -> Block:
    """What a candidate's name says. Raises ValueError for a name that says nothing."""
    kernel, *rest = name.split("_")
    try:
        if kernel[:1] != "k" or not rest or rest[0][:1] != "e":
            raise ValueError
        found = Block(int(kernel[1:]), float(rest[0][1:]))
        for part in rest[1:]:
            if part == "se":
                found = found._replace(squeeze=True)
            elif part in ACTIVATIONS:
                found = found._replace(activation=part)
            elif part[:1] == "g":
                found = found._replace(groups=int(part[1:]))
            else:
                raise ValueError
    except ValueError:
        raise ValueError(
            f"No mobile candidate is called {name!r}: write {SKIP}, or k<kernel>_e<expansion> and "
            f"then, as needed, _g<groups>, _se, _{', _'.join(ACTIVATIONS)}."
        ) from None
    if found.kernel % 2 == 0 or found.kernel < 1 or not 0 < found.expansion < 100:
        raise ValueError(f"{name!r}: a kernel is odd, an expansion is above 0 and below 100.")
    if found.groups < 1:
        raise ValueError(f"{name!r}: there is at least one group.")
    return found


def hidden(layer: Layer, what: Block) -> int:
    """Features between the two 1x1 convolutions."""
    return round(what.expansion * layer.inputs)


def layers(chain: Chain) -> tuple[Layer, ...]:
    """The layers in order. `skip_connect` stands only where it fits: stride 1, equal features.

    Raises ValueError for a chain that cannot be.
    """
    _check_chain(chain)
    found, inputs = [], chain.stem
    for stage in chain.stages:
        for i in range(stage.repeats):
            layer = Layer(stage.candidates, inputs, stage.features, 1 if i else stage.stride)
            if not layer.residual:
                kept = tuple(name for name in layer.candidates if name != SKIP)
                layer = layer._replace(candidates=kept)
            _check_layer(layer)
            found.append(layer)
            inputs = stage.features
    return tuple(found)


def places(chain: Chain) -> dict[int, tuple[str, int]]:
    """Layer -> (choice, row) of its gates, for every layer that has a choice."""
    found, rows = {}, {LAYERS: 0, FIRST: 0}
    everything = layers(chain)
    skipping = any(SKIP in layer.candidates for layer in everything)
    for i, layer in enumerate(everything):
        if len(layer.candidates) > 1:
            choice = FIRST if skipping and SKIP not in layer.candidates else LAYERS
            found[i] = choice, rows[choice]
            rows[choice] += 1
    return found


def space(chain: Chain) -> Space:
    """The choices of a chain: `layers` and, where some may be skipped and others not, `first`.

    Raises ValueError for a chain without choices, and where layers of one choice have unequally
    many candidates.
    """
    everything, rows = layers(chain), {}
    for i, (choice, _) in places(chain).items():
        rows.setdefault(choice, []).append(i)
    if not rows:
        raise ValueError(f"{chain.name} leaves no choice: every layer has one candidate.")
    for name, members in rows.items():
        if len({len(everything[i].candidates) for i in members}) > 1:
            raise ValueError(
                f"Layers of the choice {name!r} have unequally many candidates: "
                "give every searched stage the same."
            )
    return {
        name: Choice(
            tuple((i, i + 1) for i in members), tuple(everything[i].candidates for i in members)
        )
        for name, members in sorted(rows.items())
    }


def genotype(chain: Chain, names: Iterable[str] = ()) -> Genotype:
    """The genotype that names one operation a searched layer, in order; fixed ones are filled in.

    Raises GenotypeError for too few or many names and for operations that a layer does not have.
    """
    names, everything = list(names), layers(chain)
    open_ = sum(len(layer.candidates) > 1 for layer in everything)
    if len(names) != open_:
        raise GenotypeError(f"{chain.name} has {open_} layers to choose, not {len(names)}.")
    rest = iter(names)
    chosen = [
        layer.candidates[0] if len(layer.candidates) == 1 else next(rest) for layer in everything
    ]
    edges = tuple((i, i + 1, name) for i, name in enumerate(chosen))
    found = Genotype(chain.name, {LAYERS: Cell(edges, 1, (len(edges),))})
    operations(chain, found)
    return found


def operations(chain: Chain, found: Genotype) -> tuple[str, ...]:
    """The operation of every layer. Raises GenotypeError unless the genotype is the chain's."""
    genotypes.check(found)
    everything, cell = layers(chain), found.cells.get(LAYERS)
    if found.space != chain.name:
        raise GenotypeError(f"The genotype is of the space {found.space!r}, not {chain.name!r}.")
    ends = [(i, i + 1) for i in range(len(everything))]
    if cell is None or len(found.cells) != 1 or [e[:2] for e in cell.edges] != ends:
        raise GenotypeError(
            f"A genotype of {chain.name} has one cell, {LAYERS!r}, with the edges "
            f"[0, 1] to [{len(ends) - 1}, {len(ends)}] in order."
        )
    names = tuple(name for _, _, name in cell.edges)
    for i, (name, layer) in enumerate(zip(names, everything, strict=True)):
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
    everything = layers(chain)
    best = {i: int(np.argmax(rows[name][row])) for i, (name, row) in places(chain).items()}
    return genotype(chain, (everything[i].candidates[best[i]] for i in sorted(best)))


def one_hot(chain: Chain, found: Genotype) -> Mapping[str, np.ndarray]:
    """The gates, f32[edges, candidates] a choice, that open a genotype's operations alone."""
    names, everything = operations(chain, found), layers(chain)
    gates = {name: np.zeros(choice.shape, np.float32) for name, choice in space(chain).items()}
    for i, (choice, row) in places(chain).items():
        gates[choice][row, everything[i].candidates.index(names[i])] = 1
    return gates


def halvings(chain: Chain) -> int:
    """How often the chain halves an image."""
    return sum(stride > 1 for stride in (chain.stem_stride, *(s.stride for s in chain.stages)))


def resized(
    chain: Chain,
    *,
    width: float | None = None,
    halvings: int | None = None,
    repeats: int | None = None,
) -> Chain:
    """A chain for small images or small devices.

    `width` multiplies all features, stem and head too, rounded to multiples of 8; `halvings` keeps
    the last so many halvings of the size and makes the earlier ones stride 1; `repeats` is the
    most layers that a stage has. Raises ValueError for a setting that is impossible or changes
    nothing.
    """
    before, strides = chain, (chain.stem_stride, *(s.stride for s in chain.stages))
    if width is not None:
        if not 0 < width < 100:
            raise ValueError(f"A width multiplies the features: choose it above 0, not {width}.")
        stages = tuple(s._replace(features=_eighths(width * s.features)) for s in chain.stages)
        stem, head = _eighths(width * chain.stem), _eighths(width * chain.head)
        wide = _eighths(width * chain.hidden) if chain.hidden else 0
        chain = _changed(chain, "width", width, stem=stem, head=head, hidden=wide, stages=stages)
    if halvings is not None:
        halving = [i for i, stride in enumerate(strides) if stride > 1]
        if not 0 <= halvings <= len(halving):
            raise ValueError(
                f"{before.name} halves the size {len(halving)} times, not {halvings} times."
            )
        kept = halving[len(halving) - halvings :]
        first, *rest = (s if i in kept else 1 for i, s in enumerate(strides))
        stages = tuple(s._replace(stride=n) for s, n in zip(chain.stages, rest, strict=True))
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
    after = chain._replace(**fields)
    if after == chain:
        raise ValueError(f"{chain.name} stays as it is with {setting}={value}: leave it out.")
    return after


def _eighths(features: float) -> int:
    """The multiple of 8 nearest to it, at least 8 and at least nine tenths of it.

    MobileNetV2's own rounding (tensorflow/models, slim/nets/mobilenet/mobilenet.py).
    """
    found = max(8, int(features + 4) // 8 * 8)
    return found if found >= 0.9 * features else found + 8


def _check_chain(chain: Chain) -> None:
    strides = (chain.stem_stride, *(s.stride for s in chain.stages))
    sizes = [chain.stem, chain.head, *(n for s in chain.stages for n in (s.features, s.repeats))]
    if not chain.stages or min(sizes) < 1 or chain.hidden < 0:
        raise ValueError(f"{chain.name} needs a stage, and at least one feature and layer in each.")
    if not set(strides) <= {1, 2}:
        raise ValueError(f"{chain.name} has a stride other than 1 and 2.")
    known = (chain.activation, chain.outer_activation)
    wrong = [name for name in known if name not in ACTIVATIONS]
    if wrong:
        _check_one_of("activation", wrong[0], ACTIVATIONS)
    if chain.padding not in ("symmetric", "same"):
        _check_one_of("padding", chain.padding, ("symmetric", "same"))
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
            what = block(name)
            ends = (layer.inputs, hidden(layer, what), layer.features)
            if any(n % what.groups for n in ends) or min(ends) < 1:
                raise ValueError(
                    f"{name!r} splits {ends[0]}, {ends[1]} and {ends[2]} features into "
                    f"{what.groups} groups: make them multiples of it."
                )


def _check_one_of(what: str, found: str, known: Sequence[str]) -> NoReturn:
    raise ValueError(f"There is no {what} {found!r}; choose among {', '.join(known)}.")
