"""Nearest designs: conditions hold, and codes of few bits find what exact search finds."""

import numpy as np
import pytest

from jaxnas.strategies import neighbours
from jaxnas.strategies.designs import design_space, features
from tests.strategies.toys import CELLS


def embedded():
    """f64[cells, 16]: all cells of NAS-Bench-201, one-hot, projected at random."""
    rows = np.concatenate(list(design_space.enumerate_all(CELLS)))
    one_hot = features.one_hot(CELLS, rows)
    return one_hot @ np.random.default_rng(0).normal(size=(one_hot.shape[1], 16))


def test_returns_what_is_allowed_alone_and_all_of_it_where_it_is_little():
    points = np.array([[0.0], [1.0], [2.0], [3.0], [4.0]])
    allowed = np.array([False, True, False, True, True])
    np.testing.assert_array_equal(neighbours.nearest(points, np.array([0.2]), 2, allowed), [1, 3])
    found = neighbours.nearest(points, np.array([0.2]), 9, allowed)
    np.testing.assert_array_equal(found, [1, 3, 4])
    index = neighbours.build(points, 8)
    np.testing.assert_array_equal(neighbours.search(index, np.array([0.2]), 2, allowed), [1, 3])


def test_bits_go_where_the_energy_is():
    np.testing.assert_array_equal(
        neighbours.bits_by_energy(np.array([64.0, 8.0, 1.0]), 5), [3, 2, 0]
    )
    bits = neighbours.bits_by_energy(np.array([9.0, 5.0, 2.0, 0.1]), 48)
    assert bits.sum() == 48 and (np.diff(bits) <= 0).all()


def test_codes_of_a_tenth_of_the_bytes_find_the_ten_nearest():
    points = embedded()
    index = neighbours.build(points, 48)
    assert index.codes.shape[1] <= 0.1 * 4 * points.shape[1]  # against float32
    random = np.random.default_rng(1)
    queries = random.integers(0, len(points), 100)
    exact, by_codes, plain = [], [], []
    for query in points[queries] + random.normal(size=(100, 16)) * 0.5:
        exact.append(set(neighbours.nearest(points, query, 10).tolist()))
        by_codes.append(set(neighbours.search(index, query, 10, features=points).tolist()))
        plain.append(set(neighbours.search(index, query, 10).tolist()))
    recall = lambda found: np.mean([len(a & b) / 10 for a, b in zip(found, exact, strict=True)])
    assert recall(by_codes) >= 0.98, recall(by_codes)
    assert recall(plain) < recall(by_codes)


def test_codes_are_whole_bytes():
    with pytest.raises(ValueError, match="whole bytes, not 3 rows and 12 bits"):
        neighbours.build(np.eye(3), 12)
