"""The host side of a run: one loop for searches and for the training of networks."""

from jaxnas.run import compilation_cache, memory, process
from jaxnas.run.checkpoint_policy import SavePolicy
from jaxnas.run.files import RunError, write_text
from jaxnas.run.health import NonFiniteError
from jaxnas.run.loop import EpochResult, Monitor, Paused, RunResult, loop
from jaxnas.run.provenance import fingerprint, record
from jaxnas.run.run_folder import Run, claim
from jaxnas.run.signals import Interrupted
from jaxnas.run.step_runner import Execution, StepRunner, execution, first_state, make_runner

__all__ = [
    "StepRunner",
    "EpochResult",
    "Execution",
    "Interrupted",
    "Monitor",
    "NonFiniteError",
    "Paused",
    "Run",
    "RunResult",
    "RunError",
    "SavePolicy",
    "first_state",
    "make_runner",
    "claim",
    "compilation_cache",
    "record",
    "execution",
    "fingerprint",
    "loop",
    "memory",
    "process",
    "write_text",
]
