"""When a campaign is enough."""

from typing import NamedTuple

import numpy as np

from jaxnas.hardware.measure import campaign_file, round_statistics
from jaxnas.hardware.measure.campaign_file import Raw

SAVE_ROUNDS = 5  # the file is written, and the times judged, after so many
ERROR_LIMIT = 0.01  # of a median, relative: below it no further round is needed
FEWEST = 8  # programs that a budget of minutes leaves, however slowly they compile
FEWEST_ROUNDS = 4  # and rounds: two halves of two


class Protocol(NamedTuple):
    """When a campaign is enough. `minutes` count compilation, and all sessions."""

    least_rounds: int = 20
    most_rounds: int = 100
    minutes: float | None = None
    seed: int = 0
    warm_up: bool = True  # first sample the first program until it is steady


def check(protocol: Protocol) -> None:
    """Raises ValueError for rounds or minutes that cannot be."""
    least, most = protocol.least_rounds, protocol.most_rounds
    if not FEWEST_ROUNDS <= least <= most:
        raise ValueError(
            f"A campaign of {least} to {most} rounds cannot be: give {FEWEST_ROUNDS} or more, "
            "and no more at least than at most."
        )
    if protocol.minutes is not None and not 0 < protocol.minutes < np.inf:
        raise ValueError(f"A budget of {protocol.minutes} minutes is none: give more than 0.")


def is_converged(raw: Raw, protocol: Protocol) -> bool:
    """Whether a campaign is at its end: its times hold, or its rounds or minutes are used up."""
    taken = campaign_file.taken(raw)
    late = protocol.minutes is not None and raw.header["spent_s"] >= 60 * protocol.minutes
    if taken >= protocol.most_rounds or (late and taken >= FEWEST_ROUNDS):
        return True
    if taken < protocol.least_rounds or taken % SAVE_ROUNDS or campaign_file.unsampled(raw):
        return False
    summary = round_statistics.summarise(raw.rounds_ms)
    noise = round_statistics.noise(raw.rounds_ms, campaign_file.pairs(raw))
    return not noise.reasons and round_statistics.relative_error(summary) <= ERROR_LIMIT
