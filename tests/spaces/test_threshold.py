"""FairDARTS keeps what is open enough; a grid keeps its strongest path."""

import itertools

import numpy as np
import pytest

from jaxnas.spaces import choices, genotype
from jaxnas.spaces import discretise as spaces_discretise
from jaxnas.spaces.hypercuboid import choices as hypercuboid_choices
from jaxnas.spaces.hypercuboid import discretise

TINY = {"normal": choices.uniform(choices.dag(2, 2), ("skip_connect", "sep_conv_3x3"))}


def edges(rows, **settings):
    gates = {"normal": np.array(rows)}
    cell = spaces_discretise.above_threshold(TINY, gates, name="darts", **settings).cells["normal"]
    return cell.edges, cell.concat


def test_keeps_open_candidates_of_the_two_strongest_edges():
    rows = [[0.9, 0.95], [0.2, 0.86], [0.99, 0.1], [0.84, 0.0], [0.88, 0.97]]
    assert edges(rows) == (
        (
            (0, 2, "sep_conv_3x3"),
            (1, 2, "sep_conv_3x3"),
            (0, 3, "skip_connect"),
            (2, 3, "sep_conv_3x3"),
        ),
        (2, 3),
    )


def test_a_node_may_keep_fewer_edges():
    rows = [[0.9, 0.2], [0.2, 0.8], [0.1, 0.1], [0.86, 0.0], [0.3, 0.84]]
    assert edges(rows) == (((0, 2, "skip_connect"), (1, 3, "skip_connect")), (2, 3))
    assert len(edges(rows, threshold=0.83)[0]) == 3


def test_a_node_that_keeps_nothing_is_left_out_of_the_output():
    found, concat = edges([[0.1, 0.2], [0.2, 0.3], [0.9, 0.1], [0.0, 0.0], [0.1, 0.1]])
    assert found == ((0, 2, "none"), (0, 3, "skip_connect"))
    assert concat == (3,)
    cell = genotype.Cell(found, 2, concat)
    genotype.check(genotype.Genotype("mine", {"normal": cell}))


def test_refuses_what_would_keep_nothing():
    with pytest.raises(ValueError, match="No gate of 'normal' reaches 0.85, the largest is 0.5"):
        edges(np.full((5, 2), 0.5))
    for threshold in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            edges(np.full((5, 2), 0.9), threshold=threshold)
    with pytest.raises(ValueError, match="not finite"):
        edges(np.full((5, 2), np.nan))


GRID, WIDTHS = (
    hypercuboid_choices.hypercuboid(3, 2, ("none", "sep_conv_3x3", "max_pool_3x3")),
    (16, 32),
)


def test_the_strongest_path_is_the_best_of_all():
    rng = np.random.default_rng(0)
    for _ in range(10):
        gates = {name: rng.random(choice.shape) for name, choice in GRID.items()}
        ops = ("sep_conv_3x3", "max_pool_3x3")
        paths = {}
        for widths in itertools.product((0, 1), repeat=3):
            stops = (*widths, 1)
            for taken in itertools.product((0, 1), repeat=3):
                value, steps = 1.0, []
                for n, op in enumerate(taken):
                    i, j = stops[n], stops[n + 1]
                    value *= gates[f"layer_{n}"][2 * i + j, 1 + op]
                    steps.append((n, n + 1, f"{ops[op]}:{WIDTHS[i]}-{WIDTHS[j]}"))
                paths[tuple(steps)] = value
        best = max(paths, key=paths.get)
        assert discretise.strongest_path(GRID, gates, WIDTHS).cells["grid"].edges == best


def test_refuses_a_grid_without_a_path():
    gates = {name: np.zeros(choice.shape) for name, choice in GRID.items()}
    with pytest.raises(ValueError, match="No path"):
        discretise.strongest_path(GRID, gates, WIDTHS)
    with pytest.raises(ValueError, match="no layer of 3 widths"):
        discretise.strongest_path(GRID, gates, (8, 16, 32))
