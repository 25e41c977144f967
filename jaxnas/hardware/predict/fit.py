"""Fits a latency predictor of a whole space to measurements of some of its networks."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnas.core.types import Space
from jaxnas.hardware.predict import monotone, regression, two_modes, validation
from jaxnas.hardware.predict.features import (
    cell_features,
    chain_features,
    critical_path,
    dead_branches,
)
from jaxnas.hardware.predict.predictor import LATENCY, Predictor, error_scale, linear_ms
from jaxnas.hardware.predict.validation import FitError
from jaxnas.spaces import genome

MIN_RELATIVE_MS = 0.01  # of the fastest measured network: lower bound of predictions
SOURCES = "sources"  # the group of other devices' predictions
# Of log evidence per fitted duration or share: the mean gain from noise alone (Wilks).
EVIDENCE_PENALTY = 0.5
# Of which powers of a chain's settings maximise the evidence, and which tell the features' scales.
SEARCHED_NETWORKS, SEARCHED_REFERENCE = 150, 512
REFINEMENTS = 4  # fits with settings that multiply layers: by powers, then by a value a candidate


class Variant(NamedTuple):
    """What is fitted to the device before the regression, by name of its group of features."""

    ways: cell_features.PathDurations
    dead_shares: cell_features.DeadShares

    def groups(self) -> set[str]:
        return {*self.ways, *self.dead_shares}

    @property
    def fitted(self) -> int:
        """How many numbers were fitted."""
        return sum(len(values) for part in self for values in part.values())


class LinearFit(NamedTuple):
    model: Predictor  # before `enforce_monotone`
    left_out: np.ndarray  # f64[n], leave-one-out predictions
    evidence: float  # log marginal likelihood, less EVIDENCE_PENALTY for durations and shares


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


def regress(
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
        scale = spread if _group(name) in own_units else np.full(len(spread), 1.0)
        scale = np.where(spread > 1e-9 * np.maximum(np.abs(mean), 1), scale, np.inf)
        length = np.sqrt(((spread / scale) ** 2).sum())
        # A group of constants, whose length is 0, has no scale.
        scales[name] = mean, scale * length if length else np.full(len(spread), np.inf)
    return scales


def relative_errors(ms: np.ndarray, left_out: np.ndarray, absolute_ms: float) -> np.ndarray:
    """Sorted leave-one-out errors, relative to the prediction as in intervals."""
    return np.sort(np.abs(ms - left_out) / error_scale(left_out, float(np.median(ms)), absolute_ms))


def leave_one_out(
    ms: np.ndarray, regression_fit: regression.Regression, fitted_before: int = 0
) -> np.ndarray:
    """f64[n]: leave-one-out predictions, with errors inflated for the fitted hyperparameters.

    The h variances, and what was fitted before, know all n networks: errors grow by
    sqrt(n / (n - h)), at most twofold, as in generalised cross-validation (our choice).
    """
    n, fitted = len(ms), len(regression_fit.variances) + 2 + fitted_before
    inflation = min(2.0, math.sqrt(n / max(n - fitted, 1)))
    return ms + inflation * (regression_fit.left_out - ms)


def _fit_cells(space, networks, ms, device, sources, sources_only) -> LinearFit:
    """The linear model of cells.

    With a fitted critical path, and with fitted shares of dead branches, where the evidence is
    larger so.
    """
    reference, durations, dead_shares = cell_features.reference_networks(space), {}, {}
    if not sources_only:
        durations = {cell_features.LONGEST_PATH: critical_path.durations(space, networks, ms)}
        if (shares := dead_branches.shares(space, networks, ms)) is not None:
            dead_shares = {cell_features.EXECUTED: shares}
    reference_groups, groups = (
        cell_features.features(space, rows, durations=durations, dead_shares=dead_shares)
        for rows in (reference, networks)
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
    optional = {*durations, *dead_shares}
    if two_modes.find(ms) is None:
        optional |= {cell_features.OCCURS, cell_features.BESIDE}
    fit_variant = lambda variant: _fit_variant(
        space, groups, ms, device, sources, variant,
        {n: s for n, s in scales.items() if _group(n) not in optional - variant.groups()},
    )  # fmt: skip
    variant = Variant({}, {})
    best = fit_variant(variant)
    for further in (Variant(durations, {}), Variant({}, dead_shares)):
        if further.groups():
            larger = Variant(variant.ways | further.ways, variant.dead_shares | further.dead_shares)
            candidate = fit_variant(larger)
            if candidate.evidence > best.evidence:
                variant, best = larger, candidate
    return best


def _group(name: str) -> str:
    """The group of "group in all"."""
    return name.split(" in ")[0]


def _fit_variant(space, groups, ms, device, sources, variant: Variant, scales) -> LinearFit:
    """A linear model of a variant. Its evidence is penalised for what was fitted before."""
    regression_fit, constant, weights = regress(groups, ms, scales)
    held_out = leave_one_out(ms, regression_fit, variant.fitted)
    found_modes = two_modes.helpful(ms, held_out)
    held_out = two_modes.move(found_modes, held_out)
    absolute_ms = regression_fit.absolute_noise / regression_fit.noise
    model = Predictor(
        space, device, len(ms), MIN_RELATIVE_MS * float(ms.min()), float(np.median(ms)),
        relative_errors(ms, held_out, absolute_ms), constant, weights=weights, ways=variant.ways,
        dead_shares=variant.dead_shares, absolute_ms=absolute_ms, modes=found_modes,
    )  # fmt: skip
    evidence = regression_fit.evidence - EVIDENCE_PENALTY * variant.fitted
    return LinearFit(_without_sources(model, sources), held_out, evidence)


def _source_predictions(sources: Sequence[Predictor], networks: np.ndarray) -> np.ndarray:
    """f64[N, sources]: predictions of each source, in units of its median."""
    return np.stack([linear_ms(source, networks) / source.median_ms for source in sources], 1)


def _without_sources(model: Predictor, sources: Sequence[Predictor]) -> Predictor:
    """The same model, with its sources' weights merged into its own."""
    shares = (model.weights or {}).get(SOURCES)
    if shares is None:
        return model._replace(weights={k: v for k, v in model.weights.items() if k != SOURCES})
    weights = {name: value for name, value in model.weights.items() if name != SOURCES}
    constant, durations, dead_shares = model.constant, dict(model.ways), dict(model.dead_shares)
    for i, (share, source) in enumerate(zip(shares, sources, strict=True)):
        factor = float(share) / source.median_ms
        constant += factor * source.constant
        # Each source has a critical path and shares of dead branches of its own.
        own_names = {name: f"{name} of {i}" for name in (*source.ways, *source.dead_shares)}
        durations |= {own_names[name]: path for name, path in source.ways.items()}
        dead_shares |= {own_names[name]: part for name, part in source.dead_shares.items()}
        for name, value in source.weights.items():
            group, *suffix = name.split(" in ")
            name = " in ".join([own_names.get(group, group), *suffix])
            weights[name] = weights.get(name, 0.0) + factor * value
    return model._replace(
        constant=constant, weights=weights, ways=durations, dead_shares=dead_shares
    )


