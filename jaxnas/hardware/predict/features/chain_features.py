"""Features of chains of layers: candidates shared over all layers, near layers, single layers.

All are linear in the one-hot genome, except for pairs of neighbours and products with settings of
the whole network (resolution, width, batch), so the expected latency has a closed form.
"""

import functools
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxnas.core.types import Space
from jaxnas.spaces import genome, op_names

LENGTH_SCALES = 8.0, 2.0  # in layers: costs correlate as exp(-distance / length_scale)
SETTING = re.compile(r"([A-Za-z]*)[_=]?(\d+(?:\.\d+)?)")  # `160`, `r160`, `width_0.75`
MAX_SETTINGS = 4
# Of a setting, and of the search: what is finer than one has to gain the evidence LEAST_GAIN.
MAX_POWER, STEPS, LEAST_GAIN = 4.0, (1.0, 0.5, 0.25), 0.5
MIN_VALUE = 1e-3  # of a setting, whose mean is 1
SEARCHED = "tied", "layer"  # groups by which the powers of settings are chosen
# Groups of layers that settings do not multiply, if they multiply any.
ADDITIVE = "tied", "work", "layer"
# Of groups of features: what the names end with where settings multiply them, the settings alone.
PAIRS = "pair", "pair anywhere"
TIMES, PRODUCT = " times settings", "settings"


class Factor(NamedTuple):
    """By what settings multiply layers, and the layers: `product(values) * sum(costs)`."""

    values: np.ndarray  # f64[positions, candidates], above 0; 1 of layers
    costs: np.ndarray  # f64[positions, candidates], milliseconds; 0 of settings


