"""What is regressed on in a chain of layers: candidates tied over layers, near layers, each layer.

Everything is linear in which candidate stands where, but for pairs of neighbours, so that an
expected latency has a closed form.
"""

import numpy as np

from jaxnas.core.types import Space
from jaxnas.spaces import genome, op_names

REACH = 8.0, 2.0  # layers over which costs are alike: exp(-distance / reach)


def bases(space: Space, work: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """f[positions * width, F] a group: what each candidate at each position adds to each feature.

    `tied`: names over all layers; `near`: attributes of names, alike in near layers; `layer`:
    every candidate of every layer; with `work` f[positions, width, quantities] its totals, and
    the same alike in near layers (where a layer lies is known, how large it is only by `work`).
    """
    places = genome.positions(space)
    vocabulary = tuple(dict.fromkeys(name for p in places for name in p.candidates))
    said = op_names.attributes(vocabulary)
    wide, depth = (
        max(genome.cardinalities(space)),
        np.array([position.edge[0] for position in places], float),
    )
    names = np.zeros((len(places), wide, len(vocabulary)))
    for p, position in enumerate(places):
        for o, name in enumerate(position.candidates):
            names[p, o, vocabulary.index(name)] = 1
    exists = names.sum(2, keepdims=True)
    found = {"tied": names}
    attributes = np.concatenate([names @ said, exists], 2)
    roots = [_root(depth, reach) for reach in REACH]
    for root, name in zip(roots, ("near", "nearer"), strict=True):
        found[name] = np.einsum("poa,pm->poma", attributes, root)
        found[f"{name} names"] = np.einsum("poa,pm->poma", names, root)
    scaled = None if work is None else _scaled(work, exists[..., 0] > 0)
    if scaled is not None and scaled.size:
        found["work"] = scaled
        found["near work"] = np.einsum("poa,pm->poma", scaled, roots[0])
    found["layer"] = np.einsum("poe,pm->pome", exists, np.eye(len(places)))[..., 0]
    found["layer"] = np.einsum("pom,oq->pomq", found["layer"], np.eye(wide))
    return {name: basis.reshape(len(places) * wide, -1) for name, basis in found.items()}


def features(
    space: Space, codes: np.ndarray, basis: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Groups of features of networks i[N, positions], f[N, F] each, not centred.

    Those of `bases`; `pair`: which two candidates follow each other, anywhere or at a place.
    """
    wide = max(genome.cardinalities(space))
    open_ = (codes[:, :, None] == np.arange(wide)).astype(float)
    flat = open_.reshape(len(codes), -1)
    found = {name: flat @ each for name, each in basis.items()}
    if codes.shape[1] > 1:
        line = open_[:, genome.chain_order(space)] - 1 / wide
        couples = line[:, :-1, :, None] * line[:, 1:, None, :]
        found["pair"] = couples.reshape(len(codes), -1)
        found["pair anywhere"] = couples.sum(1).reshape(len(codes), -1)
    return found


def _root(depth: np.ndarray, reach: float) -> np.ndarray:
    alike = np.exp(-np.abs(depth[:, None] - depth) / reach)
    return np.linalg.cholesky(alike + 1e-9 * np.eye(len(depth)))


def _scaled(work: np.ndarray, exists: np.ndarray) -> np.ndarray:
    """The quantities in standard deviations; one that all candidates have alike tells nothing."""
    here = work[exists]
    spread = here.std(0)
    told = spread > 1e-9 * np.abs(here).max(0, initial=0)
    return work[..., told] / spread[told]
