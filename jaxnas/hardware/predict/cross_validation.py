"""Our model beside the baselines, each judged on networks that it was not fitted to."""

import numpy as np

from jaxnas.core.types import Space
from jaxnas.hardware.predict import baselines, fit, metrics, validation
from jaxnas.hardware.predict.metrics import Quality
from jaxnas.hardware.predict.predictor import LATENCY

OURS = "ours"
FOLDS = 5


def held_out(
    space: Space,
    inside: tuple[np.ndarray, np.ndarray],
    outside: tuple[np.ndarray, np.ndarray],
    *,
    work: np.ndarray | None = None,
) -> dict[str, Quality]:
    """(networks, ms) to fit to, (networks, ms) to judge on -> each model's quality.

    Raises as `fit.fit` does.
    """
    networks, ms = validation.validated(space, *inside)
    every = baselines.baselines(space, work)
    found = {OURS: fit.fit(space, networks, ms, work=work).predict(outside[0])}
    found |= {name: make(networks, ms)(outside[0]) for name, make in every.items()}
    return {name: metrics.quality(outside[1], *each) for name, each in found.items()}


def cross_validate(
    space: Space,
    networks: np.ndarray,
    latency_ms: np.ndarray,
    *,
    work: np.ndarray | None = None,
    quantity: str = LATENCY,
) -> tuple[dict[str, Quality], np.ndarray, np.ndarray]:
    """(each model's quality, ms measured, ms our model predicts), where all networks are needed.

    Each fifth of the networks is predicted from the other four. Raises as `fit.fit` does, and
    FitError for fewer than ten networks.
    """
    networks, ms = validation.validated(space, networks, latency_ms, quantity)
    if len(ms) < 2 * FOLDS:
        raise validation.FitError(f"{len(ms)} networks are too few to judge a model: measure ten.")
    fold = np.random.default_rng(0).permutation(len(ms)) % FOLDS
    makers = {OURS: _ours(space, work, quantity)} | dict(baselines.baselines(space, work))
    predicted = {name: np.zeros((3, len(ms))) for name in makers}
    for k in range(FOLDS):
        out = fold == k
        for name, make in makers.items():
            predicted[name][:, out] = make(networks[~out], ms[~out])(networks[out])
    found = {name: metrics.quality(ms, *each) for name, each in predicted.items()}
    return found, ms, predicted[OURS][0]


def _ours(space: Space, work: np.ndarray | None, quantity: str) -> baselines.Baseline:
    return lambda networks, ms: fit.fit(space, networks, ms, work=work, quantity=quantity).predict