def settings(space: Space) -> dict[int, np.ndarray]:
    """The settings of a whole network in a chain: position -> f[candidates], their numbers.

    All candidates of such a position are positive numbers, at least two different ones, with the
    same word before them, if any, which stands at no other position. Positions of numbers without a
    word have different candidates each. What else is of numbers are choices of single layers, as
    are numbers at more than MAX_SETTINGS positions or at more than half of them.
    """
    positions, found = genome.positions(space), {}
    for p, position in enumerate(positions):
        matches = [SETTING.fullmatch(name) for name in position.candidates]
        if all(matches) and len({match[1] for match in matches}) == 1:
            numbers = np.array([float(match[2]) for match in matches])
            if numbers.min() > 0 and np.ptp(numbers) > 0:
                found[p] = matches[0][1], numbers
    words = Counter(word for word, _ in found.values())
    bare = [positions[p].candidates for p, (word, _) in found.items() if not word]
    if len(set(bare)) == len(bare):
        words[""] = 1
    once = {p: numbers for p, (word, numbers) in found.items() if words[word] == 1}
    return once if len(once) <= min(MAX_SETTINGS, len(positions) // 2) else {}


def alike(space: Space, codes: np.ndarray) -> list[np.ndarray]:
    """Indices of the networks i[N, positions] of each choice of settings; without any, of all."""
    apart = list(settings(space)) if genome.is_chain(space) else []
    if not apart:
        return [np.arange(len(codes))]
    _, group = np.unique(codes[:, apart], axis=0, return_inverse=True)
    return [np.flatnonzero(group.ravel() == g) for g in range(group.max() + 1)]


def setting_values(space: Space, powers: Sequence[float]) -> np.ndarray:
    """f64[positions, candidates]: each setting's numbers to its power, 1 in the mean; 1 of layers.

    The product over positions is by what the settings of a network multiply its layers.
    """
    values = np.ones((len(genome.positions(space)), max(genome.cardinalities(space))))
    for (p, numbers), power in zip(settings(space).items(), powers, strict=True):
        powered = (numbers / numbers.mean()) ** power
        values[p, : len(numbers)] = powered / powered.mean()
    return values


def product(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """f64[N]: the product of `values` f[positions, candidates] over networks i[N, positions]."""
    present = np.where(codes >= 0, values[np.arange(codes.shape[1]), codes], 1.0)
    return present.prod(1)


def bases(
    space: Space, work: np.ndarray | None = None, apart: Collection[int] = ()
) -> dict[str, np.ndarray]:
    """Per group f[positions * candidates, F]: the features of each candidate at each position.

    Positions `apart` are settings of the whole network, and have features of the group `layer`
    alone.

    `tied`: one-hot names, shared by all layers; `near`, `nearer`: attributes of names (and names),
    correlated over near layers; `layer`: one-hot candidate of one layer. With `work`
    f[positions, candidates, quantities] also its quantities, shared by all layers and correlated
    over near ones (only `work` knows the sizes of layers).
    """
    positions = genome.positions(space)
    layers = {p: position for p, position in enumerate(positions) if p not in apart}
    vocabulary = tuple(dict.fromkeys(n for layer in layers.values() for n in layer.candidates))
    attributes_of_names = op_names.attributes(vocabulary)
    max_candidates = max(genome.cardinalities(space))
    depth = np.array([position.edge[0] for position in positions], float)
    names = np.zeros((len(positions), max_candidates, len(vocabulary)))
    for p, position in layers.items():
        for o, name in enumerate(position.candidates):
            names[p, o, vocabulary.index(name)] = 1
    is_candidate = names.sum(2, keepdims=True)
    groups = {"tied": names}
    attributes = np.concatenate([names @ attributes_of_names, is_candidate], 2)
    roots = [_correlation_root(depth, length_scale) for length_scale in LENGTH_SCALES]
    for root, name in zip(roots, ("near", "nearer"), strict=True):
        groups[name] = np.einsum("poa,pm->poma", attributes, root)
        groups[f"{name} names"] = np.einsum("poa,pm->poma", names, root)
    workload = None if work is None else _standardised(work, is_candidate[..., 0] > 0)
    if workload is not None:
        workload[list(apart)] = 0
    if workload is not None and workload.size:
        groups["work"] = workload
        groups["near work"] = np.einsum("poa,pm->poma", workload, roots[0])
    for p in apart:
        is_candidate[p, : len(positions[p].candidates)] = 1
    groups["layer"] = np.einsum("poe,pm->pome", is_candidate, np.eye(len(positions)))[..., 0]
    groups["layer"] = np.einsum("pom,oq->pomq", groups["layer"], np.eye(max_candidates))
    return {
        name: basis.reshape(len(positions) * max_candidates, -1) for name, basis in groups.items()
    }


def features(
    space: Space,
    codes: np.ndarray,
    basis: dict[str, np.ndarray],
    values: np.ndarray | None = None,
    pairs: bool = True,
) -> dict[str, np.ndarray]:
    """Groups of features of networks i[N, positions], f[N, F] each, not centred.

    Groups of `bases`; `pair`: products of neighbouring layers' one-hot codes, per layer or summed.
    With `values` of settings also their product, by itself and times the groups of layers.
    """
    max_candidates = max(genome.cardinalities(space))
    one_hot = (codes[:, :, None] == np.arange(max_candidates)).astype(float)
    flat = one_hot.reshape(len(codes), -1)
    groups = {name: flat @ matrix for name, matrix in basis.items()}
    if pairs and codes.shape[1] > 1:
        in_order = one_hot[:, genome.chain_order(space)] - 1 / max_candidates
        products = in_order[:, :-1, :, None] * in_order[:, 1:, None, :]
        for name, value in zip(PAIRS, (products, products.sum(1)), strict=True):
            groups[name] = value.reshape(len(codes), -1)
    if values is not None:
        groups = {name: groups[name] for name in (*ADDITIVE, *PAIRS) if name in groups}
        factor = product(values, codes)[:, None]
        one_hot[:, list(settings(space))] = 0
        of_layers = factor * one_hot.reshape(len(codes), -1)
        groups |= {name + TIMES: of_layers @ matrix for name, matrix in basis.items()}
        groups[PRODUCT] = factor
    return groups


def costs_and_pairs(
    space: Space, basis: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """(f[positions, candidates], f[positions - 1, candidates, candidates]) of weights of groups."""
    count, max_candidates = len(genome.positions(space)), max(genome.cardinalities(space))
    costs = np.zeros((count, max_candidates))
    for name in basis:
        if name in weights:
            costs = costs + (basis[name] @ weights[name]).reshape(costs.shape)
    pairs = np.zeros((count - 1, max_candidates, max_candidates))
    for name in PAIRS:
        if name in weights:
            pairs = pairs + weights[name].reshape(-1, max_candidates, max_candidates)
    # The one-hot codes of pairs were centred: pairs have no main effects of single layers.
    means = pairs.mean(1, keepdims=True), pairs.mean(2, keepdims=True)
    return costs, pairs - means[0] - means[1] + pairs.mean((1, 2), keepdims=True)


def factors(
    basis: Mapping[str, np.ndarray],
    weights: Mapping[str, np.ndarray],
    values: np.ndarray,
    apart: Collection[int],
) -> tuple[Factor, ...]:
    """The factor of settings at the positions `apart`, of weights of groups; none, if all are 0."""
    costs = np.zeros(values.shape)
    for name in basis:
        if name + TIMES in weights:
            costs = costs + (basis[name] @ weights[name + TIMES]).reshape(costs.shape)
    costs = costs + weights.get(PRODUCT, np.zeros(1))[0] / (len(values) - len(apart))
    costs[list(apart)] = 0
    return (Factor(values, costs),) if costs.any() else ()


def refined(
    space: Space, values: np.ndarray, multiplied: np.ndarray, costs: np.ndarray
) -> np.ndarray:
    """Values of settings that also make up for their own `costs`, at layers as in the mean.

    `multiplied`: the costs of layers that the product of `values` multiplies.
    """
    found, sizes = values.copy(), genome.cardinalities(space)
    apart = settings(space)
    layers_ms = sum(multiplied[p, : sizes[p]].mean() for p in range(len(sizes)) if p not in apart)
    for p in apart:
        own = costs[p, : sizes[p]]
        row = found[p, : sizes[p]] + (own - own.mean()) / (layers_ms or 1.0)
        row = np.maximum(row, MIN_VALUE)
        found[p, : sizes[p]] = row / row.mean()
    return found


def merged(parts: Sequence[Factor]) -> tuple[Factor, ...]:
    """Factors of which no two have the same values."""
    kept: list[Factor] = []
    for part in parts:
        same = [i for i, other in enumerate(kept) if np.array_equal(other.values, part.values)]
        if same:
            kept[same[0]] = part._replace(costs=kept[same[0]].costs + part.costs)
        else:
            kept.append(part)
    return tuple(kept)


def best_powers(count: int, evidence: Callable[[tuple[float, ...]], float]) -> tuple[float, ...]:
    """The powers of `count` settings of largest evidence, by a search along each from 1."""
    evidence, best = functools.cache(evidence), (1.0,) * count
    for step in STEPS:
        while True:
            near = [
                (*best[:i], best[i] + change, *best[i + 1 :])
                for i in range(count)
                for change in (step, -step)
                if 0 <= best[i] + change <= MAX_POWER
            ]
            # Powers that are all 0 multiply nothing.
            better = max((powers for powers in near if any(powers)), key=evidence)
            if evidence(better) <= evidence(best) + LEAST_GAIN * (step < 1):
                break
            best = better
    return best


def _correlation_root(depth: np.ndarray, length_scale: float) -> np.ndarray:
    correlation = np.exp(-np.abs(depth[:, None] - depth) / length_scale)
    return np.linalg.cholesky(correlation + 1e-9 * np.eye(len(depth)))


def _standardised(work: np.ndarray, is_candidate: np.ndarray) -> np.ndarray:
    """The quantities in standard deviations, without those that are constant."""
    values = work[is_candidate]
    spread = values.std(0)
    varies = spread > 1e-9 * np.abs(values).max(0, initial=0)
    return work[..., varies] / spread[varies]
