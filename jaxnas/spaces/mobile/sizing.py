"""Mobile chains resized to the settings of a run: features, layers a stage, image size."""

import math
from collections.abc import Mapping

from jaxnas.spaces.genotype import Genotype, GenotypeError
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile.chain import Chain

# A chain does not halve the image to sides below so many pixels.
MIN_SIDE = 4


def sized(
    chain: Chain, name: str, *, features: int | None = None, repeats: int | None = None
) -> Chain:
    """A chain with a stem of `features` and at most `repeats` layers a stage.

    None: unchanged. Features of all stages scale with the stem's, rounded to multiples of 4; those
    of unequal stages stay unequal, so that which layers may be skipped depends on `repeats` only
    (ours). Raises ValueError, with `name` in the message, for features that are no multiple of 4
    and for repeats beyond those of the chain.
    """
    max_repeats = max(stage.repeats for stage in chain.stages)
    if repeats is not None and not 1 <= repeats <= max_repeats:
        raise ValueError(f"A stage of {name} has 1 to {max_repeats} layers, not {repeats}.")
    if repeats is not None and repeats < max_repeats:
        chain = chains.resized(chain, repeats=repeats)
    return chain if features is None else _widened(chain, name, features)


def repeats_of(chain: Chain, name: str, genotype: Genotype) -> int:
    """The `repeats` of `sized` whose chain the genotype belongs to.

    Raises GenotypeError if no such chain has as many layers as the genotype.
    """
    cell = genotype.cells.get(chains.LAYERS)
    for repeats in range(1, max(stage.repeats for stage in chain.stages) + 1):
        shorter = sized(chain, name, repeats=repeats)
        if cell and len(cell.edges) == len(chains.layers(shorter)):
            chains.operations(shorter, genotype)
            return repeats
    raise GenotypeError(f"No {name} has the layers of this genotype: it is damaged.")


def for_image(chain: Chain, height: int, width: int) -> Chain:
    """The chain with as many halvings, the last ones, as leave sides of at least 4 pixels.

    The shapes of weights do not depend on halvings. Ours.
    """
    fits = int(math.log2(max(1, min(height, width) // MIN_SIDE)))
    halvings = chains.halvings(chain)
    return chain if fits >= halvings else chains.resized(chain, halvings=fits)


def _widened(chain: Chain, name: str, features: int) -> Chain:
    if features < 4 or features % 4:
        raise ValueError(
            f"The features of {name} are those of its stem, a multiple of 4, not {features}."
        )
    if features == chain.stem:
        return chain
    ratio, before, new_last = features / chain.stem, 0, 0
    new_features: Mapping[int, int] = {}
    for stage in chain.stages:
        if stage.features not in new_features:
            min_features = new_last + 4 if stage.features > before else 4
            new_features = new_features | {
                stage.features: max(4 * round(ratio * stage.features / 4), min_features)
            }
        before, new_last = stage.features, new_features[stage.features]
    stages = tuple(stage._replace(features=new_features[stage.features]) for stage in chain.stages)
    head = max(8, 4 * round(ratio * chain.head / 4))
    return chain._replace(stem=features, stages=stages, head=head)
