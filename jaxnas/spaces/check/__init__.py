"""What must hold of a user's own space and operations: asserted, and explained where it fails."""

from jaxnas.spaces.check.claim import ClaimResult
from jaxnas.spaces.check.runner import evaluate_all, run

__all__ = ["ClaimResult", "evaluate_all", "run"]
