"""`jaxnas latency`: measures networks on a device, and predicts those that were not measured."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import tyro.conf

from jaxnas.cli import parse
from jaxnas.cli.errors import UsageError

USAGE = """Latency: measured on a device, in milliseconds.

usage: jaxnas latency COMMAND [options]

  measure   time networks, cells and operations here, or by a command of yours
  fit       a model of all networks of the space, from those that were measured
  predict   the milliseconds of any network, with an interval
  report    how good the model is on networks held out, beside simpler ones
  check     what a table from elsewhere holds, and where it cannot be right

`jaxnas latency COMMAND --help` lists the options.
"""

MEASURE = """Times networks that cover a space, in interleaved rounds, until the times hold.

examples:
  jaxnas latency measure --networks 100
  jaxnas latency measure --budget-minutes 10 --threads 1
  jaxnas latency measure --space darts --genotypes DARTS_V2 found.json --cells 8
  jaxnas latency measure --kinds network block operator --slope
  jaxnas latency measure --command "./run_on_phone {network}" --networks 20
"""

FIT = """Fits a model to what was measured: a campaign's folder, or a table of yours with its space.

examples:
  jaxnas latency fit latency/nasbench201-c16-n1-32x32-b1-seed0
  jaxnas latency fit phone.csv --space nasbench201 --device pixel --out pixel.json
  jaxnas latency fit ten_networks.csv --space nasbench201 --sources pixel.json laptop.json
"""

PREDICT = """Tells the milliseconds of networks, and between which they lie nine times of ten.

examples:
  jaxnas latency predict pixel.json runs/digits-nasbench201-seed0
  jaxnas latency predict pixel.json '|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|'
"""

REPORT = """Judges the model and simpler ones on networks that they were not fitted to.

examples:
  jaxnas latency report latency/nasbench201-c16-n1-32x32-b1-seed0
  jaxnas latency report phone.csv --space nasbench201 --out judged
"""

CHECK = """Says what a table from elsewhere holds, and what in it is slower though it does less.

Tables of whole networks that were timed, and look-up tables of layers: Single-Path's,
ProxylessNAS's, FBNet-style ones (docs/latency.md has the columns).

examples:
  jaxnas latency check singlepath_pixel1_lut.csv
  jaxnas latency check singlepath_pixel1_lut.csv --space mobile-single-path
  jaxnas latency check phone.csv --space nasbench201
"""

NETWORKS, MOST = 60, 200  # by default; and with minutes alone
CLASSES, STAGE_CELLS, CELLS = 10, 1, 3
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
    """Cells of a network, 3 unless told; for NAS-Bench-201 and mobile spaces those of a stage, 1
    unless told; for the hypercuboid its layers, 4 unless told."""
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
    """The most layers of a stage, where a table is of a mobile space (the paper's unless told);
    the layers, where it is of the hypercuboid (4 unless told)."""
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
    """The most layers of a stage, where a table is of a mobile space (the paper's unless told);
    the layers, where it is of the hypercuboid (4 unless told)."""
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
    """The most layers of a stage of a mobile space (the paper's unless told); the layers of the
    hypercuboid (4 unless told)."""
    device: str | None = None
    """Which device of a table of networks; all unless told."""


def run(words: Sequence[str]) -> int:
    """Runs the command that the words say; gives its exit code. Raises UsageError."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    command, *rest = words
    kinds = {
        "measure": (MeasureSettings, MEASURE),
        "fit": (FitSettings, FIT),
        "predict": (PredictSettings, PREDICT),
        "report": (ReportPredictorSettings, REPORT),
        "check": (CheckTableSettings, CHECK),
    }
    if command not in kinds:
        raise UsageError(f"No command 'latency {command}': there are {', '.join(kinds)}.")
    kind, what = kinds[command]
    asked = parse.parsed(kind, rest, f"jaxnas latency {command}", what)
    if asked is None:
        return 0
    # jax takes seconds to import.
    if command == "measure":
        from jaxnas.pipelines import latency_measure, latency_predict

        latency_measure.main(asked)
        return 0

    done = {
        "fit": latency_predict.fitted,
        "predict": latency_predict.predicted,
        "report": latency_predict.reported,
        "check": latency_predict.checked,
    }
    done[command](asked)
    return 0
