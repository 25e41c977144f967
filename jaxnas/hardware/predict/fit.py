"""Fits a latency predictor of a whole space to measurements of some of its networks."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
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
from jaxnas.hardware.predict.predictor import LATENCY, MIN_SCALE, Predictor, linear_ms
from jaxnas.hardware.predict.validation import FitError
from jaxnas.spaces import genome

MIN_RELATIVE_MS = 0.01  # of the fastest measured network: lower bound of predictions
SOURCES = "sources"  # the group of other devices' predictions
EVIDENCE_PENALTY = (
    0.5  # of log evidence per fitted duration: the mean gain from noise alone (Wilks)
)


# Of which powers of a chain's settings maximise the evidence, and which tell the features' scales.
SEARCHED_NETWORKS, SEARCHED_REFERENCE = 150, 512
REFINEMENTS = 4  # fits with settings that multiply layers: by powers, then by a value a candidate


class LinearFit(NamedTuple):
    model: Predictor  # before `enforce_monotone`
    left_out: np.ndarray  # f64[n], leave-one-out predictions
    evidence: float  # log marginal likelihood, less EVIDENCE_PENALTY for durations


def fit(
    space: Space,
    networks: np.ndarray,
    latency_ms: np.ndarray,
    *,
    device: str = "",
    work: np.ndarray | None = None,
    quantity: str = LATENCY,
) -> Predictor:
    """Fits a predictor to networks i[N, positions] and f[N] milliseconds, or another `quantity`.

    NaN: not measured. `work` f[positions, candidates, quantities]: what each candidate of a chain
    computes at each layer (`SearchSpace.workload`). Raises FitError for fewer than two distinct
    networks, for times that are zero, negative, infinite or implausible as milliseconds, for
    measurements of one network that disagree, and ValueError for networks of another space.
    """
    networks, ms = validation.validate(space, networks, latency_ms, quantity)
    model = enforce_monotone(fit_linear(space, networks, ms, device, work).model)
    return model._replace(quantity=quantity)


def fit_linear(
    space: Space,
    networks: np.ndarray,
    ms: np.ndarray,
    device: str = "",
    work: np.ndarray | None = None,
    sources: Sequence[Predictor] = (),
    sources_only: bool = False,
) -> LinearFit:
    """The linear model of validated measurements.

    The predictions of `sources`, predictors of other devices, are one more group of features; with
    `sources_only` they are the only one.
    """
    if genome.is_chain(space):
        return _fit_chain(space, networks, ms, device, work, sources, sources_only)
    if work is not None:
        raise FitError("Work has an effect on chains of layers only: leave it out.")
    return _fit_cells(space, networks, ms, device, sources, sources_only)


def enforce_monotone(model: Predictor) -> Predictor:
    """The model made monotone in dominating candidates; with its table, in enumerable spaces."""
    if model.costs is not None:
        parts = model.costs, model.pairs, model.factors
        costs, pairs, factors = monotone.monotone_factors(model.space, *parts)
        return model._replace(costs=costs, pairs=pairs, factors=factors)
    return with_table(model) if genome.is_enumerable(model.space) else model


def _regress(
    groups: Mapping[str, np.ndarray], ms: np.ndarray, scales: Mapping[str, Any]
) -> tuple[regression.Regression, float, dict[str, np.ndarray]]:
    """(the regression, its constant and weights for features neither centred nor scaled)."""
    used = {
        name: (mean, scale) for name, (mean, scale) in scales.items() if np.isfinite(scale).any()
    }
    scaled = {name: (groups[name] - mean) / scale for name, (mean, scale) in used.items()}
    regression_fit = regression.regress(scaled, ms)
    weights = {name: regression_fit.weights[name] / scale for name, (_, scale) in used.items()}
    constant = regression_fit.constant - sum(
        mean @ weights[name] for name, (mean, _) in used.items()
    )
    return regression_fit, float(constant), weights


def scaling(groups: Mapping[str, np.ndarray], own_units: Collection[str] = ()) -> dict[str, tuple]:
    """(mean f[F], scale f[F]) of each group over reference networks.

    After `(value - mean) / scale` rows have mean square length one. In groups of `own_units` every
    feature is scaled to the same variance; in others relative variances stay.
    """
    scales = {}
    for name, value in groups.items():
        value = np.asarray(value, float)
        mean, spread = value.mean(0), value.std(0)
        scale = spread if name.split(" in ")[0] in own_units else np.full(len(spread), 1.0)
        scale = np.where(spread > 1e-9 * np.maximum(np.abs(mean), 1), scale, np.inf)
        scales[name] = mean, scale * np.sqrt(((spread / scale) ** 2).sum())
    return scales


def relative_errors(ms: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    """Sorted leave-one-out errors, relative to the prediction as in intervals."""
    floor = MIN_SCALE * float(np.median(ms))
    return np.sort(np.abs(ms - left_out) / np.maximum(left_out, floor))


def leave_one_out(
    ms: np.ndarray, regression_fit: regression.Regression, durations: int = 0
) -> np.ndarray:
    """f64[n]: leave-one-out predictions, with errors inflated for the fitted hyperparameters.

    The h variances and durations were fitted to all n networks: errors grow by sqrt(n / (n - h)),
    at most twofold, as in generalised cross-validation (our choice).
    """
    n, fitted = len(ms), len(regression_fit.variances) + 1 + durations
    inflation = min(2.0, math.sqrt(n / max(n - fitted, 1)))
    return ms + inflation * (regression_fit.left_out - ms)


def _fit_cells(space, networks, ms, device, sources, sources_only) -> LinearFit:
    """The linear model of cells: with a fitted critical path where that has larger evidence."""
    reference, durations = cell_features.reference_networks(space), {}
    if not sources_only:
        durations = {cell_features.LONGEST_PATH: critical_path.durations(space, networks, ms)}
    reference_groups, groups = (
        cell_features.features(space, rows, durations=durations) for rows in (reference, networks)
    )
    if sources:
        reference_groups[SOURCES] = _source_predictions(sources, reference)
        groups[SOURCES] = _source_predictions(sources, networks)
    if sources_only:
        reference_groups, groups = (
            {SOURCES: features[SOURCES]} for features in (reference_groups, groups)
        )
    scales = scaling(reference_groups, (*cell_features.OWN_UNITS, SOURCES))
    groups = {name: np.asarray(value, float) for name, value in groups.items()}
    other_scales = {n: s for n, s in scales.items() if n.split(" in ")[0] not in durations}
    variants = [({}, other_scales), (durations, scales)] if durations else [({}, other_scales)]
    fits = [_fit_with_durations(space, groups, ms, device, sources, *v) for v in variants]
    return max(fits, key=lambda linear_fit: linear_fit.evidence)


def _fit_with_durations(
    space, groups, ms, device, sources, durations: cell_features.PathDurations, scales
) -> LinearFit:
    """A linear model with given durations. Its evidence is penalised: they were fitted as well."""
    regression_fit, constant, weights = _regress(groups, ms, scales)
    count = sum(map(len, durations.values()))
    held_out = leave_one_out(ms, regression_fit, count)
    model = Predictor(
        space, device, len(ms), MIN_RELATIVE_MS * float(ms.min()), float(np.median(ms)),
        relative_errors(ms, held_out), constant, weights=weights, ways=durations,
    )  # fmt: skip
    return LinearFit(
        _without_sources(model, sources),
        held_out,
        regression_fit.evidence - EVIDENCE_PENALTY * count,
    )


def _source_predictions(sources: Sequence[Predictor], networks: np.ndarray) -> np.ndarray:
    """f64[N, sources]: predictions of each source, in units of its median."""
    return np.stack([linear_ms(source, networks) / source.median_ms for source in sources], 1)


def _without_sources(model: Predictor, sources: Sequence[Predictor]) -> Predictor:
    """The same model, with its sources' weights merged into its own."""
    shares = (model.weights or {}).get(SOURCES)
    if shares is None:
        return model._replace(weights={k: v for k, v in model.weights.items() if k != SOURCES})
    weights = {name: value for name, value in model.weights.items() if name != SOURCES}
    constant, durations = model.constant, dict(model.ways)
    for i, (share, source) in enumerate(zip(shares, sources, strict=True)):
        factor = float(share) / source.median_ms
        constant += factor * source.constant
        # Each source has a critical path of its own.
        path_names = {name: f"{name} of {i}" for name in source.ways}
        durations |= {path_names[name]: path for name, path in source.ways.items()}
        for name, value in source.weights.items():
            group, *suffix = name.split(" in ")
            name = " in ".join([path_names.get(group, group), *suffix])
            weights[name] = weights.get(name, 0.0) + factor * value
    return model._replace(constant=constant, weights=weights, ways=durations)


