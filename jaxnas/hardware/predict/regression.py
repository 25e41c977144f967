"""Linear regression on groups of features, each shrunk as much as the evidence says.

    y_i = c + sum_g phi_g(i) . w_g + noise_i,   w_g ~ N(0, v_g),   noise_i ~ N(0, (s t_i)^2 / u_i)

The prior variances v_g and the noise s maximise the marginal likelihood (L-BFGS). The scale t_i
is what was fitted, at least a fifth of the median: errors are relative. The weights u_i are those
of Student's distribution with 4 degrees of freedom, from leave-one-out residuals.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.special

FLOOR = 0.2  # of the median: below it errors count as absolute ones
FREEDOM = 4.0  # of Student's distribution
CONSTANT = 1.0  # prior variance of c about the median, in medians squared
SPREAD = 8.0  # standard deviation of the prior of log v_g and log s^2: as good as none
START = 0.02, 0.03**2  # v_g, s^2, in medians squared
BOUNDS = -20.0, 5.0  # of log v_g
QUIET = 1e-8  # s^2 at least: no clock repeats within a hundredth of a percent
MOST = 300  # networks whose evidence is sought, evenly taken from all
ROUNDS = 5  # of fitting and weighing anew
FACTORS = np.linspace(0.85, 1.15, 61)  # tried for all predictions alike: see `_nearest`
TENTH, SOFT = 0.1, 0.01  # what counts as near, and how softly


class Regression(NamedTuple):
    constant: float
    weights: Mapping[str, np.ndarray]  # of each group
    left_out: np.ndarray  # f64[n]: each y as the others predict it
    variances: Mapping[str, float]  # v_g, in medians squared
    noise: float  # s, relative
    evidence: float  # log marginal likelihood, with its priors, of y in medians (MOST of them)


def regress(features: Mapping[str, np.ndarray], y: np.ndarray) -> Regression:
    """The posterior mean, and every y predicted from the others.

    `features` f[n, F_g] are centred and have mean square length one over the space; y f[n] > 0.
    """
    names, median = list(features), float(np.median(y))
    y = np.asarray(y, float) / median
    kernels = np.stack([f @ f.T for f in features.values()])
    # The first scale is half-way to the mean: single times are not trusted yet.
    scale, trust, logs = np.maximum((y + y.mean()) / 2, FLOOR), np.ones(len(y)), None
    for i in range(ROUNDS):
        over = 1 / np.outer(scale, scale)
        target = (y - 1) / scale
        few = np.linspace(0, len(y) - 1, min(len(y), MOST)).astype(int)
        here = np.ix_(few, few)
        logs, evidence = _variances(
            kernels[:, *here] * over[here], CONSTANT * over[here], target[few], 1 / trust[few], logs
        )
        variances = np.exp(logs)
        covariance = np.tensordot(variances[:-1], kernels, 1) * over + CONSTANT * over
        factor = scipy.linalg.cho_factor(covariance + np.diag(variances[-1] / trust), lower=True)
        pull = scipy.linalg.cho_solve(factor, target)
        residual = pull / np.diag(scipy.linalg.cho_solve(factor, np.eye(len(y))))
        if i < ROUNDS - 1:
            fitted = y - variances[-1] / trust * pull * scale
            scale = np.maximum(fitted, FLOOR)
            away = residual / (1.4826 * np.median(np.abs(residual)) + 1e-12)
            trust = np.clip((FREEDOM + 1) / (FREEDOM + away**2), 0.01, 1)
    pull, left_out = pull / scale, y - residual * scale
    times = median * _nearest(y / np.maximum(left_out, FLOOR))
    weights = {
        name: times * v * (f.T @ pull)
        for (name, f), v in zip(features.items(), variances[:-1], strict=True)
    }
    return Regression(
        times * (1 + CONSTANT * float(pull.sum())),
        weights,
        times * left_out,
        dict(zip(names, variances[:-1].tolist(), strict=True)),
        float(np.sqrt(variances[-1])),
        # That was of (y - 1) / scale.
        evidence - float(np.log(scale[few]).sum()),
    )


def _nearest(ratios: np.ndarray) -> float:
    """What predictions are multiplied by, so that most times lie within a tenth of theirs.

    `ratios` of times to what the others predict. The mean of a device that drifts or jumps is a
    time that it hardly ever takes. 1 unless factors hold more of the networks left out, each
    network by the factor that the others alone would choose (leave-one-out, our choice).
    """
    away = np.abs(ratios[:, None] / FACTORS - 1)
    inside = scipy.special.expit((TENTH - away) / SOFT)  # [network, factor]
    total = inside.sum(0)
    chosen = FACTORS[np.argmax(total - inside, 1)]
    held = lambda factor: np.count_nonzero(np.abs(ratios / factor - 1) <= TENTH)
    return float(FACTORS[np.argmax(total)]) if held(chosen) > held(1.0) else 1.0


def _variances(kernels, constant, y, noise, start) -> tuple[np.ndarray, float]:
    """(log v_g and log s^2, their evidence)."""
    first = np.log([START[0]] * len(kernels) + [START[1]])
    identity = np.eye(len(y))

    def loss(logs: np.ndarray) -> tuple[float, np.ndarray]:
        v = np.exp(logs)
        covariance = np.tensordot(v[:-1], kernels, 1) + constant + np.diag(v[-1] * noise)
        factor = scipy.linalg.cho_factor(covariance, lower=True, check_finite=False)
        inverse = scipy.linalg.cho_solve(factor, identity, check_finite=False)
        pull = inverse @ y
        slope = inverse - np.outer(pull, pull)
        gradient = np.append(np.tensordot(kernels, slope, 2), np.diag(slope) @ noise)
        away = (logs - first) / SPREAD
        value = 0.5 * (y @ pull + away @ away) + np.log(np.diag(factor[0])).sum()
        return value, 0.5 * v * gradient + away / SPREAD

    found = scipy.optimize.minimize(
        loss,
        first if start is None else start,
        jac=True,
        method="L-BFGS-B",
        bounds=[BOUNDS] * len(kernels) + [(np.log(QUIET), BOUNDS[1])],
        options={"maxiter": 80},
    )
    return found.x, -float(found.fun) - 0.5 * len(y) * np.log(2 * np.pi)
