"""The host side of a run: one loop, for a search as for the training of a network."""

from jaxnas.run import cache, memory
from jaxnas.run.beginning import begin
from jaxnas.run.chunks import Execution, execution
from jaxnas.run.folder import RunError, claim, write_text
from jaxnas.run.health import NonFiniteError
from jaxnas.run.host_loop import Epoch, Outcome, loop
from jaxnas.run.records import describe, fingerprint
from jaxnas.run.savings import Saving
from jaxnas.run.signals import Interrupted

__all__ = [
    "Epoch",
    "Execution",
    "Interrupted",
    "NonFiniteError",
    "Outcome",
    "RunError",
    "Saving",
    "begin",
    "cache",
    "claim",
    "describe",
    "execution",
    "fingerprint",
    "loop",
    "memory",
    "write_text",
]