def with_table(model: Predictor) -> Predictor:
    """The model with a table of all networks, monotone in dominating candidates."""
    parts = [linear_ms(model, part) for part in genome.enumerate_all(model.space)]
    table = np.maximum(np.concatenate(parts), model.least_ms).reshape(
        genome.cardinalities(model.space)
    )
    orders = [
        monotone.dominance_order(position.candidates) for position in genome.positions(model.space)
    ]
    table = monotone.monotone(table, orders)
    return model._replace(table=table)


def _fit_chain(space, networks, ms, device, work, sources, sources_only) -> LinearFit:
    """The linear model of a chain: with settings times layers where that has larger evidence."""
    positions, max_candidates = genome.positions(space), max(genome.cardinalities(space))
    if work is not None:
        work = validation.check_work(work, (len(positions), max_candidates))
    given = work, sources, sources_only
    plain = _fit_chain_with(space, networks, ms, device, given)
    settings = chain_features.settings(space)
    if sources_only or not settings:
        return plain
    powers = chain_features.best_powers(len(settings), _evidence_of_powers(space, networks, ms))
    values, count = chain_features.setting_values(space, powers), len(powers)
    best = plain
    for _ in range(REFINEMENTS):
        multiplied = _fit_chain_with(space, networks, ms, device, given, values, count)
        if multiplied.evidence <= best.evidence or not multiplied.model.factors:
            break
        # Next, by what the settings' own costs say beside their product: a value a candidate.
        best, model = multiplied, multiplied.model
        values = chain_features.refined(space, values, model.factors[0].costs, model.costs)
        count = sum(len(numbers) - 1 for numbers in settings.values())
    return best


