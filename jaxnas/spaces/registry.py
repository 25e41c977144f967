"""What a space's name, or a user's file, stands for: choices, networks, a way to select."""

import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxnas.core.types import Gates, Network, Space, Supernet
from jaxnas.nets import functional, mixed_layer, ops
from jaxnas.spaces import choices as spaces
from jaxnas.spaces import discretise, user_space
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces.darts import network as darts_network
from jaxnas.spaces.darts import sharp_ops
from jaxnas.spaces.darts import supernet as darts
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.hypercuboid import blocks as hypercuboid_blocks
from jaxnas.spaces.hypercuboid import network as hypercuboid_network
from jaxnas.spaces.hypercuboid import supernet as hypercuboid
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile import network as mobile_network
from jaxnas.spaces.mobile import sizing
from jaxnas.spaces.mobile import supernet as mobile_supernet
from jaxnas.spaces.nasbench201 import network as nasbench201_network
from jaxnas.spaces.nasbench201 import supernet as nasbench201

CELLS = ("darts", "darts-sharp", "nasbench201")  # spaces of cells that genotypes are named after
# The hypercuboid: layers unless told, and its widths in multiples of the features (ours).
GRID, LAYERS, WIDTHS = "hypercuboid", 4, (1, 2, 4)


class Entry(NamedTuple):
    """`supernet(space, features=, cells=, classes=, reductions=, remat=)`, of this space or one
    made of it; `candidates` are the operations that its supernets know, `derived` those of its
    networks, which normalise no pools. Mobile candidates are what their names say: both are empty.
    """

    space: Space
    candidates: ops.Ops
    derived: ops.Ops
    supernet: Callable[..., Supernet]
    select: Callable[[Space, Gates], Genotype]
    network: Callable[..., Network]
    digest: str | None  # SHA-256 of the user's file
    pairs: bool = False  # whether a network has two edges a node; else it has them all
    searched: Space | None = None  # whose gates a search has, where they are not the space's


def entry(name: str, cells: int | None = None) -> Entry:
    """The entry of a space that ships with jaxnas, or of a file `*.py` that defines one.

    `cells` shapes mobile spaces, where it is the most layers of a stage (None: the paper's), and
    the hypercuboid, where it is the layers; their supernets and networks take no other. `features`
    are those of a mobile stem, and of the hypercuboid's narrowest width.

    `entry.network(genotype, features=, cells=, classes=, reductions=, auxiliary=)` gives the
    network of a genotype of the space; its `apply` takes None where no path is dropped. Where it is
    not mobile it takes `widths=` too, those of `nets.cell_narrow`, in the place of the features.
    Raises ValueError for an unknown name and CustomError for a file that defines no space.
    """
    if name.endswith(".py"):
        return _users(Path(name).expanduser())
    if name in sizing.CHAINS:
        return _mobile(name, cells)
    if name == GRID:
        return _grid(LAYERS if cells is None else cells)
    if name == "nasbench201":
        known = ops.nasbench201(affine=False), ops.nasbench201(affine=True)
        return Entry(
            spaces.nasbench201(),
            *known,
            _benchmark,
            discretise.argmax_per_edge,
            _benchmark_network,
            None,
        )
    made = {
        "darts": spaces.darts,
        "darts-no-none": spaces.darts_without_none,
        "darts-s1": spaces.s1,
        "darts-s2": spaces.s2,
        "darts-s3": spaces.s3,
        "darts-s4": spaces.s4,
        "darts-sharp": spaces.sharp,
    }
    if name not in made:
        known = ", ".join([*made, "nasbench201", GRID, *sizing.CHAINS])
        raise ValueError(f"No space is called {name!r}; there are {known}, and files *.py.")
    if name == "darts-sharp":
        return _cells(made[name](), sharp_ops.OPS, sharp_ops.DERIVED, name, None)
    return _cells(made[name](), ops.DARTS, ops.DARTS_DERIVED, "darts", None)


