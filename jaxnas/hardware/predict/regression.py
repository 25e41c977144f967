"""Bayesian linear regression on groups of features, with group variances by maximum evidence.

    y_i = c + sum_g phi_g(i) . w_g + noise_i,   w_g ~ N(0, v_g),
    noise_i ~ N(0, ((s t_i)^2 + a^2) / u_i)

The prior variances v_g, the relative noise s and the absolute noise a maximise the marginal
likelihood (L-BFGS). The scale t_i is the fitted value, at least a fifth of the median. The weights
u_i are those of a Student t distribution with 4 degrees of freedom, from leave-one-out residuals.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.special
import threadpoolctl

FLOOR = 0.2  # of the median: below it errors are absolute
DEGREES_OF_FREEDOM = 4.0  # of Student's distribution
CONSTANT_VARIANCE = 1.0  # prior variance of c about the median, in medians squared
LOG_PRIOR_SPREAD = 8.0  # standard deviation of a nearly flat prior of log v_g, s^2 and a^2
# Below its mean, of log s^2: a few networks are fitted exactly by many features, without any noise.
LOW_NOISE_SPREAD = 1.0
INITIAL_VARIANCES = 0.02, 0.03**2, 0.003**2  # v_g, s^2, a^2, in medians squared
LOG_BOUNDS = -20.0, 5.0  # of log v_g
MIN_NOISE_VARIANCE = 1e-8  # of s^2: no clock repeats within a hundredth of a percent
MAX_NETWORKS = 300  # of which the evidence is maximised, evenly spaced among all
ROUNDS = 5  # of fitting and reweighting
FACTORS = np.linspace(0.85, 1.15, 61)  # of all predictions: see `_calibration_factor`
TOLERANCE, SOFTNESS = 0.1, 0.01  # relative error that counts as a hit, and its softness


class Regression(NamedTuple):
    constant: float
    weights: Mapping[str, np.ndarray]  # of each group
    left_out: np.ndarray  # f64[n]: leave-one-out predictions of y
    variances: Mapping[str, float]  # v_g, in medians squared
    noise: float  # s, relative
    absolute_noise: float  # a, in the unit of y
    evidence: float  # log marginal likelihood with priors, of y in medians (MAX_NETWORKS of them)


def regress(features: Mapping[str, np.ndarray], y: np.ndarray) -> Regression:
    """The posterior mean, and leave-one-out predictions.

    `features` f[n, F_g] are centred and have mean square length one over the space; y f[n] > 0.
    """
    names, median = list(features), float(np.median(y))
    y = np.asarray(y, float) / median
    kernels = np.stack([f @ f.T for f in features.values()])
    # The initial scale shrinks single times half-way to the mean, as they may be outliers.
    scale = np.maximum((y + y.mean()) / 2, FLOOR)
    student_weights, log_variances = np.ones(len(y)), None
    for iteration in range(ROUNDS):
        inverse_scales = 1 / np.outer(scale, scale)
        target = (y - 1) / scale
        subset = np.linspace(0, len(y) - 1, min(len(y), MAX_NETWORKS)).astype(int)
        block = np.ix_(subset, subset)
        log_variances, evidence = _maximise_evidence(
            kernels[:, *block] * inverse_scales[block],
            CONSTANT_VARIANCE * inverse_scales[block],
            target[subset],
            _noise_terms(scale, student_weights)[:, subset],
            log_variances,
        )
        variances = np.exp(log_variances)
        covariance = (
            np.tensordot(variances[:-2], kernels, 1) * inverse_scales
            + CONSTANT_VARIANCE * inverse_scales
        )
        noise = variances[-2:] @ _noise_terms(scale, student_weights)
        factor = scipy.linalg.cho_factor(covariance + np.diag(noise), lower=True)
        dual = scipy.linalg.cho_solve(factor, target)
        residual = dual / np.diag(scipy.linalg.cho_solve(factor, np.eye(len(y))))
        if iteration < ROUNDS - 1:
            # Errors are compared in units of their own noise, the weights left out.
            deviation = residual / np.sqrt(noise * student_weights)
            deviation /= 1.4826 * np.median(np.abs(deviation)) + 1e-12
            scale = np.maximum(y - noise * dual * scale, FLOOR)
            student_weights = np.clip(
                (DEGREES_OF_FREEDOM + 1) / (DEGREES_OF_FREEDOM + deviation**2), 0.01, 1
            )
    dual, left_out = dual / scale, y - residual * scale
    calibration = median * _calibration_factor(y / np.maximum(left_out, FLOOR))
    weights = {
        name: calibration * v * (f.T @ dual)
        for (name, f), v in zip(features.items(), variances[:-2], strict=True)
    }
    return Regression(
        calibration * (1 + CONSTANT_VARIANCE * float(dual.sum())),
        weights,
        calibration * left_out,
        dict(zip(names, variances[:-2].tolist(), strict=True)),
        float(np.sqrt(variances[-2])),
        median * float(np.sqrt(variances[-1])),
        # The evidence above is of (y - 1) / scale.
        evidence - float(np.log(scale[subset]).sum()),
    )


def _calibration_factor(ratios: np.ndarray) -> float:
    """The factor of predictions that brings most times within a tenth of them.

    `ratios`: times over leave-one-out predictions. On a device that drifts or jumps, the mean may
    be a time that it rarely takes. The factor is 1 unless factors bring more networks within a
    tenth, each network tested with the factor that the others choose (leave-one-out, our choice).
    """
    deviation = np.abs(ratios[:, None] / FACTORS - 1)
    membership = scipy.special.expit((TOLERANCE - deviation) / SOFTNESS)  # [network, factor]
    total = membership.sum(0)
    chosen = FACTORS[np.argmax(total - membership, 1)]
    covered = lambda factor: np.count_nonzero(np.abs(ratios / factor - 1) <= TOLERANCE)
    return float(FACTORS[np.argmax(total)]) if covered(chosen) > covered(1.0) else 1.0


@functools.cache
def _thread_pools() -> threadpoolctl.ThreadpoolController:
    return threadpoolctl.ThreadpoolController()


def _noise_terms(scale: np.ndarray, student_weights: np.ndarray) -> np.ndarray:
    """f64[2, n]: what s^2 and a^2 are multiplied by in the variance of y / scale."""
    return np.stack([1 / student_weights, 1 / (student_weights * scale**2)])


def _maximise_evidence(kernels, constant, y, noise_terms, start) -> tuple[np.ndarray, float]:
    """(log v_g, log s^2 and log a^2 of maximum evidence, their log evidence)."""
    prior_mean = np.log([INITIAL_VARIANCES[0]] * len(kernels) + [*INITIAL_VARIANCES[1:]])
    low_spread = np.full(len(prior_mean), LOG_PRIOR_SPREAD)
    low_spread[-2] = LOW_NOISE_SPREAD
    identity = np.eye(len(y))

    def loss(log_variances: np.ndarray) -> tuple[float, np.ndarray]:
        variances = np.exp(log_variances)
        noise = np.diag(variances[-2:] @ noise_terms)
        covariance = np.tensordot(variances[:-2], kernels, 1) + constant + noise
        factor = scipy.linalg.cho_factor(covariance, lower=True, check_finite=False)
        inverse = scipy.linalg.cho_solve(factor, identity, check_finite=False)
        dual = inverse @ y
        slope = inverse - np.outer(dual, dual)
        gradient = np.append(np.tensordot(kernels, slope, 2), noise_terms @ np.diag(slope))
        spread = np.where(log_variances < prior_mean, low_spread, LOG_PRIOR_SPREAD)
        deviation = (log_variances - prior_mean) / spread
        value = 0.5 * (y @ dual + deviation @ deviation) + np.log(np.diag(factor[0])).sum()
        return value, 0.5 * variances * gradient + deviation / spread

    # The optimiser's own matrices are tiny: threads wait for each other, a fit takes five times as
    # long.
    with _thread_pools().limit(limits=1, user_api="blas"):
        solution = scipy.optimize.minimize(
            loss,
            prior_mean if start is None else start,
            jac=True,
            method="L-BFGS-B",
            bounds=[LOG_BOUNDS] * len(kernels)
            + [(np.log(MIN_NOISE_VARIANCE), LOG_BOUNDS[1]), LOG_BOUNDS],
            options={"maxiter": 80},
        )
    return solution.x, -float(solution.fun) - 0.5 * len(y) * np.log(2 * np.pi)
