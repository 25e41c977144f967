"""The search spaces of DARTS's cells: a normal and a reduction cell, two edges a node."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from jaxnas.core.types import Space
from jaxnas.nets import batch_norm, functional, ops
from jaxnas.nets.mixed import mixed_edges
from jaxnas.spaces import dataflow, discretise, edits, genome, layers, pruning
from jaxnas.spaces.darts import choices as darts_choices
from jaxnas.spaces.darts import distribution, genotypes, inherit, supernet
from jaxnas.spaces.darts import network as networks
from jaxnas.spaces.darts.notation import from_pairs, is_notation
from jaxnas.spaces.genotype import Genotype, GenotypeError
from jaxnas.spaces.search_space import BlockSpec, NetworkSize, PresetSizes, SearchSpace
from jaxnas.spaces.user import source_digest, user_space
from jaxnas.spaces.user.user_space import UserSpace

NAME = "darts"
CELLS = ("normal", "reduce")
EDGES_PER_NODE = 2
SIZES: Mapping[str, PresetSizes] = {
    "quick": PresetSizes({"cells": 3, "features": 4}, {"cells": 3, "features": 4}),
    # DARTS, section 3.1, quark0/darts cnn/train_search.py and cnn/train.py.
    "paper": PresetSizes({"cells": 8, "features": 16}, {"cells": 20, "features": 36}),
}
SUPPORTS = frozenset({"edgewise", "cells", "execute", "partial", "candidates", "edge_weights"})


def entry(
    cells: int | None = None,
    *,
    choices: Space | None = None,
    candidates: ops.Ops = ops.DARTS,
    derived: ops.Ops = ops.DARTS_DERIVED,
    name: str = NAME,
    genotype_space: str = NAME,
    summary: str = "DARTS's cells: 8 operations, 14 edges, two a node",
    digest: str | None = None,
) -> SearchSpace:
    """The space of DARTS's cells with `choices` (None: DARTS's).

    `candidates` are the operations of supernets, `derived` those of networks, whose pools have no
    normalisation; `genotype_space` is the space's name in genotypes.
    """
    choices = darts_choices.darts() if choices is None else choices
    select = functools.partial(discretise.top_edges_per_node, name=genotype_space)
    network = functools.partial(networks.cifar, candidates=derived)
    return SearchSpace(
        name=name,
        genotype_space=genotype_space,
        noun="a network of DARTS cells",
        summary=summary,
        choices=choices,
        genome=genome.of_space(choices, select),
        supernet=functools.partial(supernet.supernet, candidates=candidates),
        network=network,
        discretise=select,
        distribution=distribution.pairs(choices),
        layers=lambda size: layers.of_cells(name, choices, derived, size, halves=True),
        sizes=SIZES,
        campaign_cells=3,
        ignores={"measure": frozenset()},
        supports=SUPPORTS,
        blocks=functools.partial(_blocks, derived),
        prunable=functools.partial(pruning.of_cells, network, _widths) if digest is None else None,
        edits=edits.of_cells(candidates),
        inherit=functools.partial(inherit.from_darts, choices),
        edges_per_node=EDGES_PER_NODE,
        parse=_parse if name == genotype_space == NAME else None,
        check=_check,
        published=genotypes.PUBLISHED if name == NAME else {},
        digest=digest,
    )


def of_file(name: str) -> SearchSpace:
    """The space of a user's file `*.py`. Raises UserSpaceError for a file that defines none."""
    path = Path(name).expanduser()
    user = user_space.load(str(path))
    digest = source_digest.digest(str(path))
    return retrained(user, name=name, genotype_space=path.stem, digest=digest)


def retrained(user: UserSpace, *, name: str, genotype_space: str, digest: str) -> SearchSpace:
    """The space of a user's choices, whose networks are retrained with operations of their own.

    Pools of retrained networks have no normalisation, except a user's.
    """
    derived = {
        operation: ops.DARTS_DERIVED[operation] if make is ops.DARTS.get(operation) else make
        for operation, make in user.candidates.items()
    }
    return of_user_space(user, derived, name=name, genotype_space=genotype_space, digest=digest)


def of_user_space(
    user: UserSpace,
    derived: ops.Ops,
    *,
    name: str = "user",
    genotype_space: str = "user",
    digest: str = "",
) -> SearchSpace:
    """The space of a user's choices and operations; networks have the operations `derived`."""
    space = entry(
        choices=user.space,
        candidates=user.candidates,
        derived=derived,
        name=name,
        genotype_space=genotype_space,
        summary="a space of your own",
        digest=digest,
    )
    return space if user.work is None else space._replace(workload=lambda size: user.work)


def _blocks(derived: ops.Ops, genotype: Genotype, size: NetworkSize) -> Iterator[BlockSpec]:
    """The cells without dead edges, at full size, where the reduction cell halves the image."""
    norm = batch_norm.norms(True, training=False).outside
    height, width = size.image[:2]
    for cell_name, cell in dataflow.remove_dead_edges(genotype).cells.items():
        factories = mixed_edges.op_factories(dict.fromkeys(op for _, _, op in cell.edges), derived)
        stride = 2 if cell_name == "reduce" else 1
        features = size.features * stride
        image = (height, width, size.features * len(cell.concat))
        module = networks.DARTSCell(cell, factories, features, stride, False, norm)
        shape = {"cell": cell_name, "features": features, "height": height, "width": width}
        yield BlockSpec(
            f"{cell_name} {features}x{height}x{width}", module, (image, image), (None,), shape
        )


def _widths(
    genotype: Genotype, features: int, cells: int, reductions: Sequence[int] | None
) -> pruning.NamedWidths:
    """The widths of stem and cells, which are pruned one by one."""
    halved = functional.default_reductions(cells) if reductions is None else reductions
    widths = networks.widths_of(features, cells, halved)
    return pruning.NamedWidths(widths, ("stem", *(f"cell_{i}" for i in range(cells))))


def _check(genotype: Genotype) -> None:
    missing = [name for name in CELLS if name not in genotype.cells]
    if missing:
        raise GenotypeError(f"Not a genotype: the cell {missing[0]!r} is missing.")


def _parse(text: str) -> Genotype | None:
    """DARTS's pairs, as its code prints them, alone or in a log, or as JSON."""
    return from_pairs(text) if is_notation(text) else None
