"""The settings of the commands of `jaxnas oracle`."""

import dataclasses

import tyro.conf


@dataclasses.dataclass(frozen=True)
class QuerySettings:
    cell: tyro.conf.Positional[str]
    """An index, a text such as '|none~0|+...', a genotype.json, or a run folder."""
    table: str | None = None
    """The table's file; by default the one that JAXNAS_NASBENCH201 names."""
    json: bool = False
    """Print JSON."""


@dataclasses.dataclass(frozen=True)
class BuildSettings:
    export: tyro.conf.Positional[str]
    """A .csv or .jsonl written as described in docs/oracle.md."""
    out: tyro.conf.Positional[str]
    """The table's file, a .npz."""
