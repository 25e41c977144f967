"""The stopping rule of a campaign: convergence, rounds, minutes."""

from typing import NamedTuple

import numpy as np

from jaxnas.hardware.measure import campaign_file, round_statistics
from jaxnas.hardware.measure.campaign_file import Raw

SAVE_ROUNDS = 5  # the file is written, and convergence tested, after so many
ERROR_LIMIT = 0.01  # relative standard error of medians at convergence
MIN_PROGRAMS = 8  # prepared within a budget of minutes, however slowly they compile
MIN_ROUNDS = 4  # two halves of two


class Protocol(NamedTuple):
    """Limits of a campaign. `minutes` include compilation, over all sessions."""

    min_rounds: int = 20
    max_rounds: int = 100
    minutes: float | None = None
    seed: int = 0
    warm_up: bool = True  # first sample the first program until it is steady


def check(protocol: Protocol) -> None:
    """Raises ValueError for impossible rounds or minutes."""
    min_rounds, max_rounds = protocol.min_rounds, protocol.max_rounds
    if not MIN_ROUNDS <= min_rounds <= max_rounds:
        raise ValueError(
            f"A campaign of {min_rounds} to {max_rounds} rounds cannot be: give {MIN_ROUNDS} or "
            "more, and no more at least than at most."
        )
    if protocol.minutes is not None and not 0 < protocol.minutes < np.inf:
        raise ValueError(f"A budget of {protocol.minutes} minutes is none: give more than 0.")


def is_converged(raw: Raw, protocol: Protocol) -> bool:
    """Whether a campaign may stop: its times have converged, or rounds or minutes are used up."""
    done = campaign_file.rounds_done(raw)
    out_of_time = protocol.minutes is not None and raw.header["spent_s"] >= 60 * protocol.minutes
    if done >= protocol.max_rounds or (out_of_time and done >= MIN_ROUNDS):
        return True
    if done < protocol.min_rounds or done % SAVE_ROUNDS or campaign_file.unsampled(raw):
        return False
    summary = round_statistics.summarise(raw.rounds_ms)
    noise = round_statistics.noise(raw.rounds_ms, campaign_file.pairs(raw))
    return not noise.reasons and round_statistics.relative_error(summary) <= ERROR_LIMIT
