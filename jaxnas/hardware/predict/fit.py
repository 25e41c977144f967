"""Measured milliseconds of some networks of a space -> a model of all of them."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnas.core.types import Space
from jaxnas.hardware.predict import (
    cell_features,
    chain_features,
    critical_path,
    monotone,
    regression,
    validation,
)
from jaxnas.hardware.predict.predictor import LATENCY, NEAR, Predictor, linear_ms
from jaxnas.hardware.predict.validation import FitError
from jaxnas.spaces import genome

LEAST = 0.01  # of the fastest network measured: no prediction is below it
SOURCES = "sources"  # the group of other devices' predictions
CHARGE = 0.5  # of evidence, for each duration: what noise gains by fitting one, in the mean (Wilks)


class Regressed(NamedTuple):
    model: Predictor  # not yet `finished`
    left_out: np.ndarray  # f64[n], each time as the others predict it
    evidence: float  # log marginal likelihood, less the charge for durations


def fit(
    space: Space,
    networks: np.ndarray,
    latency_ms: np.ndarray,
    *,
    device: str = "",
    work: np.ndarray | None = None,
    quantity: str = LATENCY,
) -> Predictor:
    """The model of i[N, positions] networks that take f[N] milliseconds, or of another `quantity`.

    NaN: not measured. `work` f[positions, candidates, quantities] tells of a chain how much each
    candidate computes at each layer (`jaxnas.latency.work`). Raises FitError for fewer than two
    different networks, for times that are zero, negative, infinite or no milliseconds, for
    measurements of one network that disagree, and ValueError for networks of another space.
    """
    networks, ms = validation.validated(space, networks, latency_ms, quantity)
    found = finished(regressed(space, networks, ms, device, work).model)
    return found._replace(quantity=quantity)


def regressed(
    space: Space,
    networks: np.ndarray,
    ms: np.ndarray,
    device: str = "",
    work: np.ndarray | None = None,
    sources: Sequence[Predictor] = (),
    alone: bool = False,
) -> Regressed:
    """The linear model of accepted measurements.

    The predictions of `sources`, models of other devices, are a group of features more; `alone`:
    they are the only one.
    """
    if genome.is_chain(space):
        return _chain(space, networks, ms, device, work, sources, alone)
    if work is not None:
        raise FitError("Work has an effect on chains of layers only: leave it out.")
    return _cells(space, networks, ms, device, sources, alone)


def finished(model: Predictor) -> Predictor:
    """The model in which no candidate outgrown is slower, with the table of a small space."""
    if model.costs is not None:
        costs, pairs = monotone.chain(model.space, model.costs, model.pairs)
        return model._replace(costs=costs, pairs=pairs)
    return tabulated(model) if genome.is_enumerable(model.space) else model


def _regressed(
    groups: Mapping[str, np.ndarray], ms: np.ndarray, centre: Mapping[str, Any]
) -> tuple[regression.Regression, float, dict[str, np.ndarray]]:
    """(the fit, its constant and its weights for features neither centred nor scaled)."""
    kept = {name: (mean, size) for name, (mean, size) in centre.items() if np.isfinite(size).any()}
    scaled = {name: (groups[name] - mean) / size for name, (mean, size) in kept.items()}
    found = regression.regress(scaled, ms)
    weights = {name: found.weights[name] / size for name, (_, size) in kept.items()}
    constant = found.constant - sum(mean @ weights[name] for name, (mean, _) in kept.items())
    return found, float(constant), weights


def centred(groups: Mapping[str, np.ndarray], own: Collection[str] = ()) -> dict[str, tuple]:
    """(mean f[F], size f[F]) of each group over reference networks.

    After `(value - mean) / size` rows have mean square length one; in the groups of `own` each
    feature has a unit of its own and all weigh the same, in others their variances stay.
    """
    found = {}
    for name, value in groups.items():
        value = np.asarray(value, float)
        mean, spread = value.mean(0), value.std(0)
        size = spread if name.split(" in ")[0] in own else np.full(len(spread), 1.0)
        size = np.where(spread > 1e-9 * np.maximum(np.abs(mean), 1), size, np.inf)
        found[name] = mean, size * np.sqrt(((spread / size) ** 2).sum())
    return found


def relative(ms: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    """Sorted errors of networks predicted from the others, relative as in intervals."""
    least = NEAR * float(np.median(ms))
    return np.sort(np.abs(ms - left_out) / np.maximum(left_out, least))


def left_out(ms: np.ndarray, found: regression.Regression, durations: int = 0) -> np.ndarray:
    """f64[n]: each network from the others, its error made larger by what was fitted to it.

    It had a say in the h variances and durations: errors grow by sqrt(n / (n - h)), at most
    twofold, as in generalised cross-validation (our choice).
    """
    n, fitted = len(ms), len(found.variances) + 1 + durations
    wider = min(2.0, math.sqrt(n / max(n - fitted, 1)))
    return ms + wider * (found.left_out - ms)


def _cells(space, networks, ms, device, sources, alone) -> Regressed:
    """With a longest path of the device's own where that has the larger evidence."""
    seen, ways = cell_features.reference(space), {}
    if not alone:
        ways = {cell_features.WAY: critical_path.durations(space, networks, ms)}
    everywhere, groups = (
        cell_features.features(space, each, ways=ways) for each in (seen, networks)
    )
    if sources:
        everywhere[SOURCES] = _columns(sources, seen)
        groups[SOURCES] = _columns(sources, networks)
    if alone:
        everywhere, groups = ({SOURCES: each[SOURCES]} for each in (everywhere, groups))
    centre = centred(everywhere, (*cell_features.UNITS, SOURCES))
    groups = {name: np.asarray(value, float) for name, value in groups.items()}
    plain = {name: at for name, at in centre.items() if name.split(" in ")[0] not in ways}
    tried = [({}, plain), (ways, centre)] if ways else [({}, plain)]
    every = [_by_ways(space, groups, ms, device, sources, own, centre) for own, centre in tried]
    return max(every, key=lambda found: found.evidence)