def _evidence_of_powers(space, networks, ms) -> Callable[[Sequence[float]], float]:
    """The evidence of powers of a chain's settings, by its SEARCHED groups alone."""
    some = np.linspace(0, len(ms) - 1, min(len(ms), SEARCHED_NETWORKS)).astype(int)
    basis = chain_features.bases(space, apart=tuple(chain_features.settings(space)))
    basis = {name: basis[name] for name in chain_features.SEARCHED}
    reference = genome.sample_uniform(space, SEARCHED_REFERENCE)

    def evidence(powers: Sequence[float]) -> float:
        values = chain_features.setting_values(space, powers)
        references, groups = (
            chain_features.features(space, rows, basis, values, pairs=False)
            for rows in (reference, networks[some])
        )
        return _regress(groups, ms[some], scaling(references))[0].evidence

    return evidence


def _fit_chain_with(
    space, networks, ms, device, given, values: np.ndarray | None = None, fitted: int = 0
) -> LinearFit:
    """A linear model; with `values` of its settings, which are then no layers.

    `fitted` numbers among them were: the evidence is penalised for each.
    """
    work, sources, sources_only = given
    apart = () if values is None else tuple(chain_features.settings(space))
    basis, reference = chain_features.bases(space, work, apart), genome.sample_uniform(space, 4096)
    reference_groups, groups = (
        chain_features.features(space, rows, basis, values) for rows in (reference, networks)
    )
    if sources:
        reference_groups[SOURCES] = _source_predictions(sources, reference)
        groups[SOURCES] = _source_predictions(sources, networks)
    if sources_only:
        reference_groups, groups = (
            {SOURCES: features[SOURCES]} for features in (reference_groups, groups)
        )
    regression_fit, constant, weights = _regress(groups, ms, scaling(reference_groups, (SOURCES,)))
    costs, pairs = chain_features.costs_and_pairs(space, basis, weights)
    factors = () if values is None else chain_features.factors(basis, weights, values, apart)
    for share, source in zip(weights.get(SOURCES, ()), sources, strict=False):
        factor = float(share) / source.median_ms
        constant, costs = constant + factor * source.constant, costs + factor * source.costs
        pairs = pairs if source.pairs is None else pairs + factor * source.pairs
        factors += tuple(part._replace(costs=factor * part.costs) for part in source.factors)
    held_out = leave_one_out(ms, regression_fit, fitted)
    model = Predictor(
        space, device, len(ms), MIN_RELATIVE_MS * float(ms.min()), float(np.median(ms)),
        relative_errors(ms, held_out), constant, costs=costs, pairs=pairs,
        factors=chain_features.merged(factors),
    )  # fmt: skip
    return LinearFit(model, held_out, regression_fit.evidence - EVIDENCE_PENALTY * fitted)
