"""The search spaces by name: the one place to register a space."""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from jaxnas.core import names
from jaxnas.core.types import Network
from jaxnas.spaces import genotype
from jaxnas.spaces.darts import choices, sharp_ops
from jaxnas.spaces.darts import entry as darts
from jaxnas.spaces.genotype import Genotype, GenotypeError
from jaxnas.spaces.hypercuboid import entry as hypercuboid
from jaxnas.spaces.mobile import entry as mobile
from jaxnas.spaces.mobile import workload, zoo
from jaxnas.spaces.nasbench201 import entry as nasbench201
from jaxnas.spaces.search_space import SearchSpace
from jaxnas.spaces.user_space import UserSpace


def _darts(name: str, make: Callable, summary: str, **operations) -> Callable[..., SearchSpace]:
    return lambda cells=None: darts.entry(
        cells, choices=make(), name=name, summary=summary, **operations
    )


def _mobile(name: str, make: Callable, summary: str) -> Callable[..., SearchSpace]:
    return functools.partial(mobile.entry, make, name=name, summary=summary)


# Factories of a number of cells; None: the space's default.
SPACES: Mapping[str, Callable[..., SearchSpace]] = {
    "darts": darts.entry,
    "darts-no-none": _darts(
        "darts-no-none", choices.darts_without_none, "DARTS's cells without `none`: DARTS-PT's s5"
    ),
    "darts-s1": _darts(
        "darts-s1", choices.s1, "RobustDARTS S1: on each edge two operations of its own"
    ),
    "darts-s2": _darts("darts-s2", choices.s2, "RobustDARTS S2: skip or separable convolution"),
    "darts-s3": _darts("darts-s3", choices.s3, "RobustDARTS S3: none, skip or separable"),
    "darts-s4": _darts("darts-s4", choices.s4, "RobustDARTS S4: noise or separable convolution"),
    "darts-sharp": _darts(
        "darts-sharp", choices.sharp, "DARTS's cells with sharpDARTS's operations",
        genotype_space="darts-sharp", candidates=sharp_ops.OPS, derived=sharp_ops.DERIVED,
    ),
    "nasbench201": nasbench201.entry,
    "hypercuboid": hypercuboid.entry,
    "mobile-proxyless": _mobile("mobile-proxyless", zoo.proxyless, "ProxylessNAS's chain"),
    "mobile-fbnet": _mobile("mobile-fbnet", zoo.fbnet, "FBNet's chain"),
    "mobile-single-path": _mobile(
        "mobile-single-path", zoo.single_path, "Single-Path NAS's chain, for superkernels"
    ),
}  # fmt: skip


def is_file(name: str) -> bool:
    """Whether a space is named by the file that defines it."""
    return name.lower().endswith(".py")


def label(name: str) -> str:
    """A space's name as a part of a folder's: that of a file without folder and ending."""
    return pathlib.Path(name).stem if is_file(name) else name


def get(name: str, cells: int | None = None) -> SearchSpace:
    """The space of that name, or of a file `*.py` that defines one.

    `cells` shapes mobile spaces, as the maximum of layers in a stage (None: the paper's), and the
    hypercuboid, as the number of layers. Raises ValueError for an unknown name and UserSpaceError
    for a file that defines no space.
    """
    if is_file(name):
        return darts.of_file(name)
    if name not in SPACES:
        raise ValueError(
            f"{names.hint(name, SPACES)}No space is called {name!r}; there are "
            f"{', '.join(SPACES)}, and files *.py."
        )
    return SPACES[name](cells)


@functools.cache
def _by_genotype() -> Mapping[str, str]:
    """`genotype_space` -> the name of the first space that has it."""
    names: dict[str, str] = {}
    for name in SPACES:
        names.setdefault(get(name).genotype_space, name)
    return names


def find(genotype: Genotype) -> SearchSpace | None:
    """The first space with the genotype's space name, of any size; None for an unknown name."""
    name = _by_genotype().get(genotype.space)
    return None if name is None else get(name)


def of_genotype(genotype: Genotype) -> SearchSpace:
    """The space of a genotype, of as many cells. Raises GenotypeError for an unknown space."""
    if (space := find(genotype)) is None:
        raise GenotypeError(
            f"The genotype is of the space {genotype.space!r}, whose operations are not known: "
            "say with --space which file *.py defines it."
        )
    return get(space.name, space.cells_of(genotype))


def of_user_space(user: UserSpace) -> SearchSpace:
    """The space of a user's choices, whose networks have the operations of the supernet."""
    return darts.of_user_space(user, user.candidates)


def network_of(genotype: Genotype) -> Callable[..., Network]:
    """`SearchSpace.network` of a genotype's space. Raises as `of_genotype`."""
    return of_genotype(genotype).network


def table_workload(candidates: Sequence[str], layers: int) -> np.ndarray | None:
    """f64[layers, candidates, quantities] of a public table of chains; None for unknown sizes."""
    return workload.of_table(candidates, layers)


@functools.cache
def published() -> Mapping[str, Genotype]:
    """Published genotypes by name."""
    return {name: g for space in SPACES for name, g in get(space).published.items()}


def parse_genotype(text: str) -> Genotype:
    """A genotype in jaxnas's own format, or in a notation of one of the spaces.

    Raises GenotypeError for anything else.
    """
    for name in _by_genotype().values():
        parse = get(name).parse
        if parse is not None and (parsed := parse(text)) is not None:
            return parsed
    parsed = genotype.from_json(text)
    if (space := find(parsed)) is not None:
        space.check(parsed)
    return parsed
