"""What must hold of a user's own space and operations: asserted, and explained where it fails."""

from jaxnas.check.claim import Verdict
from jaxnas.check.table import judge, run

__all__ = ["Verdict", "judge", "run"]
