"""Features of chains of layers: candidates shared over all layers, near layers, single layers.

All are linear in the one-hot genome, except for pairs of neighbours, so the expected latency has
a closed form.
"""

import numpy as np

from jaxnas.core.types import Space
from jaxnas.spaces import genome, op_names

LENGTH_SCALES = 8.0, 2.0  # in layers: costs correlate as exp(-distance / length_scale)


def bases(space: Space, work: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Per group f[positions * candidates, F]: the features of each candidate at each position.

    `tied`: one-hot names, shared by all layers; `near`, `nearer`: attributes of names (and names),
    correlated over near layers; `layer`: one-hot candidate of one layer. With `work`
    f[positions, candidates, quantities] also its quantities, shared by all layers and correlated
    over near ones (only `work` knows the sizes of layers).
    """
    positions = genome.positions(space)
    vocabulary = tuple(dict.fromkeys(name for p in positions for name in p.candidates))
    attributes_of_names = op_names.attributes(vocabulary)
    max_candidates = max(genome.cardinalities(space))
    depth = np.array([position.edge[0] for position in positions], float)
    names = np.zeros((len(positions), max_candidates, len(vocabulary)))
    for p, position in enumerate(positions):
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
    if workload is not None and workload.size:
        groups["work"] = workload
        groups["near work"] = np.einsum("poa,pm->poma", workload, roots[0])
    groups["layer"] = np.einsum("poe,pm->pome", is_candidate, np.eye(len(positions)))[..., 0]
    groups["layer"] = np.einsum("pom,oq->pomq", groups["layer"], np.eye(max_candidates))
    return {
        name: basis.reshape(len(positions) * max_candidates, -1) for name, basis in groups.items()
    }


def features(
    space: Space, codes: np.ndarray, basis: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Groups of features of networks i[N, positions], f[N, F] each, not centred.

    Groups of `bases`; `pair`: products of neighbouring layers' one-hot codes, per layer or summed.
    """
    max_candidates = max(genome.cardinalities(space))
    one_hot = (codes[:, :, None] == np.arange(max_candidates)).astype(float)
    flat = one_hot.reshape(len(codes), -1)
    groups = {name: flat @ matrix for name, matrix in basis.items()}
    if codes.shape[1] > 1:
        in_order = one_hot[:, genome.chain_order(space)] - 1 / max_candidates
        pairs = in_order[:, :-1, :, None] * in_order[:, 1:, None, :]
        groups["pair"] = pairs.reshape(len(codes), -1)
        groups["pair anywhere"] = pairs.sum(1).reshape(len(codes), -1)
    return groups


def _correlation_root(depth: np.ndarray, length_scale: float) -> np.ndarray:
    correlation = np.exp(-np.abs(depth[:, None] - depth) / length_scale)
    return np.linalg.cholesky(correlation + 1e-9 * np.eye(len(depth)))


def _standardised(work: np.ndarray, is_candidate: np.ndarray) -> np.ndarray:
    """The quantities in standard deviations, without those that are constant."""
    values = work[is_candidate]
    spread = values.std(0)
    varies = spread > 1e-9 * np.abs(values).max(0, initial=0)
    return work[..., varies] / spread[varies]
