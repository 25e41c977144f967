"""`jaxnas latency`: measures networks on a device."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

from jaxnas.cli import arguments
from jaxnas.cli.errors import UsageError

USAGE = """Latency: measured on a device, in milliseconds.

usage: jaxnas latency COMMAND [options]

  measure   time networks, cells and operations here, or by a command of yours

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

NETWORKS, MOST = 60, 200  # by default; and with minutes alone
CLASSES, STAGE_CELLS, CELLS = 10, 1, 3
LOCAL_MS, REMOTE_S = 5.0, 120.0
LOCAL_ROUNDS, REMOTE_ROUNDS = (20, 100), (5, 10)

Kind = Literal["network", "block", "operator"]
Platform = Literal["cpu", "cuda", "rocm", "tpu"]


@dataclasses.dataclass(frozen=True)
class Measure:
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
    """Cells of a network, 3 unless told; for NAS-Bench-201 those of a stage, 1 unless told."""
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


def run(words: Sequence[str]) -> int:
    """Runs the command that the words say; gives its exit code. Raises UsageError."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    command, *rest = words
    if command != "measure":
        raise UsageError(f"No command 'latency {command}': there is measure.")
    asked = arguments.parsed(Measure, rest, "jaxnas latency measure", MEASURE)
    if asked is not None:
        from jaxnas.cli import measuring

        measuring.main(asked)
    return 0
