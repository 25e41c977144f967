"""Which device goes where in a mesh, so that the axes that talk most have the fastest links.

The problem of Holmes, https://arxiv.org/abs/2312.03549, for JAX meshes: clusters whose links inside
are faster than those between.
"""

import itertools
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

EXACT = 7  # devices: up to so many every order is tried


class Plan(NamedTuple):
    """An order of devices, and the modelled seconds of the communication of a step."""

    devices: np.ndarray  # i64[mesh shape]: `np.array(jax.devices())[devices]` for jax.sharding.Mesh
    seconds: float


def plan(
    bandwidth: np.ndarray,
    axes: Mapping[str, int],
    volume: Mapping[str, float],
    latency: float = 0.0,
) -> Plan:
    """The mesh of least modelled communication; exact for up to 7 devices, else by exchanges.

    `bandwidth`: f64[n, n], bytes a second between devices, symmetric. `axes`: names and sizes of
    the mesh, whose product is n. `volume`: bytes that each device reduces along an axis a step.
    `latency`: seconds of a message. Raises ValueError for other shapes, axes and numbers.
    """
    bandwidth = np.asarray(bandwidth, float)
    count = math.prod(axes.values())
    if bandwidth.shape != (count, count) or not np.allclose(bandwidth, bandwidth.T):
        raise ValueError(
            f"{count} devices of {dict(axes)} need a symmetric bandwidth [{count}, {count}], not "
            f"{list(bandwidth.shape)}."
        )
    if unknown := set(volume) - set(axes):
        raise ValueError(f"{sorted(unknown)[0]} is no axis of the mesh: {', '.join(axes)}.")
    if not (bandwidth[~np.eye(count, dtype=bool)] > 0).all():
        raise ValueError("A bandwidth is not above 0: every pair of devices needs a link.")
    shape = tuple(axes.values())
    of_axis = [volume.get(axis, 0.0) for axis in axes]
    cost = lambda order: seconds(bandwidth, np.reshape(order, shape), of_axis, latency)
    if count <= EXACT:
        orders = map(np.array, itertools.permutations(range(count)))
        best = min(orders, key=cost)
    else:
        starts = [np.arange(count), *(_chain(bandwidth, first) for first in range(count))]
        best = min((_exchanged(start, cost) for start in starts), key=cost)
    return Plan(best.reshape(shape), cost(best))


def seconds(
    bandwidth: np.ndarray, devices: np.ndarray, volume: list[float], latency: float = 0.0
) -> float:
    """The modelled time of a step's all-reduces, axis after axis, for devices in a mesh.

    A ring of n devices takes 2 (n - 1) / n bytes / (slowest link) + 2 (n - 1) latency; the rings
    of an axis run at once, and the slowest counts.
    """
    total = 0.0
    for axis, amount in enumerate(volume):
        rings = np.moveaxis(devices, axis, -1).reshape(-1, devices.shape[axis])
        n = rings.shape[1]
        if n == 1 or not amount:
            continue
        slowest = bandwidth[rings, np.roll(rings, -1, 1)].min()
        total += 2 * (n - 1) / n * amount / slowest + 2 * (n - 1) * latency
    return float(total)


def _chain(bandwidth: np.ndarray, first: int) -> np.ndarray:
    """Devices from `first` on, always the one with the fastest link to those before."""
    order, left = [first], set(range(len(bandwidth))) - {first}
    while left:
        order.append(max(left, key=lambda d: (bandwidth[order, d].sum(), -d)))
        left.remove(order[-1])
    return np.array(order)


def _exchanged(order: np.ndarray, cost) -> np.ndarray:
    """The order after exchanges of two devices, until none is faster."""
    best = cost(order)
    improved = True
    while improved:
        improved = False
        for i, j in itertools.combinations(range(len(order)), 2):
            other = order.copy()
            other[[i, j]] = order[[j, i]]
            if (found := cost(other)) < best * (1 - 1e-12):
                order, best, improved = other, found, True
    return order