def with_table(model: Predictor) -> Predictor:
    """The model with a table of all networks, monotone in dominating candidates."""
    parts = [linear_ms(model, part) for part in genome.enumerate_all(model.space)]
    table = two_modes.move(model.modes, np.maximum(np.concatenate(parts), model.least_ms)).reshape(
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
        return regress(groups, ms[some], scaling(references))[0].evidence

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
    regression_fit, constant, weights = regress(groups, ms, scaling(reference_groups, (SOURCES,)))
    costs, pairs = chain_features.costs_and_pairs(space, basis, weights)
    factors = () if values is None else chain_features.factors(basis, weights, values, apart)
    for share, source in zip(weights.get(SOURCES, ()), sources, strict=False):
        factor = float(share) / source.median_ms
        constant, costs = constant + factor * source.constant, costs + factor * source.costs
        pairs = pairs if source.pairs is None else pairs + factor * source.pairs
        factors += tuple(part._replace(costs=factor * part.costs) for part in source.factors)
    held_out = leave_one_out(ms, regression_fit, fitted)
    absolute_ms = regression_fit.absolute_noise / regression_fit.noise
    model = Predictor(
        space, device, len(ms), MIN_RELATIVE_MS * float(ms.min()), float(np.median(ms)),
        relative_errors(ms, held_out, absolute_ms), constant, costs=costs, pairs=pairs,
        absolute_ms=absolute_ms, factors=chain_features.merged(factors),
    )  # fmt: skip
    return LinearFit(model, held_out, regression_fit.evidence - EVIDENCE_PENALTY * fitted)
