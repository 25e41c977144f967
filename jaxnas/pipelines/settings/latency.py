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
    """Number of networks chosen to cover the space; by default 60, with minutes 200."""
    budget_minutes: float | None = None
    """Minutes in total: half to compile as many of the networks as fit, half to measure."""
    genotypes: tuple[str, ...] = ()
    """The networks to measure: genotype.json files, run folders or published names."""
    kinds: tuple[Kind, ...] = ("network",)
    """The programs to time: whole networks, single cells, single operations."""
    features: int = 16
    """Channels of the first cells."""
    cells: int | None = None
    """Cells of a network, of a stage, or its layers, as the space has it; by default as few as
    `jaxnas spaces` says."""
    classes: int | None = None
    """Of the classifier; by default 10."""
    image: tuple[int, int, int] = (32, 32, 3)
    """Height, width and channels of an image."""
    batch: int = 1
    """Images a call."""
    rounds: int | None = None
    """Maximum number of rounds; fewer if the times converge. By default 100, with --command 10."""
    sample_ms: float | None = None
    """Duration of a sample, in which a short program is repeated; by default 5."""
    slope: bool = False
    """Also time a loop on the device, without the cost of a call; compiles twice."""
    threads: int | None = None
    """Number of CPUs to use; by default all."""
    command: str | None = None
    """A command that times an exported network elsewhere; {network} is replaced by its folder."""
    timeout_s: float | None = None
    """Timeout of the command for one network; by default 120."""
    platform: Platform | None = None
    """The platform that networks are exported for; by default cpu."""
    seed: int = 0
    """Of the choice of networks and of their order in the rounds."""
    out: str = "latency"
    """The folder of all campaigns."""
    name: str | None = None
    """The campaign's folder in it; by default named after the settings."""


@dataclasses.dataclass(frozen=True)
class MeasurementsSettings:
    measured: tyro.conf.Positional[str]
    """The folder of a campaign, or a table *.csv or *.npz (docs/latency.md): of networks, or of
    columns of numbers that describe each row."""
    space: str | None = None
    """The space that a table is of."""
    cells: int | None = None
    """The cells that shape the space that a table is of, where they do (`jaxnas spaces`)."""
    device: str | None = None
    """Which device of a table."""
    work: str | None = None
    """A table *.csv of what candidates of a chain compute: layer, op, and columns of numbers (MACs,
    bytes). Fewer measurements are then enough."""
    column: str | None = None
    """Another quantity than latency: a column of a table (energy_mj, say), or of a campaign's what
    XLA says of its networks: flops, bytes or temp_bytes."""


@dataclasses.dataclass(frozen=True)
class FitSettings(MeasurementsSettings):
    out: str | None = None
    """The model's file; by default model.json, or COLUMN.json, next to the measurements."""
    sources: tuple[str, ...] = ()
    """Files of models of other devices: ten networks of a new device may then be enough. Models
    that do not help are dropped."""


@dataclasses.dataclass(frozen=True)
class PredictSettings:
    model: tyro.conf.Positional[str]
    """The file of a fit."""
    networks: tyro.conf.Positional[tuple[str, ...]]
    """genotype.json files, run folders, published names, NAS-Bench-201's strings, candidates with
    spaces between, or tables *.csv or *.npz; of a model of columns tables with these, a line a
    row."""
    device: str | None = None
    """The device of the model; an error if it is another."""
    json: bool = False
    """Print JSON."""


@dataclasses.dataclass(frozen=True)
class ReportPredictorSettings(MeasurementsSettings):
    out: str | None = None
    """The report's folder; by default that of the measurements."""


@dataclasses.dataclass(frozen=True)
class CheckTableSettings:
    table: tyro.conf.Positional[str]
    """A table *.csv, *.npz or *.yaml."""
    space: str | None = None
    """The table's space: whole networks are decoded with it, layers are compared with it."""
    cells: int | None = None
    """The cells that shape the space, where they do (`jaxnas spaces`)."""
    device: str | None = None
    """The device in a table of networks; by default all."""
