"""Placement of devices: exact for few, good for many, and without effect on the result."""

import itertools

import numpy as np
import pytest

from jaxnas.core import placement


def clusters(count, slow, mixed):
    """f64[count, count]: two clusters, interleaved if `mixed`, with 1 inside and `slow` between."""
    cluster = np.arange(count) % 2 if mixed else np.arange(count) * 2 // count
    return np.where(cluster[:, None] == cluster, 1.0, slow)


def test_a_ring_takes_twice_its_bytes_less_one_part_over_the_slowest_link():
    bandwidth = np.array([[0, 4, 2, 4], [4, 0, 4, 1], [2, 4, 0, 4], [4, 1, 4, 0]], float)
    ring = placement.seconds(bandwidth, np.arange(4), [8.0])
    assert ring == 2 * 3 / 4 * 8 / 4
    assert placement.seconds(bandwidth, np.array([0, 2, 1, 3]), [8.0]) == 2 * 3 / 4 * 8 / 1
    # Rows reduce along the second axis at once: the slower pair counts; then columns.
    mesh = np.array([[0, 1], [2, 3]])
    assert placement.seconds(bandwidth, mesh, [0.0, 8.0]) == 8 / 4
    assert placement.seconds(bandwidth, mesh, [8.0, 8.0], 0.5) == 8 / 1 + 1 + 8 / 4 + 1


@pytest.mark.parametrize("seed", range(3))
def test_exchanges_find_what_every_order_finds(seed, monkeypatch):
    drawn = np.random.default_rng(seed).choice([1.0, 2.0, 5.0, 10.0], (6, 6))
    bandwidth = np.minimum(drawn, drawn.T)
    axes, volume = {"batch": 3, "population": 2}, {"batch": 8.0, "population": 1.0}
    exact = placement.plan(bandwidth, axes, volume)
    every = min(
        placement.seconds(bandwidth, np.reshape(order, (3, 2)), [8.0, 1.0])
        for order in itertools.permutations(range(6))
    )
    assert exact.seconds == every
    monkeypatch.setattr(placement, "EXACT", 0)
    assert placement.plan(bandwidth, axes, volume).seconds == pytest.approx(every)


def test_the_talkative_axis_stays_within_clusters():
    bandwidth = clusters(8, 0.1, mixed=True)
    axes, volume = {"population": 2, "batch": 4}, {"batch": 10.0, "population": 0.1}
    found = placement.plan(bandwidth, axes, volume)
    assert {tuple(sorted(row)) for row in found.devices} == {(0, 2, 4, 6), (1, 3, 5, 7)}
    naive = placement.seconds(bandwidth, np.arange(8).reshape(2, 4), [0.1, 10.0])
    assert naive > 2 * found.seconds


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="8 devices of .* need a symmetric bandwidth .8, 8."):
        placement.plan(clusters(6, 0.1, False), {"batch": 8}, {"batch": 1.0})
    with pytest.raises(ValueError, match="model is no axis of the mesh: batch"):
        placement.plan(clusters(4, 0.1, False), {"batch": 4}, {"model": 1.0})
    with pytest.raises(ValueError, match="every pair of devices needs a link"):
        placement.plan(clusters(4, 0.0, False), {"batch": 4}, {"batch": 1.0})
