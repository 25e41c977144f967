"""How much of a cell's dead branches a device executes, fitted to measured latencies.

    ms = floor + sum_w a_w executed_w + ...,    executed = live + sum_k s_k dead_k

`live_w`: count of operation w in the live graph; `dead_k`: counts of what nothing needs, of what
nothing enters, and of both (`graph_counts.dead`); shares s_k from 0 to 1. A compiler prunes them
all (s = 0), an eager runtime runs them all (s = 1); others run one kind, or run them faster. Dead
operations cost what live ones cost, times the share, so that few cells with dead branches tell it.
Fitted by alternation: the costs given s, then s by bounded least squares (our choice).
"""

import numpy as np
import scipy.optimize

from jaxnas.core.types import Space
from jaxnas.hardware.predict.features import cell_features, critical_path, graph_counts
from jaxnas.hardware.predict.regression import FLOOR

ROUNDS = 8  # of alternation
STARTS = (0.0, 1.0)  # nothing dead is executed, and all of it
MIN_NETWORKS = 2  # with dead branches of a kind: with fewer nothing tells its share
RIDGE = 0.01  # of features of mean square one


def shares(space: Space, networks: np.ndarray, ms: np.ndarray) -> tuple[float, ...] | None:
    """The share of each kind of dead branches that is executed; None if no network tells.

    Fitted to f[N] milliseconds of networks i[N, positions]. A kind in fewer than two networks has
    the least share of the others.
    """
    groups = cell_features.features(space, networks)
    live, dead = groups["live"].astype(float), dead_counts(space, networks)
    seen = [np.count_nonzero(counts.any(1)) >= MIN_NETWORKS for counts in dead]
    if not any(seen):
        return None
    scale = np.maximum(ms, FLOOR * np.median(ms))
    others = np.concatenate([np.ones((len(ms), 1)), groups["shared"], groups["path"]], 1)
    best, min_loss = None, np.inf
    for start in STARTS:
        current = np.full(len(dead), start)
        for _ in range(ROUNDS):
            executed = live + np.tensordot(current, dead, 1)
            rows = np.concatenate([executed, others], 1) / scale[:, None]
            loss, costs = critical_path.nonnegative_least_squares(rows, ms / scale)
            if loss < min_loss:
                best, min_loss = current, loss
            of_kind = (dead @ costs[: live.shape[1]])[seen].T / scale[:, None]
            rest = (ms - np.concatenate([live, others], 1) @ costs) / scale
            if not of_kind.any():
                break
            ridge = RIDGE * np.sqrt(len(ms) * (of_kind**2).mean()) * np.eye(of_kind.shape[1])
            solution = scipy.optimize.lsq_linear(
                np.concatenate([of_kind, ridge]),
                np.append(rest, ridge @ current[seen]),
                bounds=(0, 1),
            )
            previous, current = current, np.full(len(dead), solution.x.min())
            current[seen] = solution.x
            if np.abs(current - previous).max() < 1e-3:
                break
    return None if best is None else tuple(best.tolist())


def dead_counts(space: Space, networks: np.ndarray) -> np.ndarray:
    """f64[kinds, N, F]: `graph_counts.dead` of all choices, beside each other as in `features`."""
    groups = cell_features.features(space, networks)
    families = {name: [groups[name]] for name in graph_counts.FAMILIES}
    return np.stack([counts for (counts,) in graph_counts.dead(families)]).astype(float)
