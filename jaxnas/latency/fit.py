"""Measured milliseconds of some networks of a space -> a model of all of them."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnas.latency import cells, chains, evidence, growth, layout
from jaxnas.types import Space

LEAST = 0.01  # of the fastest network measured: no prediction is below it
LEVEL = 0.9  # of intervals
SOURCES = "sources"  # the group of other devices' predictions
DISAGREE = 1.5  # times: above, two measurements of one network are not of one device
ABSURD_MS = 1e-4, 1e6  # medians outside are no milliseconds of a network
FINEST = 1e-6  # of the median: predictions are rounded to it
NEAR = 0.2  # of the median: below, intervals are as wide as there (see `evidence.FLOOR`)


class Model(NamedTuple):
    """Predicts the milliseconds of every network of `space` on `device`.

    One of three forms. Small spaces of cells: `table`, all networks. Chains: `costs` of each
    layer and `pairs` of neighbours. Other spaces of cells: `weights` of their features.
    """

    space: Space
    device: str
    networks: int  # measured
    least_ms: float
    median_ms: float
    errors: np.ndarray  # f64[networks], relative, sorted: each network predicted from the others
    constant: float
    table: np.ndarray | None = None  # f64[candidates of position 0, of position 1, ...]
    costs: np.ndarray | None = None  # f64[positions, candidates]
    pairs: np.ndarray | None = None  # f64[positions - 1, candidates, candidates]
    weights: Mapping[str, np.ndarray] | None = None

    def predict(self, networks: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, ...]:
        """(milliseconds, low, high), f64[N] each, of networks i[N, positions].

        Between low and high lies a measurement with probability `level`, as far as networks left
        out tell (jackknife). Raises ValueError for networks of another space.
        """
        networks = layout.check(self.space, networks)
        ms, exact = milliseconds(self, networks), unrounded_ms(self, networks)
        away = margin(self, level) * np.maximum(exact, NEAR * self.median_ms)
        low, high = np.minimum(exact - away, ms), np.maximum(exact + away, ms)
        return ms, np.maximum(low, 0.0), high


class FitError(ValueError):
    """Measurements from which nothing can be fitted: the message is one line."""


def fit(
    space: Space,
    networks: np.ndarray,
    latency_ms: np.ndarray,
    *,
    device: str = "",
    work: np.ndarray | None = None,
) -> Model:
    """The model of i[N, positions] networks that take f[N] milliseconds.

    NaN: not measured. `work` f[positions, candidates, quantities] tells of a chain how much each
    candidate computes at each layer (`jaxnas.latency.work`). Raises FitError for fewer than two
    different networks, for times that are zero, negative, infinite or no milliseconds, for
    measurements of one network that disagree, and ValueError for networks of another space.
    """
    networks, ms = accepted(space, networks, latency_ms)
    return finished(regressed(space, networks, ms, device, work)[0])


def regressed(
    space: Space,
    networks: np.ndarray,
    ms: np.ndarray,
    device: str = "",
    work: np.ndarray | None = None,
    sources: Sequence[Model] = (),
    alone: bool = False,
) -> tuple[Model, np.ndarray]:
    """(the linear model of accepted measurements, each predicted from the others, f64[n]).

    The predictions of `sources`, models of other devices, are a group of features more; `alone`:
    they are the only one.
    """
    if layout.is_chain(space):
        return _chain(space, networks, ms, device, work, sources, alone)
    if work is not None:
        raise FitError("Work has an effect on chains of layers only: leave it out.")
    return _cells(space, networks, ms, device, sources, alone)


def finished(model: Model) -> Model:
    """The model in which no candidate outgrown is slower, with the table of a small space."""
    if model.costs is not None:
        costs, pairs = growth.chain(model.space, model.costs, model.pairs)
        return model._replace(costs=costs, pairs=pairs)
    return tabulated(model) if layout.enumerable(model.space) else model


def accepted(
    space: Space, networks: np.ndarray, latency_ms: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Different networks and their times; one measured several times gets the median.

    Raises as `fit` does.
    """
    networks, ms = layout.check(space, networks), np.asarray(latency_ms, float)
    if ms.shape != networks.shape[:1]:
        raise FitError(f"There are {len(networks)} networks and times of the shape {ms.shape}.")
    networks, ms = networks[~np.isnan(ms)], ms[~np.isnan(ms)]
    wrong = ~np.isfinite(ms) | (ms <= 0)
    if wrong.any():
        raise FitError(
            f"{wrong.sum()} of {len(ms)} times are zero, negative or infinite (the first: "
            f"{ms[wrong][0]:g} ms): measure those networks again, or leave them out."
        )
    different, place = np.unique(networks, axis=0, return_inverse=True)
    if len(different) < 2:
        raise FitError(
            f"{len(different) or 'No'} network was measured: two different ones are the least, "
            "60 to 100 are advised."
        )
    low, high = (np.full(len(different), start) for start in (np.inf, 0.0))
    np.minimum.at(low, place.ravel(), ms)
    np.maximum.at(high, place.ravel(), ms)
    if (worst := int(np.argmax(high / low))) is not None and high[worst] > DISAGREE * low[worst]:
        raise FitError(
            f"Network {different[worst].tolist()} takes {low[worst]:.4g} ms and "
            f"{high[worst]:.4g} ms in one table: keep the rows of one device and one unit."
        )
    median = float(np.median(ms))
    if not ABSURD_MS[0] <= median <= ABSURD_MS[1]:
        raise FitError(
            f"The median of the times is {median:.3g} ms, which no network takes: give "
            "milliseconds."
        )
    order = np.argsort(place.ravel(), kind="stable")
    groups = np.split(ms[order], np.cumsum(np.bincount(place.ravel()))[:-1])
    return different, np.array([np.median(group) for group in groups])


