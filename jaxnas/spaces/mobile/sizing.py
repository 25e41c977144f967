"""A mobile chain at the size that a run asks for."""

import math
from collections.abc import Mapping

from jaxnas.spaces.genotype import Genotype, GenotypeError
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile.chain import Chain

# A chain halves the image as long as a side of so many pixels is left.
LEAST_SIDE = 4


def sized(
    chain: Chain, name: str, *, features: int | None = None, repeats: int | None = None
) -> Chain:
    """A chain with a stem of `features` and at most `repeats` layers a stage.

    None: as it is. Features of all stages shrink or grow with the stem's, rounded to multiples of
    4, those of unequal stages staying unequal, so that which layers may be skipped depends on
    `repeats` alone (ours). `name` stands in errors: ValueError for features that are no multiple
    of 4 and for repeats beyond those of the chain.
    """
    most = max(stage.repeats for stage in chain.stages)
    if repeats is not None and not 1 <= repeats <= most:
        raise ValueError(f"A stage of {name} has 1 to {most} layers, not {repeats}.")
    if repeats is not None and repeats < most:
        chain = chains.resized(chain, repeats=repeats)
    return chain if features is None else _widened(chain, name, features)


def repeats_of(chain: Chain, name: str, genotype: Genotype) -> int:
    """The layers a stage of a genotype that was found in a chain of at most as many.

    Raises GenotypeError where no such chain has as many layers as the genotype.
    """
    cell = genotype.cells.get(chains.LAYERS)
    for repeats in range(1, max(stage.repeats for stage in chain.stages) + 1):
        shorter = sized(chain, name, repeats=repeats)
        if cell and len(cell.edges) == len(chains.layers(shorter)):
            chains.operations(shorter, genotype)
            return repeats
    raise GenotypeError(f"No {name} has the layers of this genotype: it is damaged.")


def for_image(chain: Chain, height: int, width: int) -> Chain:
    """The chain with its last halvings only, as many as leave sides of at least 4 pixels.

    Weights have the same shapes whatever is halved. Ours.
    """
    fits = int(math.log2(max(1, min(height, width) // LEAST_SIDE)))
    halvings = chains.halvings(chain)
    return chain if fits >= halvings else chains.resized(chain, halvings=fits)


def _widened(chain: Chain, name: str, features: int) -> Chain:
    if features < 4 or features % 4:
        raise ValueError(
            f"The features of {name} are those of its stem, a multiple of 4, not {features}."
        )
    if features == chain.stem:
        return chain
    width, before, last = features / chain.stem, 0, 0
    fours: Mapping[int, int] = {}
    for stage in chain.stages:
        if stage.features not in fours:
            least = last + 4 if stage.features > before else 4
            fours = fours | {stage.features: max(4 * round(width * stage.features / 4), least)}
        before, last = stage.features, fours[stage.features]
    stages = tuple(stage._replace(features=fours[stage.features]) for stage in chain.stages)
    head = max(8, 4 * round(width * chain.head / 4))
    return chain._replace(stem=features, stages=stages, head=head)
