"""The search spaces by name: the one place to register a space; those of other packages too."""

import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint
from types import ModuleType

import numpy as np

from jaxnas.core import names as names_of
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
from jaxnas.spaces.user import plugins, user_space
from jaxnas.spaces.user.plugins import PluginError
from jaxnas.spaces.user.user_space import UserSpace


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


def names() -> tuple[str, ...]:
    """All spaces: ours, and those that other packages register."""
    return (*SPACES, *plugins.installed(plugins.SPACES, SPACES))


def is_file(name: str) -> bool:
    """Whether a space is named by the file that defines it."""
    return name.lower().endswith(".py")


def label(name: str) -> str:
    """A space's name as a part of a folder's: that of a file without folder and ending."""
    return pathlib.Path(name).stem if is_file(name) else name


def get(name: str, cells: int | None = None) -> SearchSpace:
    """The space of that name, or of a file `*.py` that defines one.

    `cells` shapes mobile spaces, as the maximum of layers in a stage (None: the paper's), and the
    hypercuboid, as the number of layers. Raises ValueError for an unknown name, UserSpaceError for
    a file that defines no space, and PluginError for another package's space that is none.
    """
    if is_file(name):
        return darts.of_file(name)
    if name in SPACES:
        return SPACES[name](cells)
    points = plugins.installed(plugins.SPACES, SPACES)
    if name in points:
        return _of_package(points[name], cells)
    there = (*SPACES, *points)
    raise ValueError(
        f"{names_of.hint(name, there)}No space is called {name!r}; there are "
        f"{', '.join(there)}, and files *.py."
    )


def get_all() -> Iterator[SearchSpace]:
    """All spaces; warns of those of other packages that cannot be loaded, and leaves them out."""
    for name in names():
        try:
            yield get(name)
        except (PluginError, user_space.UserSpaceError) as error:
            plugins.warn(str(error))


def _of_package(point: EntryPoint, cells: int | None) -> SearchSpace:
    """The space of an entry point: a module that sets SPACE, or a factory as those of SPACES."""
    value, origin, digest = plugins.load(point)
    if isinstance(value, ModuleType):
        space = darts.retrained(
            user_space.of_module(value, origin),
            name=point.name, genotype_space=point.name, digest=digest or "",
        )  # fmt: skip
        first = (value.__doc__ or "").strip().partition("\n")[0].rstrip(".")
        return space._replace(summary=f"{first or space.summary} ({origin})")
    try:
        space = value(cells)
    except Exception as error:  # whatever a package's own code may raise
        reason = " ".join(str(error).split()) or "no reason given"
        raise PluginError(f"{origin} stops with {type(error).__name__}: {reason}") from error
    if not isinstance(space, SearchSpace):
        raise PluginError(
            f"{origin} gives {type(space).__name__} for {point.group}, no SearchSpace: register "
            "`entry(cells) -> SearchSpace`, or a module that sets SPACE."
        )
    summary = f"{space.summary} ({origin})"
    return space._replace(name=point.name, summary=summary, digest=space.digest or digest)


@functools.cache
def _by_genotype() -> Mapping[str, str]:
    """`genotype_space` -> the name of the first space that has it."""
    found: dict[str, str] = {}
    for space in get_all():
        found.setdefault(space.genotype_space, space.name)
    return found


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
    return {name: g for space in get_all() for name, g in space.published.items()}


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
