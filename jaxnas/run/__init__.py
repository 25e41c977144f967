"""The host side of a run: one loop, for a search as for the training of a network."""

from jaxnas.run import compilation_cache, memory, process
from jaxnas.run.beginning import begin
from jaxnas.run.checkpoint_policy import Saving
from jaxnas.run.health import NonFiniteError
from jaxnas.run.loop import Epoch, Outcome, loop
from jaxnas.run.provenance import describe, fingerprint
from jaxnas.run.run_folder import RunError, claim, write_text
from jaxnas.run.signals import Interrupted
from jaxnas.run.step_runner import Chunks, Execution, execution
from jaxnas.run.step_runner import chunks as chunks_of

__all__ = [
    "Chunks",
    "Epoch",
    "Execution",
    "Interrupted",
    "NonFiniteError",
    "Outcome",
    "RunError",
    "Saving",
    "begin",
    "chunks_of",
    "claim",
    "compilation_cache",
    "describe",
    "execution",
    "fingerprint",
    "loop",
    "memory",
    "process",
    "write_text",
]
