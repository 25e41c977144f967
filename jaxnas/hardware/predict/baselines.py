"""What a latency model has to beat: a line over MACs, a look-up table, an MLP, boosted trees."""

import math
import warnings
from collections.abc import Callable, Mapping

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from jaxnas.core.types import Space
from jaxnas.spaces import genome, op_names

# Training networks, their milliseconds -> what predicts others: (ms, low, high).
Predict = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
Baseline = Callable[[np.ndarray, np.ndarray], Predict]
RIDGES = np.logspace(-4, 2, 7)
FOLDS = 5
LEVEL = 0.9


def baselines(space: Space, work: np.ndarray | None = None) -> Mapping[str, Baseline]:
    """The four by name: `macs`, `table`, `mlp`, `trees`.

    MACs are the first two quantities of `work` where given; else each candidate counts its name's
    kernel^2 * expansion and widths, alike at all positions. The table is ridge regression on
    one-hot codes, its ridge by leave-one-out. Intervals: errors left out (ridge) or of five folds
    (the others).
    """
    shape = genome.cardinalities(space)
    macs = _macs(space, work)
    flops = lambda x: macs[np.arange(len(shape)), x].sum(1, keepdims=True)
    one_hot = lambda x: np.concatenate(
        [(x[:, [p]] == np.arange(n)).astype(float) for p, n in enumerate(shape)], 1
    )
    network = lambda: MLPRegressor(
        hidden_layer_sizes=(64, 64), solver="lbfgs", alpha=1e-2, max_iter=200
    )
    trees = lambda: GradientBoostingRegressor(n_estimators=150, max_depth=3, random_state=0)
    return {
        "macs": _ridge(flops, ridges=(0.0,)),
        "table": _ridge(one_hot, ridges=RIDGES),
        "mlp": _folded(one_hot, network),
        "trees": _folded(one_hot, trees),
    }


def _macs(space: Space, work: np.ndarray | None) -> np.ndarray:
    """f64[positions, candidates + 1]; the last column is code -1."""
    wide = max(genome.cardinalities(space))
    if work is not None:
        return np.pad(work[..., :2].sum(2), ((0, 0), (0, 1)))
    table = np.zeros((len(genome.cardinalities(space)), wide + 1))
    for p, position in enumerate(genome.positions(space)):
        for o, name in enumerate(position.candidates):
            if op_names.kind(name) == op_names.LEARNED:
                said = op_names.numbers(name)
                table[p, o] = said.get("k", 1) ** 2 * said.get("e", 1) / said.get("g", 1)
                table[p, o] *= said.get("from", 1) * said.get("to", 1)
    return table


def _ridge(features: Callable, ridges) -> Baseline:
    def fit(networks: np.ndarray, ms: np.ndarray) -> Predict:
        x = features(networks)
        middle, size = x.mean(0), x.std(0).max() or 1.0
        x = (x - middle) / size
        u, s, vt = np.linalg.svd(x, full_matrices=False)
        y, kept = ms - ms.mean(), s > 1e-9 * s.max(initial=1e-300)
        u, s, vt = u[:, kept], s[kept], vt[kept]
        found = []
        for ridge in ridges:
            shrink = s**2 / (s**2 + ridge)
            hat = u * shrink @ u.T + 1 / len(y)
            left = (ms - hat @ ms) / np.maximum(1 - np.diag(hat), 1e-9)
            found.append((float(np.mean(left**2)), ridge, left))
        _, ridge, left = min(found, key=lambda each: each[0])
        weights = vt.T @ (s / (s**2 + ridge) * (u.T @ y))
        predict = lambda z: ms.mean() + (features(z) - middle) / size @ weights
        return _between(predict, left / np.maximum(np.abs(ms - left), 0.2 * np.median(ms)), ms)

    return fit


def _folded(features: Callable, make: Callable) -> Baseline:
    def fit(networks: np.ndarray, ms: np.ndarray) -> Predict:
        x, middle, size = features(networks), ms.mean(), ms.std() or 1.0
        y, errors = (ms - middle) / size, np.zeros(len(ms))
        for fold in range(FOLDS):
            out = np.arange(len(ms)) % FOLDS == fold
            if out.any() and not out.all():
                guess = middle + size * _trained(make, x[~out], y[~out]).predict(x[out])
                errors[out] = (ms[out] - guess) / np.maximum(guess, 0.2 * np.median(ms))
        model = _trained(make, x, y)
        return _between(lambda z: middle + size * model.predict(features(z)), errors, ms)

    return fit


def _trained(make: Callable, x: np.ndarray, y: np.ndarray):
    model = make()
    if "random_state" in model.get_params():
        model.set_params(random_state=0)
    with warnings.catch_warnings():
        # A baseline that stops after its iterations is still the baseline.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y)


def _between(predict: Callable, errors: np.ndarray, ms: np.ndarray) -> Predict:
    errors = np.sort(np.abs(errors))
    margin = errors[min(math.ceil(LEVEL * (len(errors) + 1)), len(errors)) - 1]
    least = 0.2 * np.median(ms)

    def interval(networks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        guess = predict(networks)
        away = margin * np.maximum(guess, least)
        return guess, guess - away, guess + away

    return interval
