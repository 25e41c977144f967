"""The networks that gates may mean, each with the probability that a draw is deployed as it."""

from typing import NamedTuple

import numpy as np

from jaxnas.core.types import Gates
from jaxnas.hardware import cost
from jaxnas.spaces import genome, registry
from jaxnas.strategies import codes, laws

DRAWS, FLATTER = 2000, (1.0, 2.0, 4.0, 8.0)  # of larger spaces; powers 1 / f of the gates
LEAST = 1e-9  # a gate that is shut may still be drawn: a target may leave nothing else


class Pool(NamedTuple):
    networks: np.ndarray  # i64[N, positions], different, as they are deployed
    log_probability: np.ndarray  # f64[N]


def pool(entry: registry.Entry, gates: Gates, seed: int = 0) -> Pool:
    """All networks of a small space, else those drawn from the gates and from flatter ones.

    How they are drawn is the space's law. In a space of cells a network stands for all that are
    deployed as it; those of which nothing reaches the output are left out.
    """
    law = laws.of(entry)
    shares = law.shares({name: np.asarray(gate, float) for name, gate in gates.items()})
    rows = [np.maximum(np.asarray(row, float), LEAST) for row in law.rows(shares)]
    rows = [row / row.sum() for row in rows]
    if laws.by_edges(entry) and genome.enumerable(entry.space):
        every = np.concatenate(list(genome.enumerate_all(entry.space)))
    else:
        every = _drawn(rows, seed)
    each = np.stack([np.log(row)[every[:, d]] for d, row in enumerate(rows)], 1)
    # What had no say may have come out in any way: networks are counted once.
    networks, first = np.unique(law.network(every, np), axis=0, return_index=True)
    log_probability = np.where(law.told(every), each, 0.0).sum(1)[first]
    deployed = codes.pruned(entry, networks)
    alive = cost.lives(entry, deployed)
    networks, member = np.unique(deployed[alive], axis=0, return_inverse=True)
    total = np.full(len(networks), -np.inf)
    np.logaddexp.at(total, member.ravel(), log_probability[alive])
    return Pool(networks, total)


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
