"""Baselines of latency prediction: linear in MACs, look-up table, MLP, gradient boosting."""

import math
import warnings
from collections.abc import Callable, Mapping

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from jaxnas.core.types import Space
from jaxnas.spaces import genome, op_names

# Networks -> their predicted (ms, low, high); a Baseline fits it to (networks, ms).
Predict = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
Baseline = Callable[[np.ndarray, np.ndarray], Predict]
RIDGES = np.logspace(-4, 2, 7)
FOLDS = 5
LEVEL = 0.9


def baselines(space: Space, work: np.ndarray | None = None) -> Mapping[str, Baseline]:
    """The four baselines by name: `macs`, `table`, `mlp`, `trees`.

    MACs are the sum of the first two quantities of `work`; without it kernel^2 * expansion *
    widths of the candidate's name, equal at all positions. The table is ridge regression on one-hot
    codes, the ridge chosen by leave-one-out. Intervals come from errors of leave-one-out (ridge)
    or of five-fold cross-validation (the others).
    """
    cardinalities = genome.cardinalities(space)
    macs = _macs_table(space, work)
    flops = lambda x: macs[np.arange(len(cardinalities)), x].sum(1, keepdims=True)
    one_hot = lambda x: np.concatenate(
        [(x[:, [p]] == np.arange(n)).astype(float) for p, n in enumerate(cardinalities)], 1
    )
    network = lambda: MLPRegressor(
        hidden_layer_sizes=(64, 64), solver="lbfgs", alpha=1e-2, max_iter=200
    )
    return {
        "macs": line(flops),
        "table": _ridge(one_hot, ridges=RIDGES),
        "mlp": _with_fold_errors(one_hot, network),
        "trees": trees(one_hot),
    }


def trees(features: Callable) -> Baseline:
    """Boosted trees on `features`: rows -> f[N, F]."""
    make = lambda: GradientBoostingRegressor(n_estimators=150, max_depth=3, random_state=0)
    return _with_fold_errors(features, make)


def line(features: Callable) -> Baseline:
    """A straight line over `features`: rows -> f[N, 1]."""
    return _ridge(features, ridges=(0.0,))


def _macs_table(space: Space, work: np.ndarray | None) -> np.ndarray:
    """f64[positions, candidates + 1] MACs; the last column is for code -1, no edge."""
    max_candidates = max(genome.cardinalities(space))
    if work is not None:
        return np.pad(work[..., :2].sum(2), ((0, 0), (0, 1)))
    table = np.zeros((len(genome.cardinalities(space)), max_candidates + 1))
    for p, position in enumerate(genome.positions(space)):
        for o, name in enumerate(position.candidates):
            if op_names.kind(name) == op_names.LEARNED:
                numbers = op_names.numbers(name)
                table[p, o] = numbers.get("k", 1) ** 2 * numbers.get("e", 1) / numbers.get("g", 1)
                table[p, o] *= numbers.get("from", 1) * numbers.get("to", 1)
    return table


def _ridge(features: Callable, ridges) -> Baseline:
    def fit(networks: np.ndarray, ms: np.ndarray) -> Predict:
        x = features(networks)
        mean, scale = x.mean(0), x.std(0).max() or 1.0
        x = (x - mean) / scale
        u, s, vt = np.linalg.svd(x, full_matrices=False)
        y, nonzero = ms - ms.mean(), s > 1e-9 * s.max(initial=1e-300)
        u, s, vt = u[:, nonzero], s[nonzero], vt[nonzero]
        fits = []
        for ridge in ridges:
            shrink = s**2 / (s**2 + ridge)
            hat = u * shrink @ u.T + 1 / len(y)
            residuals = (ms - hat @ ms) / np.maximum(1 - np.diag(hat), 1e-9)
            fits.append((float(np.mean(residuals**2)), ridge, residuals))
        _, ridge, residuals = min(fits, key=lambda candidate: candidate[0])
        weights = vt.T @ (s / (s**2 + ridge) * (u.T @ y))
        predict = lambda z: ms.mean() + (features(z) - mean) / scale @ weights
        return _with_interval(
            predict, residuals / np.maximum(np.abs(ms - residuals), 0.2 * np.median(ms)), ms
        )

    return fit


def _with_fold_errors(features: Callable, make: Callable) -> Baseline:
    def fit(networks: np.ndarray, ms: np.ndarray) -> Predict:
        x, mean, scale = features(networks), ms.mean(), ms.std() or 1.0
        y, errors = (ms - mean) / scale, np.zeros(len(ms))
        for fold in range(FOLDS):
            test_fold = np.arange(len(ms)) % FOLDS == fold
            if test_fold.any() and not test_fold.all():
                predicted = mean + scale * _train(make, x[~test_fold], y[~test_fold]).predict(
                    x[test_fold]
                )
                errors[test_fold] = (ms[test_fold] - predicted) / np.maximum(
                    predicted, 0.2 * np.median(ms)
                )
        model = _train(make, x, y)
        return _with_interval(lambda z: mean + scale * model.predict(features(z)), errors, ms)

    return fit


def _train(make: Callable, x: np.ndarray, y: np.ndarray):
    model = make()
    if "random_state" in model.get_params():
        model.set_params(random_state=0)
    with warnings.catch_warnings():
        # max_iter is part of the baseline: reaching it is no failure.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y)


def _with_interval(predict: Callable, errors: np.ndarray, ms: np.ndarray) -> Predict:
    errors = np.sort(np.abs(errors))
    margin = errors[min(math.ceil(LEVEL * (len(errors) + 1)), len(errors)) - 1]
    floor = 0.2 * np.median(ms)

    def interval(networks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        predicted = predict(networks)
        half_width = margin * np.maximum(predicted, floor)
        return predicted, predicted - half_width, predicted + half_width

    return interval
