"""One thing that must hold, and how it is found out."""

from collections.abc import Callable
from typing import NamedTuple

from jaxnas.spaces.user_space import UserSpace


class ClaimFailed(Exception):
    """A claim that does not hold: the message says why in plain words, in one line."""


class Claim(NamedTuple):
    name: str
    why: str  # said where the claim holds
    test: Callable[[UserSpace], None]  # raises Broken


class ClaimResult(NamedTuple):
    name: str
    holds: bool | None  # None: not tried, since an earlier claim is broken
    explanation: str


def evaluate(claim: Claim, custom: UserSpace) -> ClaimResult:
    """What the test of `claim` says; an error in the user's own code breaks the claim too."""
    try:
        claim.test(custom)
    except ClaimFailed as broken:
        return ClaimResult(claim.name, False, str(broken))
    except Exception as error:  # whatever a user's own module may raise
        said = (str(error).strip() or "no reason given").splitlines()[0]
        return ClaimResult(claim.name, False, f"{type(error).__name__}: {said}")
    return ClaimResult(claim.name, True, claim.why)
