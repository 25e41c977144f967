"""Transfer between devices: predictors of other devices as features for few measurements."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxnas.core.types import Space
from jaxnas.hardware.predict import fit as fits
from jaxnas.hardware.predict import two_modes, validation
from jaxnas.hardware.predict.features import chain_features
from jaxnas.hardware.predict.predictor import MIN_SCALE, Predictor
from jaxnas.hardware.predict.validation import FitError

STEP = 10
# f64[66, 3]: all mixtures of three models in tenths, the plain model first.
SHARES = (
    np.array([(a, b, STEP - a - b) for a in range(STEP, -1, -1) for b in range(STEP - a, -1, -1)])
    / STEP
)
# Rows of SHARES with a single model.
SINGLE_MODELS = [int(np.argmax(SHARES[:, i])) for i in range(SHARES.shape[1])]
STANDARD_ERRORS = 2.0  # the best of 66 mixtures is better by one standard error by chance


class TransferFit(NamedTuple):
    model: Predictor
    share: float  # of models with sources; 0: they did not help


def fit(
    space: Space,
    networks: np.ndarray,
    latency_ms: np.ndarray,
    sources: Sequence[Predictor],
    *,
    device: str = "",
    work: np.ndarray | None = None,
) -> TransferFit:
    """As `fit.fit`, with predictions for other devices of the same space as features.

    Three models are stacked: without sources, with them, and with sources only. The one of largest
    evidence is chosen, which drops sources that do not help (with ten networks, leave-one-out
    errors are less reliable: docs/latency.md), unless a mixture has a lower mean absolute relative
    leave-one-out error, by two standard errors. Raises as `fit.fit` does, and FitError without
    sources or with one of another space.
    """
    if not sources:
        raise FitError("There is no device to transfer from: use the plain fit.")
    foreign = [
        source.device or "a source" for source in sources if dict(source.space) != dict(space)
    ]
    if foreign:
        raise FitError(f"{foreign[0]} was fitted for another space: leave it out.")
    networks, ms = validation.validate(space, networks, latency_ms)
    linear_fits = [
        fits.fit_linear(space, networks, ms, device, work, *arguments)
        for arguments in ((), (sources,), (sources, True))
    ]
    floor = MIN_SCALE * float(np.median(ms))
    mixtures = SHARES @ np.stack([linear_fit.left_out for linear_fit in linear_fits])
    errors = np.abs(ms - mixtures) / np.maximum(mixtures, floor)
    best = int(np.argmin(errors.mean(1)))
    most_likely = SINGLE_MODELS[int(np.argmax([p.evidence for p in linear_fits]))]
    excess = errors[most_likely] - errors[best]
    if excess.mean() <= STANDARD_ERRORS * excess.std() / np.sqrt(len(ms)):
        best = most_likely
    shares = SHARES[best]
    model = _mix(linear_fits, shares, ms)
    return TransferFit(fits.enforce_monotone(model), float(1 - shares[0]))


def _mix(linear_fits: Sequence[fits.LinearFit], shares: np.ndarray, ms: np.ndarray) -> Predictor:
    """The mixture of linear models; sorted errors are averaged rank by rank."""
    models = [linear_fit.model for linear_fit in linear_fits]
    total = lambda pick: sum(s * pick(m) for m, s in zip(models, shares, strict=True))
    absolute_ms = float(total(lambda m: m.absolute_ms))
    errors = [fits.relative_errors(ms, f.left_out, absolute_ms) for f in linear_fits]
    mixed = shares @ np.stack([linear_fit.left_out for linear_fit in linear_fits])
    is_chain = models[0].costs is not None
    mixture = models[0]._replace(
        constant=float(total(lambda m: m.constant)),
        errors=shares @ np.stack(errors),
        absolute_ms=absolute_ms,
        modes=None if is_chain else two_modes.helpful(ms, mixed),
    )
    if is_chain:
        factors = chain_features.merged(
            [f._replace(costs=s * f.costs) for s, m in zip(shares, models, strict=True)
             for f in m.factors if s]
        )  # fmt: skip
        return mixture._replace(
            costs=total(lambda m: m.costs), pairs=total(lambda m: m.pairs), factors=factors
        )
    names = dict.fromkeys(name for model in models for name in model.weights)
    weights = {name: total(lambda m, name=name: m.weights.get(name, 0.0)) for name in names}
    weights = {name: value for name, value in weights.items() if np.any(value)}
    used = {name.split(" in ")[0] for name in weights}
    kept = lambda pick: {n: v for model in models for n, v in pick(model).items() if n in used}
    return mixture._replace(
        weights=weights, ways=kept(lambda m: m.ways), dead_shares=kept(lambda m: m.dead_shares)
    )
