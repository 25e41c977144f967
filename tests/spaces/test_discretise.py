"""Gates choose as the papers' code does."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.spaces import choices as spaces_choices
from jaxnas.spaces import discretise, genome
from jaxnas.spaces.darts import choices as darts_choices
from jaxnas.spaces.darts import genotypes as published
from jaxnas.spaces.genotype import Cell, Genotype
from jaxnas.spaces.nasbench201 import choices as nasbench201_choices
from tests import toy

TINY = {
    "normal": spaces_choices.uniform(
        spaces_choices.dag(2, 2), ("none", "skip_connect", "sep_conv_3x3")
    )
}


def gates(rows):
    return {"normal": np.array(rows, np.float32)}


def edges(rows, **settings):
    return (
        discretise.top_edges_per_node(TINY, gates(rows), name="darts", **settings)
        .cells["normal"]
        .edges
    )


def test_keeps_the_two_strongest_edges_of_a_node_strongest_first():
    rows = [[0, 0.1, 0.2], [0, 0.5, 0.3], [0, 0.6, 0], [0, 0, 0.1], [0, 0, 0.9]]
    assert edges(rows) == (
        (1, 2, "skip_connect"),
        (0, 2, "sep_conv_3x3"),
        (2, 3, "sep_conv_3x3"),
        (0, 3, "skip_connect"),
    )


def test_none_is_neither_chosen_nor_makes_an_edge_strong():
    rows = [[0.9, 0.06, 0.04]] * 2 + [[0.98, 0.01, 0.01], [0.5, 0.2, 0.3], [0.4, 0.1, 0.5]]
    assert edges(rows) == (
        (0, 2, "skip_connect"),
        (1, 2, "skip_connect"),
        (2, 3, "sep_conv_3x3"),
        (1, 3, "sep_conv_3x3"),
    )


def test_ties_go_to_the_lower_source_and_the_first_candidate():
    assert edges([[1 / 3, 1 / 3, 1 / 3]] * 5) == tuple(
        (source, target, "skip_connect") for target in (2, 3) for source in (0, 1)
    )


def test_keeps_as_many_edges_as_asked():
    assert len(edges(np.eye(5, 3), keep=1)) == 2
    with pytest.raises(ValueError, match="2 edges enter node 2, of which 3"):
        edges(np.eye(5, 3), keep=3)
    with pytest.raises(ValueError, match="of which 0"):
        edges(np.eye(5, 3), keep=0)


def test_one_hot_gates_give_the_published_genotype_back():
    """Up to the order within a node, which one-hot gates do not tell."""
    wanted = published.PUBLISHED["DARTS_V2"]
    choices = darts_choices.darts()
    hot = {
        name: jnp.array(
            [
                [any(e == (s, t, op) for e in wanted.cells[name].edges) for op in ops]
                for (s, t), ops in zip(choice.edges, choice.candidates, strict=True)
            ],
            float,
        )
        for name, choice in choices.items()
    }
    found = discretise.top_edges_per_node(choices, hot, name="darts")
    for name, cell in wanted.cells.items():
        assert sorted(found.cells[name].edges) == sorted(cell.edges)
        assert found.cells[name][1:] == cell[1:]
    assert found.space == "darts"


def test_argmax_keeps_every_edge_and_none_too():
    rows = np.zeros((6, 5))
    for row, best in enumerate([3, 0, 1, 4, 2, 0]):
        rows[row, best] = 1
    space = nasbench201_choices.nasbench201()
    found = discretise.argmax_per_edge(space, {"cell": jnp.array(rows)}, name="nasbench201")
    assert found.cells["cell"] == Cell(
        (
            (0, 1, "nor_conv_3x3"), (0, 2, "none"), (1, 2, "skip_connect"),
            (0, 3, "avg_pool_3x3"), (1, 3, "nor_conv_1x1"), (2, 3, "none"),
        ),
        1,
        (3,),
    )  # fmt: skip


def test_a_cell_without_a_path_becomes_the_likeliest_one_that_has_one():
    space = nasbench201_choices.nasbench201()
    plain = functools.partial(discretise.argmax_per_edge, name="nasbench201")
    select = lambda rows: discretise.connected(plain, space, {"cell": rows})
    rows = np.tile([0.6, 0.1, 0.1, 0.1, 0.1], (6, 1))
    rows[0] = [0.4, 0.0, 0.35, 0.15, 0.1]  # 0 -> 1 opens for 35 of 40: and then 1 -> 3
    rows[4] = [0.3, 0.4, 0.1, 0.1, 0.1]
    rows[3] = [0.5, 0.0, 0.0, 0.4, 0.1]  # 0 -> 3 alone: 40 of 50, which is less likely
    edges = dict(((s, t), op) for s, t, op in select(rows).cells["cell"].edges)
    kept = {edge: op for edge, op in edges.items() if op != "none"}
    assert kept == {(0, 1): "nor_conv_1x1", (1, 3): "skip_connect"}
    rows[3] = [0.5, 0.0, 0.0, 0.49, 0.01]
    assert dict(((s, t), op) for s, t, op in select(rows).cells["cell"].edges)[0, 3] != "none"
    # What is connected is left alone.
    rows[3] = [0.1, 0.0, 0.0, 0.8, 0.1]
    assert select(rows) == plain(space, {"cell": rows})


def test_edges_may_list_different_candidates():
    key = jax.random.key(0)
    choices = darts_choices.s1()
    found = discretise.top_edges_per_node(
        choices,
        {name: jax.random.uniform(key, c.shape) for name, c in choices.items()},
        name="darts",
    )
    for name, choice in choices.items():
        allowed = dict(zip(choice.edges, choice.candidates, strict=True))
        assert all(op in allowed[s, t] for s, t, op in found.cells[name].edges)


@pytest.mark.parametrize("select", [discretise.top_edges_per_node, discretise.argmax_per_edge])
def test_refuses_gates_of_no_use(select):
    with pytest.raises(ValueError, match="not finite"):
        select(TINY, gates([[0, np.nan, 0]] * 5), name="tiny")
    with pytest.raises(ValueError, match=r"\(4, 3\), expected \(5, 3\)"):
        select(TINY, gates([[0, 1, 0]] * 4), name="tiny")
    with pytest.raises(ValueError, match="missing"):
        select(TINY, {}, name="tiny")


def test_refuses_an_edge_with_nothing_to_keep():
    with pytest.raises(ValueError, match="only candidate"):
        discretise.top_edges_per_node(
            {"normal": spaces_choices.uniform(spaces_choices.dag(2, 1), ("none",))},
            gates([[1], [1]]),
            name="tiny",
        )


@pytest.mark.parametrize("share", [0.0, 0.4], ids=["all steps", "some steps"])
def test_the_best_path_is_the_best_of_all_paths(share):
    random, sizes = np.random.default_rng(0), (3, 4, 1, 4, 2)
    for _ in range(30):
        scores = [random.normal(size=size) for size in sizes]
        steps = [random.normal(size=pair) for pair in itertools.pairwise(sizes)]
        steps = [np.where(random.random(step.shape) < share, -np.inf, step) for step in steps]
        totals = {}
        for path in itertools.product(*map(range, sizes)):
            joined = sum(
                step[pair] for step, pair in zip(steps, itertools.pairwise(path), strict=True)
            )
            totals[path] = joined + sum(row[o] for row, o in zip(scores, path, strict=True))
        total, path = discretise.best_path(scores, steps)
        assert total == pytest.approx(max(totals.values()))
        if np.isfinite(total):
            assert tuple(path) == max(totals, key=totals.get)


def test_equal_paths_take_the_candidates_listed_first():
    scores = [np.zeros(3), np.zeros(2), np.array([0.0, 1.0, 1.0])]
    steps = [np.zeros((3, 2)), np.zeros((2, 3))]
    assert discretise.best_path(scores, steps) == (1.0, [0, 0, 1])
    steps[1][0] = -np.inf
    assert discretise.best_path(scores, steps) == (1.0, [0, 1, 1])
    assert discretise.best_path([np.array([2.0, 5.0, 5.0])], []) == (5.0, [1])


def test_no_path_is_worth_nothing_at_all():
    shut = [np.full((2, 2), -np.inf)]
    assert discretise.best_path([np.zeros(2)] * 2, shut)[0] == -np.inf


def test_gates_of_a_genotype_are_one_where_it_chose_and_zero_elsewhere():
    space = toy.supernet().space
    cells = {
        "normal": Cell(((0, 1, "tanh"), (1, 2, "identity")), 1, (2,)),
        "reduce": Cell(((0, 1, "identity"),), 1, (1,)),
    }
    gates = genome.one_hot(space, genome.encode(space, Genotype("toy", cells)))
    np.testing.assert_array_equal(gates["normal"], [[0, 0, 1, 0], [0] * 4, [0, 1, 0, 0]])
    np.testing.assert_array_equal(gates["reduce"], [[1, 0]])


def test_selecting_from_gates_of_a_genotype_gives_it_back():
    space = toy.supernet().space
    random = np.random.default_rng(0)
    gates = {name: random.random(choice.shape) for name, choice in space.items()}
    found = discretise.argmax_per_edge(space, gates, name="toy")
    one_hot = genome.one_hot(space, genome.encode(space, found))
    assert discretise.argmax_per_edge(space, one_hot, name="toy") == found