def _cells(
    space: Space, candidates: ops.Ops, derived: ops.Ops, name: str, digest: str | None
) -> Entry:
    """The entry of a space of DARTS's cells, whose genotypes bear `name`."""
    return Entry(
        space,
        candidates,
        derived,
        functools.partial(darts.supernet, candidates=candidates),
        functools.partial(discretise.top_edges_per_node, name=name),
        functools.partial(darts_network.cifar, candidates=derived),
        digest,
        pairs=True,
    )


def measured(name: str, cells: int | None = None) -> Entry:
    """The same as `entry`, for what measures networks and tells them apart.

    Of the hypercuboid the space is `choices.as_chain`, a chain, where a network is one candidate a
    layer; its supernet takes the grid. Raises as `entry`.
    """
    found = entry(name, cells)
    if name != GRID:
        return found
    chain = spaces.as_chain(found.space, WIDTHS)
    return found._replace(space=chain, select=discretise.connected, searched=found.space)


def of_genotype(genotype: Genotype) -> Entry:
    """The entry that makes a genotype's networks. Raises GenotypeError for an unknown space."""
    if family_of(genotype) == "mobile":
        return entry(*sizing.of_genotype(genotype))
    if family_of(genotype) == "grid":
        return entry(GRID, _layers(genotype))
    if genotype.space not in CELLS:
        raise genotypes.GenotypeError(
            f"The genotype is of the space {genotype.space!r}, whose operations are not known: "
            "say with --space which file *.py defines it."
        )
    return entry(genotype.space)


def family_of(genotype: Genotype) -> str:
    """Whose network a genotype is of: `darts`, `nasbench201`, `mobile` or `grid`."""
    if genotype.space == GRID:
        return "grid"
    if genotype.space in {chain().name for chain in sizing.CHAINS.values()}:
        return "mobile"
    return "nasbench201" if genotype.space == "nasbench201" else "darts"


def _users(path: Path) -> Entry:
    found = user_space.load(str(path))
    # A network that is retrained normalises no pools, unless they are the user's own.
    derived = {
        name: ops.DARTS_DERIVED[name] if factory is ops.DARTS.get(name) else factory
        for name, factory in found.candidates.items()
    }
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return _cells(found.space, found.candidates, derived, path.stem, digest)


def _mobile(name: str, cells: int | None) -> Entry:
    chain = sizing.sized(name, repeats=cells)
    return Entry(
        chains.space(chain),
        {},
        {},
        functools.partial(_mobile_supernet, name, cells),
        functools.partial(_mobile_select, chain),
        functools.partial(_mobile_network, name, cells),
        None,
    )


def _mobile_select(chain: chains.Chain, space: Space, gates: Gates) -> Genotype:
    return chains.select(chain, gates)


def _mobile_supernet(
    name: str,
    repeats: int | None,
    space: Space,
    *,
    features: int,
    cells: int | None,
    classes: int,
    reductions: Sequence[int] | None,
    remat: bool,
    execute: mixed_layer.Execute = "all",
    superkernel: bool = False,
) -> Supernet:
    chain = _mobile_chain(name, repeats, features, cells, reductions)
    if dict(space) != dict(chains.space(chain)):
        raise ValueError(f"A supernet of {name} has the candidates of {name}, no more or fewer.")
    make = functools.partial(mobile_supernet.single_path, classes=classes)
    if not superkernel:
        # What computes one candidate recomputes it by itself.
        own = execute in ("recomputed", "two")
        make = functools.partial(
            mobile_supernet.mixed,
            classes=classes,
            remat=remat and not own,
            mixture=mixed_layer.mixture(execute),
        )
    fit = lambda inputs: make(sizing.for_image(chain, *inputs.shape[1:3]))
    return Supernet(
        space,
        lambda key, inputs: fit(inputs).init(key, inputs),
        lambda weights, stats, gates, inputs: fit(inputs).apply(weights, stats, gates, inputs),
        lambda weights, stats, gates, inputs: fit(inputs).infer(weights, stats, gates, inputs),
    )


