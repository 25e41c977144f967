"""The networks that gates may mean, each with the probability that a draw is deployed as it."""

from typing import NamedTuple

import numpy as np

from jaxnas import catalogue, target_terms
from jaxnas.latency import layout
from jaxnas.target import aims, codes
from jaxnas.types import Gates

DRAWS, FLATTER = 2000, (1.0, 2.0, 4.0, 8.0)  # of larger spaces; powers 1 / f of the gates
LEAST = 1e-9  # a gate that is shut may still be drawn: a target may leave nothing else


class Pool(NamedTuple):
    networks: np.ndarray  # i64[N, positions], different, as they are deployed
    log_probability: np.ndarray  # f64[N]


def pool(entry: catalogue.Entry, gates: Gates, seed: int = 0) -> Pool:
    """All networks of a small space, else those drawn from the gates and from flatter ones.

    In a space of cells a network stands for all that are deployed as it; those of which nothing
    reaches the output are left out. Gates of an edge count as shares of their sum.
    """
    rows = _rows(entry, gates)
    if layout.enumerable(entry.space):
        every = np.concatenate(list(layout.everything(entry.space)))
    else:
        every = _drawn(rows, seed)
    log_probability = sum(np.log(row)[every[:, p]] for p, row in enumerate(rows))
    deployed = codes.pruned(entry, every)
    alive = aims.lives(entry, deployed)
    networks, member = np.unique(deployed[alive], axis=0, return_inverse=True)
    total = np.full(len(networks), -np.inf)
    np.logaddexp.at(total, member.ravel(), log_probability[alive])
    return Pool(networks, total)


def _rows(entry: catalogue.Entry, gates: Gates) -> list[np.ndarray]:
    layout.check_gates(entry.space, gates)
    plain = {name: np.asarray(gate, float) for name, gate in gates.items()}
    shares = target_terms.normalised(plain)
    found = [np.maximum(shares[p.choice][p.row], LEAST) for p in layout.positions(entry.space)]
    return [row / row.sum() for row in found]


def _drawn(rows: list[np.ndarray], seed: int) -> np.ndarray:
    random, drawn = np.random.default_rng(seed), [np.array([[row.argmax() for row in rows]])]
    for flatter in FLATTER:
        columns = []
        for row in rows:
            ends = np.cumsum(row ** (1 / flatter))
            at = np.searchsorted(ends, random.random(DRAWS) * ends[-1], side="right")
            columns.append(np.minimum(at, len(row) - 1))
        drawn.append(np.stack(columns, 1))
    return np.unique(np.concatenate(drawn), axis=0)
