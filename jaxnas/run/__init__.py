"""The host side of a run: one loop, for a search as for the training of a network."""

from jaxnas.run import cache, memory, process
from jaxnas.run.beginning import begin
from jaxnas.run.chunks import Chunks, Execution, execution
from jaxnas.run.chunks import chunks as chunks_of
from jaxnas.run.folder import RunError, claim, write_text
from jaxnas.run.health import NonFiniteError
from jaxnas.run.host_loop import Epoch, Outcome, loop
from jaxnas.run.records import describe, fingerprint
from jaxnas.run.savings import Saving
from jaxnas.run.signals import Interrupted

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
    "cache",
    "chunks_of",
    "claim",
    "describe",
    "execution",
    "fingerprint",
    "loop",
    "memory",
    "process",
    "write_text",
]
