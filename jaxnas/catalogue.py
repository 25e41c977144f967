"""What a space's name, or a user's file, stands for: choices, networks, a way to select."""

import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxnas import custom, select
from jaxnas import genotype as genotypes
from jaxnas import space as spaces
from jaxnas.genotype import Genotype
from jaxnas.nets import darts, derived_darts, derived_nasbench201, nasbench201, ops, sharp
from jaxnas.types import Gates, Network, Space, Supernet


class Entry(NamedTuple):
    """`supernet(space, features=, cells=, classes=, reductions=, remat=)`, of this space or one
    made of it; `candidates` are the operations that its supernets know.
    """

    space: Space
    candidates: ops.Ops
    supernet: Callable[..., Supernet]
    select: Callable[[Space, Gates], Genotype]
    network: Callable[..., Network]
    digest: str | None  # SHA-256 of the user's file


def entry(name: str) -> Entry:
    """The entry of a space that ships with jaxnas, or of a file `*.py` that defines one.

    `entry.network(genotype, features=, cells=, classes=, reductions=, auxiliary=)` gives the
    network of a genotype of the space; its `apply` takes None where no path is dropped.
    Raises ValueError for an unknown name and CustomError for a file that defines no space.
    """
    if name.endswith(".py"):
        return _users(Path(name).expanduser())
    if name == "nasbench201":
        known = ops.nasbench201(affine=False)
        return Entry(
            spaces.nasbench201(), known, _benchmark, select.argmax, _benchmark_network, None
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
        known = ", ".join([*made, "nasbench201"])
        raise ValueError(f"No space is called {name!r}; there are {known}, and files *.py.")
    if name == "darts-sharp":
        make = functools.partial(darts.supernet, candidates=sharp.OPS)
        derived = {**ops.DARTS_DERIVED, **sharp.CONVOLUTIONS}
        network = functools.partial(derived_darts.cifar, candidates=derived)
        choose = functools.partial(select.strongest_pairs, name=name)
        return Entry(made[name](), sharp.OPS, make, choose, network, None)
    return Entry(
        made[name](), ops.DARTS, darts.supernet, select.strongest_pairs, derived_darts.cifar, None
    )


def of_genotype(genotype: Genotype) -> Entry:
    """The entry that makes a genotype's networks. Raises GenotypeError for an unknown space."""
    if genotype.space not in ("darts", "darts-sharp", "nasbench201"):
        raise genotypes.GenotypeError(
            f"The genotype is of the space {genotype.space!r}, whose operations are not known: "
            "say with --space which file *.py defines it."
        )
    return entry(genotype.space)


def _users(path: Path) -> Entry:
    found = custom.load(str(path))
    # A network that is retrained normalises no pools, unless they are the user's own.
    derived = {
        name: ops.DARTS_DERIVED[name] if factory is ops.DARTS.get(name) else factory
        for name, factory in found.candidates.items()
    }
    return Entry(
        found.space,
        found.candidates,
        functools.partial(darts.supernet, candidates=found.candidates),
        functools.partial(select.strongest_pairs, name=path.stem),
        functools.partial(derived_darts.cifar, candidates=derived),
        hashlib.sha256(path.read_bytes()).hexdigest(),
    )


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
    net = derived_nasbench201.nasbench201(genotype, **settings)

    def apply(weights, stats, inputs, key, drop_path):
        rate = 0 if drop_path is None else drop_path
        return net.apply(weights, stats, inputs, key, rate)

    return net._replace(apply=apply)