def milliseconds(model: Model, networks: np.ndarray) -> np.ndarray:
    """f64[N] of networks that are known to be the space's.

    Rounded to a millionth of the median: what is nearer than that is equal, and ranks as equal.
    """
    step = FINEST * model.median_ms
    return np.maximum(np.round(unrounded_ms(model, networks) / step) * step, model.least_ms)


def unrounded_ms(model: Model, networks: np.ndarray) -> np.ndarray:
    """The same, not rounded."""
    if model.table is not None and (networks >= 0).all():
        return model.table[tuple(networks.T)]
    return np.maximum(linear_ms(model, networks), model.least_ms)


def margin(model: Model, level: float = LEVEL) -> float:
    """Half the width of an interval, relative. Raises ValueError unless 0 < level < 1."""
    if not 0 < level < 1:
        raise ValueError(f"The level of an interval is {level}: give it above 0 and below 1.")
    rank = math.ceil(level * (len(model.errors) + 1))
    return float(model.errors[min(rank, len(model.errors)) - 1])


def chain_ms(model: Model, networks: np.ndarray) -> np.ndarray:
    """f64[N], before the least that is possible; a layer that is not there (-1) costs nothing."""
    there = networks >= 0
    each = model.costs[np.arange(networks.shape[1]), networks] * there
    total = model.constant + each.sum(1)
    if model.pairs is not None:
        line = networks[:, chains.order(model.space)]
        left, right = line[:, :-1], line[:, 1:]
        both = (left >= 0) & (right >= 0)
        at = np.arange(left.shape[1])
        total = total + (model.pairs[at, left, right] * both).sum(1)
    return total


def linear_ms(model: Model, networks: np.ndarray) -> np.ndarray:
    """f64[N], before growth and the least that is possible are seen to."""
    if model.costs is not None:
        return chain_ms(model, networks)
    groups = cells.features(model.space, networks)
    return model.constant + sum(groups[name] @ w for name, w in model.weights.items())


def _regressed(
    groups: Mapping[str, np.ndarray], ms: np.ndarray, centre: Mapping[str, Any]
) -> tuple[evidence.Fit, float, dict[str, np.ndarray]]:
    """(the fit, its constant and its weights for features neither centred nor scaled)."""
    kept = {name: (mean, size) for name, (mean, size) in centre.items() if np.isfinite(size).any()}
    scaled = {name: (groups[name] - mean) / size for name, (mean, size) in kept.items()}
    found = evidence.regress(scaled, ms)
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
        size = np.where(spread > 1e-9, size, np.inf)
        found[name] = mean, size * np.sqrt(((spread / size) ** 2).sum())
    return found


