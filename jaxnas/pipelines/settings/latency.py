"""The settings of the commands of `jaxnas latency`."""

import dataclasses
from typing import Literal

import tyro.conf

NETWORKS, MOST = 60, 200  # by default; and with minutes alone
CLASSES = 10
LOCAL_MS, REMOTE_S = 5.0, 120.0
LOCAL_ROUNDS, REMOTE_ROUNDS = (20, 100), (5, 10)

Kind = Literal["network", "block", "operator"]
Platform = Literal["cpu", "cuda", "rocm", "tpu"]


@dataclasses.dataclass(frozen=True)
class MeasureSettings:
    space: str = "nasbench201"
    """A space by name, or a file *.py that defines one."""
    networks: int | None = None
    """How many networks are chosen to cover the space; 60 unless told."""
    budget_minutes: float | None = None
    """Minutes for all, instead of a number of networks: half to compile, half to measure."""
    genotypes: tuple[str, ...] = ()
    """These and no others: genotype.json files, run folders or published names."""
    kinds: tuple[Kind, ...] = ("network",)
    """What is timed: whole networks, their cells alone, operations alone."""
    features: int = 16
    """Channels of the first cells."""
    cells: int | None = None
    """Cells of a network, of a stage, or its layers, as the space has it; by default as few as
    `jaxnas spaces` says."""
    classes: int | None = None
    """Of the classifier; 10 unless told."""
    image: tuple[int, int, int] = (32, 32, 3)
    """Height, width and channels of an image."""
    batch: int = 1
    """Images a call."""
    rounds: int | None = None
    """At most so many; fewer where the times hold before. 100, and 10 with --command."""
    sample_ms: float | None = None
    """How long a sample lasts; a short program is called so often. 5 unless told."""
    slope: bool = False
    """Also time a loop on the device, without the cost of a call; compiles twice."""
    threads: int | None = None
    """CPUs that may be used; by default all."""
    command: str | None = None
    """A command that times an exported network elsewhere; {network} stands for its folder."""
    timeout_s: float | None = None
    """How long the command may take for one network; 120 unless told."""
    platform: Platform | None = None
    """What the command's networks are exported for; cpu unless told."""
    seed: int = 0
    """Of the choice of networks and of the order in the rounds."""
    out: str = "latency"
    """The folder of all campaigns."""
    name: str | None = None
    """The campaign's own folder in it; made of the settings unless given."""


@dataclasses.dataclass(frozen=True)
class FitSettings:
    measured: tyro.conf.Positional[str]
    """The folder of a campaign, or a table *.csv (docs/latency.md)."""
    out: str | None = None
    """The model's file; by default model.json, or COLUMN.json, beside what was measured."""
    space: str | None = None
    """The space that a table is of."""
    cells: int | None = None
    """The cells that shape the space that a table is of, where they do (`jaxnas spaces`)."""
    device: str | None = None
    """Which device of a table."""
    column: str | None = None
    """Another quantity than latency: a column of a table (energy_mj, say), or of a campaign's what
    XLA says of its networks: flops, bytes or temp_bytes."""
    sources: tuple[str, ...] = ()
    """Models of other devices, by their files: ten networks of a new device may do then. Those that
    do not help are dropped."""


@dataclasses.dataclass(frozen=True)
class PredictSettings:
    model: tyro.conf.Positional[str]
    """The file of a fit."""
    networks: tyro.conf.Positional[tuple[str, ...]]
    """genotype.json files, run folders, published names, or NAS-Bench-201's strings."""
    device: str | None = None
    """Refuse a model of another device than this."""
    json: bool = False
    """Print JSON."""


@dataclasses.dataclass(frozen=True)
class ReportPredictorSettings:
    measured: tyro.conf.Positional[str]
    """The folder of a campaign, or a table *.csv (docs/latency.md)."""
    out: str | None = None
    """The report's folder; by default that of what was measured."""
    space: str | None = None
    """The space that a table is of."""
    cells: int | None = None
    """The cells that shape the space that a table is of, where they do (`jaxnas spaces`)."""
    device: str | None = None
    """Which device of a table."""
    column: str | None = None
    """Another quantity than latency: a column of a table (energy_mj, say), or of a campaign's what
    XLA says of its networks: flops, bytes or temp_bytes."""


@dataclasses.dataclass(frozen=True)
class CheckTableSettings:
    table: tyro.conf.Positional[str]
    """A table *.csv."""
    space: str | None = None
    """The space that it is of: whole networks are read with it, layers are compared to it."""
    cells: int | None = None
    """The cells that shape the space, where they do (`jaxnas spaces`)."""
    device: str | None = None
    """Which device of a table of networks; all unless told."""
