"""What must hold of a user's own space and operations: asserted, and explained where it fails."""

from jaxnas.spaces.check.claim import Verdict
from jaxnas.spaces.check.runner import judge, run

__all__ = ["Verdict", "judge", "run"]
