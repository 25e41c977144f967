"""The file of a pruned network of cells: the output of `jaxnas narrow` for other programs.

Pruned mobile networks are chains: see `mobile/chain_file`.
"""

import json
from collections.abc import Callable
from typing import NamedTuple

from jaxnas.core.types import Network
from jaxnas.spaces import genotype
from jaxnas.spaces.genotype import Genotype


class PrunedFileError(ValueError):
    """A text that is no valid file of a pruned network; the message is one line."""


class PrunedNetwork(NamedTuple):
    """A genotype and its widths, in the order of `pruning.NamedWidths`."""

    genotype: Genotype
    widths: tuple[int, ...]
    cells: int | None
    reductions: tuple[int, ...] | None


# genotype -> `SearchSpace.network`; for example `registry.network_of`
NetworkOf = Callable[[Genotype], Callable[..., Network]]


def network(pruned: PrunedNetwork, network_of: NetworkOf, classes: int) -> Network:
    """The pruned network. Raises as `network_of` and the networks of the space."""
    return network_of(pruned.genotype)(
        pruned.genotype, features=2, cells=pruned.cells, classes=classes,
        reductions=pruned.reductions, auxiliary=False, widths=pruned.widths,
    )  # fmt: skip


def to_json(pruned: PrunedNetwork) -> str:
    """The JSON text of all fields."""
    fields = pruned._asdict() | {"genotype": json.loads(genotype.to_json(pruned.genotype))}
    return json.dumps({"jaxnas_narrowed": 1} | fields, indent=1) + "\n"


def from_json(text: str, network_of: NetworkOf) -> PrunedNetwork:
    """The pruned network that `to_json` wrote. Raises PrunedFileError."""
    try:
        fields = json.loads(text)
        if fields.pop("jaxnas_narrowed") != 1:
            raise PrunedFileError("It is of another version of jaxnas: narrow it anew.")
        fields["genotype"] = genotype.from_json(json.dumps(fields["genotype"]))
        fields["widths"] = tuple(map(_check_channels, fields["widths"]))
        if fields["reductions"] is not None:
            fields["reductions"] = tuple(map(_check_channels, fields["reductions"]))
        pruned = PrunedNetwork(**fields)
        network(pruned, network_of, classes=2)
    except PrunedFileError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PrunedFileError(f"This is no narrowed network of jaxnas: {reason}.") from error
    return pruned


def _check_channels(number: object) -> int:
    if isinstance(number, bool) or not isinstance(number, int):
        raise PrunedFileError(f"{number!r} is no number of channels.")
    return number