def relative(ms: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    """Sorted errors of networks predicted from the others, relative as in intervals."""
    least = NEAR * float(np.median(ms))
    return np.sort(np.abs(ms - left_out) / np.maximum(left_out, least))


def left_out(ms: np.ndarray, found: evidence.Fit) -> np.ndarray:
    """f64[n]: each network from the others, its error made larger by what was fitted to it.

    It had a say in the h variances: errors grow by sqrt(n / (n - h)), at most twofold, as in
    generalised cross-validation (our choice).
    """
    n, fitted = len(ms), len(found.variances) + 1
    wider = min(2.0, math.sqrt(n / max(n - fitted, 1)))
    return ms + wider * (found.left_out - ms)


def _cells(space, networks, ms, device, sources, alone) -> tuple[Model, np.ndarray]:
    seen = cells.reference(space)
    everywhere, groups = cells.features(space, seen), cells.features(space, networks)
    if sources:
        everywhere[SOURCES] = _columns(sources, seen)
        groups[SOURCES] = _columns(sources, networks)
    if alone:
        everywhere, groups = ({SOURCES: each[SOURCES]} for each in (everywhere, groups))
    centre = centred(everywhere, (*cells.COUNTS, SOURCES))
    groups = {name: np.asarray(value, float) for name, value in groups.items()}
    found, constant, weights = _regressed(groups, ms, centre)
    outside = left_out(ms, found)
    model = Model(
        space, device, len(ms), LEAST * float(ms.min()), float(np.median(ms)),
        relative(ms, outside), constant, weights=weights,
    )  # fmt: skip
    return _without_sources(model, sources), outside


def _columns(sources: Sequence[Model], networks: np.ndarray) -> np.ndarray:
    """f64[N, sources]: what each says, in its medians."""
    return np.stack([linear_ms(each, networks) / each.median_ms for each in sources], 1)


def _without_sources(model: Model, sources: Sequence[Model]) -> Model:
    """The same model, what it takes from its sources written into its own weights."""
    shares = (model.weights or {}).get(SOURCES)
    if shares is None:
        return model._replace(weights={k: v for k, v in model.weights.items() if k != SOURCES})
    own = {name: value for name, value in model.weights.items() if name != SOURCES}
    constant = model.constant
    for share, source in zip(shares, sources, strict=True):
        factor = float(share) / source.median_ms
        constant += factor * source.constant
        for name, value in source.weights.items():
            own[name] = own.get(name, 0.0) + factor * value
    return model._replace(constant=constant, weights=own)


def tabulated(model: Model) -> Model:
    """The model with the table of all its networks, in which no candidate outgrown is slower."""
    every = [linear_ms(model, part) for part in layout.everything(model.space)]
    table = np.maximum(np.concatenate(every), model.least_ms).reshape(layout.sizes(model.space))
    orders = [growth.order(position.candidates) for position in layout.positions(model.space)]
    table = growth.monotone(table, orders)
    return model._replace(table=table)


def _chain(space, networks, ms, device, work, sources, alone) -> tuple[Model, np.ndarray]:
    places, wide = layout.positions(space), chains.width(space)
    if work is not None:
        work = _work(work, (len(places), wide))
    basis, seen = chains.bases(space, work), layout.chance(space, 4096)
    everywhere, groups = (chains.features(space, each, basis) for each in (seen, networks))
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
    model = Model(
        space, device, len(ms), LEAST * float(ms.min()), float(np.median(ms)),
        relative(ms, outside), constant, costs=costs, pairs=pairs,
    )  # fmt: skip
    return model, outside


def _work(work: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    work = np.asarray(work, float)
    if work.ndim != 3 or work.shape[:2] != shape or not np.isfinite(work).all():
        raise FitError(
            f"Work has the shape {work.shape}: give finite numbers of [{shape[0]} positions, "
            f"{shape[1]} candidates, quantities]."
        )
    return work