def _mobile_network(
    name: str,
    repeats: int | None,
    genotype: Genotype,
    *,
    features: int,
    cells: int | None,
    classes: int,
    reductions: Sequence[int] | None,
    auxiliary: bool,
) -> Network:
    if auxiliary:
        raise ValueError("A mobile network has no auxiliary head: leave it out.")
    chain = _mobile_chain(name, repeats, features, cells, reductions)

    def fit(inputs):
        fitting = sizing.for_image(chain, *inputs.shape[1:3])
        return mobile_network.network(fitting, genotype, classes=classes)

    mobile_network.network(chain, genotype, classes=classes)  # refuses what cannot be
    return Network(
        lambda key, inputs: fit(inputs).init(key, inputs),
        lambda weights, stats, inputs, *rest: fit(inputs).apply(weights, stats, inputs, *rest),
        lambda weights, stats, inputs: fit(inputs).infer(weights, stats, inputs),
    )


def _mobile_chain(
    name: str,
    repeats: int | None,
    features: int,
    cells: int | None,
    reductions: Sequence[int] | None,
) -> chains.Chain:
    if reductions is not None:
        raise ValueError("A mobile network halves the image as its chain says: no reductions.")
    if cells is not None and cells != repeats:
        own = "as many as in the paper" if repeats is None else repeats
        raise ValueError(
            f"The layers a stage of this {name} are {own}, not {cells}: its entry decides that."
        )
    return sizing.sized(name, features=features, repeats=repeats)


def _grid(layers: int) -> Entry:
    """A genotype's widths are multiples of the features, so that its network may be wider."""
    return Entry(
        spaces.hypercuboid(layers, len(WIDTHS)),
        hypercuboid_blocks.OPS,
        hypercuboid_blocks.OPS,
        _grid_supernet,
        functools.partial(discretise.strongest_path, widths=WIDTHS),
        _grid_network,
        None,
    )


def _grid_supernet(
    space: Space,
    *,
    features: int,
    cells: int | None,
    classes: int,
    reductions: Sequence[int] | None,
    remat: bool,
) -> Supernet:
    if cells not in (None, len(space)):
        raise ValueError(f"This grid has {len(space)} layers, not {cells}: its entry decides that.")
    return hypercuboid.supernet(
        space,
        widths=[features * width for width in WIDTHS],
        classes=classes,
        reductions=functional.default_reductions(len(space)) if reductions is None else reductions,
        remat=remat,
    )


def _grid_network(
    genotype: Genotype,
    *,
    features: int,
    cells: int | None,
    classes: int,
    reductions: Sequence[int] | None,
    auxiliary: bool,
    widths: Sequence[int] | None = None,
) -> Network:
    if auxiliary:
        raise ValueError("A path has no auxiliary head: leave it out.")
    if cells not in (None, _layers(genotype)):
        raise ValueError(f"The path has {_layers(genotype)} layers, not {cells}: it says so.")
    if widths is not None:
        genotype, features = hypercuboid_network.rewidened(genotype, widths), 1
    halved = functional.default_reductions(_layers(genotype)) if reductions is None else reductions
    return hypercuboid_network.network(
        genotype, features=features, classes=classes, reductions=halved
    )


def _layers(genotype: Genotype) -> int:
    return sum(len(cell.edges) for cell in genotype.cells.values())


def _benchmark(space: Space, *, reductions: Sequence[int] | None, **settings) -> Supernet:
    if reductions is not None:
        raise ValueError("NAS-Bench-201 has its own reductions: leave them out.")
    return nasbench201.supernet(space, **settings)


def _benchmark_network(
    genotype: Genotype, *, reductions: Sequence[int] | None, auxiliary: bool, **settings
) -> Network:
    if reductions is not None or auxiliary:
        raise ValueError(
            "A NAS-Bench-201 network has its own reductions and no auxiliary head: leave both out."
        )
    net = nasbench201_network.nasbench201(genotype, **settings)

    def apply(weights, stats, inputs, key, drop_path):
        rate = 0 if drop_path is None else drop_path
        return net.apply(weights, stats, inputs, key, rate)

    return net._replace(apply=apply)
