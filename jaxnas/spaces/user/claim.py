"""A claim on a user's space, and the result of its test."""

from collections.abc import Callable
from typing import NamedTuple

from jaxnas.spaces.user.user_space import UserSpace


class ClaimFailed(Exception):
    """A claim that does not hold; the message is the reason, in one line."""


class Claim(NamedTuple):
    name: str
    why: str  # explanation where the claim holds
    test: Callable[[UserSpace], None]  # raises ClaimFailed


class ClaimResult(NamedTuple):
    name: str
    holds: bool | None  # None: not tried, since an earlier claim failed
    explanation: str


def evaluate(claim: Claim, user: UserSpace) -> ClaimResult:
    """The result of a claim's test; an error in the user's code fails the claim as well."""
    try:
        claim.test(user)
    except ClaimFailed as failure:
        return ClaimResult(claim.name, False, str(failure))
    except (Exception, SystemExit) as error:  # whatever a user's own module may raise
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        return ClaimResult(claim.name, False, f"{type(error).__name__}: {reason}")
    return ClaimResult(claim.name, True, claim.why)
