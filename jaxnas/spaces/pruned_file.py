"""A narrowed network of cells as a file: what `jaxnas narrow` leaves for other programs.

Mobile networks are chains: see `mobile_file`.
"""

import json
from collections.abc import Callable
from typing import NamedTuple

from jaxnas.core.types import Network
from jaxnas.spaces import genotype
from jaxnas.spaces.genotype import Genotype


class PrunedFileError(ValueError):
    """A text that says no narrowed network: the message is one line."""


class PrunedNetwork(NamedTuple):
    """A genotype and the channels of each part, as `pruning.named` orders them."""

    genotype: Genotype
    widths: tuple[int, ...]
    cells: int | None
    reductions: tuple[int, ...] | None


# genotype -> `SearchSpace.network`: `registry.network_of`, say
NetworkOf = Callable[[Genotype], Callable[..., Network]]


def network(found: PrunedNetwork, network_of: NetworkOf, classes: int) -> Network:
    """Its network. Raises as `network_of` and the networks of the space do."""
    return network_of(found.genotype)(
        found.genotype, features=2, cells=found.cells, classes=classes,
        reductions=found.reductions, auxiliary=False, widths=found.widths,
    )  # fmt: skip


def to_json(found: PrunedNetwork) -> str:
    """The narrowed network, field by field."""
    fields = found._asdict() | {"genotype": json.loads(genotype.to_json(found.genotype))}
    return json.dumps({"jaxnas_narrowed": 1} | fields, indent=1) + "\n"


def from_json(text: str, network_of: NetworkOf) -> PrunedNetwork:
    """The narrowed network of `to_json`, exactly. Raises PrunedFileError."""
    try:
        fields = json.loads(text)
        if fields.pop("jaxnas_narrowed") != 1:
            raise PrunedFileError("It is of another version of jaxnas: narrow it anew.")
        fields["genotype"] = genotype.from_json(json.dumps(fields["genotype"]))
        fields["widths"] = tuple(map(_whole, fields["widths"]))
        if fields["reductions"] is not None:
            fields["reductions"] = tuple(map(_whole, fields["reductions"]))
        found = PrunedNetwork(**fields)
        network(found, network_of, classes=2)
    except PrunedFileError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PrunedFileError(f"This is no narrowed network of jaxnas: {reason}.") from error
    return found


def _whole(number: object) -> int:
    if isinstance(number, bool) or not isinstance(number, int):
        raise PrunedFileError(f"{number!r} is no number of channels.")
    return number
