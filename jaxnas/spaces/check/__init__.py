"""Checks of a user's space and operations, with explanations of failures."""

from jaxnas.spaces.check.claim import ClaimResult
from jaxnas.spaces.check.runner import evaluate_all, run

__all__ = ["ClaimResult", "evaluate_all", "run"]