def _by_ways(space, groups, ms, device, sources, ways: cell_features.Ways, centre) -> Regressed:
    """Evidence is less a charge, since the durations were fitted to the same times."""
    found, constant, weights = _regressed(groups, ms, centre)
    durations = sum(map(len, ways.values()))
    outside = left_out(ms, found, durations)
    model = Predictor(
        space, device, len(ms), LEAST * float(ms.min()), float(np.median(ms)),
        relative(ms, outside), constant, weights=weights, ways=ways,
    )  # fmt: skip
    return Regressed(_without_sources(model, sources), outside, found.evidence - CHARGE * durations)


def _columns(sources: Sequence[Predictor], networks: np.ndarray) -> np.ndarray:
    """f64[N, sources]: what each says, in its medians."""
    return np.stack([linear_ms(each, networks) / each.median_ms for each in sources], 1)


def _without_sources(model: Predictor, sources: Sequence[Predictor]) -> Predictor:
    """The same model, what it takes from its sources written into its own weights."""
    shares = (model.weights or {}).get(SOURCES)
    if shares is None:
        return model._replace(weights={k: v for k, v in model.weights.items() if k != SOURCES})
    own = {name: value for name, value in model.weights.items() if name != SOURCES}
    constant, ways = model.constant, dict(model.ways)
    for i, (share, source) in enumerate(zip(shares, sources, strict=True)):
        factor = float(share) / source.median_ms
        constant += factor * source.constant
        # Each device has a longest path of its own.
        theirs = {name: f"{name} of {i}" for name in source.ways}
        ways |= {theirs[name]: way for name, way in source.ways.items()}
        for name, value in source.weights.items():
            group, *rest = name.split(" in ")
            name = " in ".join([theirs.get(group, group), *rest])
            own[name] = own.get(name, 0.0) + factor * value
    return model._replace(constant=constant, weights=own, ways=ways)


def tabulated(model: Predictor) -> Predictor:
    """The model with the table of all its networks, in which no candidate outgrown is slower."""
    every = [linear_ms(model, part) for part in genome.enumerate_all(model.space)]
    table = np.maximum(np.concatenate(every), model.least_ms).reshape(
        genome.cardinalities(model.space)
    )
    orders = [monotone.order(position.candidates) for position in genome.positions(model.space)]
    table = monotone.monotone(table, orders)
    return model._replace(table=table)


def _chain(space, networks, ms, device, work, sources, alone) -> Regressed:
    places, wide = genome.positions(space), max(genome.cardinalities(space))
    if work is not None:
        work = _work(work, (len(places), wide))
    basis, seen = chain_features.bases(space, work), genome.sample_uniform(space, 4096)
    everywhere, groups = (chain_features.features(space, each, basis) for each in (seen, networks))
    if sources:
        everywhere[SOURCES] = _columns(sources, seen)
        groups[SOURCES] = _columns(sources, networks)
    if alone:
        everywhere, groups = ({SOURCES: each[SOURCES]} for each in (everywhere, groups))
    found, constant, weights = _regressed(groups, ms, centred(everywhere, (SOURCES,)))
    costs = np.zeros((len(places), wide))
    for name in basis:
        if name in weights:
            costs = costs + (basis[name] @ weights[name]).reshape(costs.shape)
    pairs = np.zeros((len(places) - 1, wide, wide))
    for name in ("pair", "pair anywhere"):
        if name in weights:
            pairs = pairs + weights[name].reshape(-1, wide, wide)
    # The one-hot rows of pairs were centred: single layers keep what is theirs.
    means = pairs.mean(1, keepdims=True), pairs.mean(2, keepdims=True)
    pairs = pairs - means[0] - means[1] + pairs.mean((1, 2), keepdims=True)
    for share, source in zip(weights.get(SOURCES, ()), sources, strict=False):
        factor = float(share) / source.median_ms
        constant, costs = constant + factor * source.constant, costs + factor * source.costs
        pairs = pairs if source.pairs is None else pairs + factor * source.pairs
    outside = left_out(ms, found)
    model = Predictor(
        space, device, len(ms), LEAST * float(ms.min()), float(np.median(ms)),
        relative(ms, outside), constant, costs=costs, pairs=pairs,
    )  # fmt: skip
    return Regressed(model, outside, found.evidence)


def _work(work: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    work = np.asarray(work, float)
    if work.ndim != 3 or work.shape[:2] != shape or not np.isfinite(work).all():
        raise FitError(
            f"Work has the shape {work.shape}: give finite numbers of [{shape[0]} positions, "
            f"{shape[1]} candidates, quantities]."
        )
    return work
