"""Few measurements of a new device, helped by models of other devices as far as they help."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxnas.core.types import Space
from jaxnas.hardware.predict import fit as fits
from jaxnas.hardware.predict import validation
from jaxnas.hardware.predict.predictor import NEAR, Predictor
from jaxnas.hardware.predict.validation import FitError

STEP = 10
# f64[66, 3]: every way of sharing 1 among three models in tenths, the plain one first.
SHARES = (
    np.array([(a, b, STEP - a - b) for a in range(STEP, -1, -1) for b in range(STEP - a, -1, -1)])
    / STEP
)
PURE = [int(np.argmax(SHARES[:, i])) for i in range(SHARES.shape[1])]  # rows of one model alone
SURE = 2.0  # standard errors: the best of 66 mixtures is better by one of them by luck


class Transferred(NamedTuple):
    model: Predictor
    share: float  # of the model that knows the other devices; 0: they did not help


def fit(
    space: Space,
    networks: np.ndarray,
    latency_ms: np.ndarray,
    sources: Sequence[Predictor],
    *,
    device: str = "",
    work: np.ndarray | None = None,
) -> Transferred:
    """As `fit.fit`, with what devices of the same space say as features.

    Three models are stacked: without sources, with them, with them alone. The one of the largest
    evidence is taken, so that sources which do not help are dropped (of ten networks, those left
    out tell less: docs/latency.md), unless a mixture has a lower mean absolute relative error of
    networks left out, by two standard errors. Raises as `fit` does, and FitError without sources
    or with one of another space.
    """
    if not sources:
        raise FitError("There is no device to transfer from: use the plain fit.")
    strange = [each.device or "a source" for each in sources if dict(each.space) != dict(space)]
    if strange:
        raise FitError(f"{strange[0]} was fitted for another space: leave it out.")
    networks, ms = validation.validated(space, networks, latency_ms)
    parts = [
        fits.regressed(space, networks, ms, device, work, *rest)
        for rest in ((), (sources,), (sources, True))
    ]
    least = NEAR * float(np.median(ms))
    mixed = SHARES @ np.stack([part.left_out for part in parts])
    errors = np.abs(ms - mixed) / np.maximum(mixed, least)
    best, likely = int(np.argmin(errors.mean(1))), PURE[int(np.argmax([p.evidence for p in parts]))]
    worse = errors[likely] - errors[best]
    if worse.mean() <= SURE * worse.std() / np.sqrt(len(ms)):
        best = likely
    shares = SHARES[best]
    model = _mixed([part.model for part in parts], shares)
    return Transferred(fits.finished(model), float(1 - shares[0]))


def _mixed(models: Sequence[Predictor], shares: np.ndarray) -> Predictor:
    """Linear models add up; errors are mixed as they are, rank by rank."""
    total = lambda pick: sum(s * pick(m) for m, s in zip(models, shares, strict=True))
    found = models[0]._replace(
        constant=float(total(lambda m: m.constant)), errors=total(lambda m: m.errors)
    )
    if found.costs is not None:
        return found._replace(costs=total(lambda m: m.costs), pairs=total(lambda m: m.pairs))
    names = dict.fromkeys(name for model in models for name in model.weights)
    weights = {name: total(lambda m, name=name: m.weights.get(name, 0.0)) for name in names}
    weights = {name: value for name, value in weights.items() if np.any(value)}
    used = {name.split(" in ")[0] for name in weights}
    ways = {n: way for model in models for n, way in model.ways.items() if n in used}
    return found._replace(weights=weights, ways=ways)
