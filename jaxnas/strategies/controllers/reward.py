"""Rewards of designs: one number each, of goals with limits, defined for failed ones too."""

import numpy as np

from jaxnas.strategies.goals import Goals, scores, violation

PENALTY = 3.0  # standard deviations of the score for a limit exceeded by 100 %; our choice


def rewards(goals: Goals, values: np.ndarray, before: np.ndarray) -> np.ndarray:
    """f64[n] of values f64[n, goals] and the rewards told before, f64[m].

    The score, less PENALTY standard deviations of all rewards for limits exceeded by 100 % in sum
    or more, proportionally below (NASAIC's `accuracy - rho * penalty`). A failed design has the
    lowest reward so far; NaN, where there is none.
    """
    failed = np.isnan(values).any(1)
    score = np.where(failed, np.nan, scores(goals, values)[:, 0])
    broken = np.minimum(violation(goals, np.where(failed[:, None], 0, values)), 1)
    score = score - PENALTY * spread(np.concatenate([before, score])) * broken
    known = np.concatenate([before, score])
    known = known[np.isfinite(known)]
    return np.where(failed, known.min() if len(known) else np.nan, score)


def spread(rewards: np.ndarray) -> float:
    """The standard deviation of the finite ones; 1 where there is none."""
    known = rewards[np.isfinite(rewards)]
    return float(known.std() or 1.0) if len(known) else 1.0
