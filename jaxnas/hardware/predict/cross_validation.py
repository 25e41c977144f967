"""Cross-validation of our predictor and the baselines on held-out networks."""

import numpy as np

from jaxnas.core.types import Space
from jaxnas.hardware.predict import baselines, fit, metrics, validation
from jaxnas.hardware.predict.metrics import Quality
from jaxnas.hardware.predict.predictor import LATENCY

OURS = "ours"
FOLDS = 5


def held_out(
    space: Space,
    training: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    *,
    work: np.ndarray | None = None,
) -> dict[str, Quality]:
    """Quality of each model, fitted to `training` and evaluated on `test`: (networks, ms) each.

    Raises as `fit.fit` does.
    """
    networks, ms = validation.validate(space, *training)
    makers = baselines.baselines(space, work)
    predictions = {OURS: fit.fit(space, networks, ms, work=work).predict(test[0])}
    predictions |= {
        name: fit_baseline(networks, ms)(test[0]) for name, fit_baseline in makers.items()
    }
    return {name: metrics.quality(test[1], *prediction) for name, prediction in predictions.items()}


def cross_validate(
    space: Space,
    networks: np.ndarray,
    latency_ms: np.ndarray,
    *,
    work: np.ndarray | None = None,
    quantity: str = LATENCY,
) -> tuple[dict[str, Quality], np.ndarray, np.ndarray]:
    """Five-fold cross-validation: (quality of each model, measured ms, ms our model predicts).

    Raises as `fit.fit` does, and FitError for fewer than ten networks.
    """
    networks, ms = validation.validate(space, networks, latency_ms, quantity)
    if len(ms) < 2 * FOLDS:
        raise validation.FitError(f"{len(ms)} networks are too few to judge a model: measure ten.")
    fold = np.random.default_rng(0).permutation(len(ms)) % FOLDS
    makers = {OURS: _ours(space, work, quantity)} | dict(baselines.baselines(space, work))
    predicted = {name: np.zeros((3, len(ms))) for name in makers}
    for k in range(FOLDS):
        test_fold = fold == k
        for name, fit_model in makers.items():
            predicted[name][:, test_fold] = fit_model(networks[~test_fold], ms[~test_fold])(
                networks[test_fold]
            )
    qualities = {name: metrics.quality(ms, *prediction) for name, prediction in predicted.items()}
    return qualities, ms, predicted[OURS][0]


def _ours(space: Space, work: np.ndarray | None, quantity: str) -> baselines.Baseline:
    return lambda networks, ms: fit.fit(space, networks, ms, work=work, quantity=quantity).predict
