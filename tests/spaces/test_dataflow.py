"""Live edges and longest paths are those that all paths through a cell, one by one, say."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.spaces import choices, dataflow, genome, registry
from jaxnas.spaces.darts import choices as darts_choices
from jaxnas.spaces.dataflow import CellGraph
from jaxnas.spaces.genotype import Cell, Genotype
from jaxnas.spaces.nasbench201 import choices as nasbench201_choices

BENCHMARK = dataflow.of_choice(nasbench201_choices.nasbench201()["cell"])
DARTS = dataflow.of_choice(darts_choices.darts(3)["normal"])
# Edges are missing, a node leads nowhere, and the output is not all that is made.
SPARSE = CellGraph(((0, 2), (0, 3), (2, 3), (1, 4), (2, 5), (4, 5)), 6, (0, 1), (3, 5))
GRAPHS = pytest.mark.parametrize(
    "graph", [BENCHMARK, DARTS, SPARSE], ids=["benchmark", "darts", "sparse"]
)


def masks(graph, count=60, seed=0):
    """bool[N, edges]: all, where they are few, else some of each density."""
    edges = len(graph.edges)
    if edges <= 6:
        return np.array(list(itertools.product((False, True), repeat=edges)))
    random = np.random.default_rng(seed)
    return random.random((count, edges)) < random.random((count, 1))


def all_paths(graph, present):
    """Every sequence of edges that are present, each of which begins where the last one ended."""
    paths = []

    def follow(path):
        if path:
            paths.append(tuple(path))
        for e, (source, _) in enumerate(graph.edges):
            if present[e] and (not path or graph.edges[path[-1]][1] == source):
                follow([*path, e])

    follow([])
    return paths


def live_by_paths(graph, present, sources):
    """Edges of a path from an input, or from an edge that makes data, to an output."""
    begins = lambda e: graph.edges[e][0] in graph.inputs or sources[e]
    ends = lambda e: graph.edges[e][1] in graph.outputs
    through = [p for p in all_paths(graph, present) if begins(p[0]) and ends(p[-1])]
    return np.isin(np.arange(len(graph.edges)), list(itertools.chain(*through)))


@GRAPHS
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_live_edges_are_those_of_a_path_from_data_to_an_output(graph, share):
    present = masks(graph)
    sources = np.random.default_rng(1).random(present.shape) < share
    expected = [live_by_paths(graph, *row) for row in zip(present, sources, strict=True)]
    np.testing.assert_array_equal(dataflow.live_edges(graph, present, sources), expected)


@GRAPHS
def test_what_is_reached_and_what_reaches_is_the_same_in_jax(graph):
    present = masks(graph)
    for function in (dataflow.reached, dataflow.reaching):
        there = function(graph, jnp.asarray(present), jnp)
        np.testing.assert_array_equal(there, function(graph, present))
    filled = dataflow.reached(graph, present)
    for row, of_row in zip(present, filled, strict=True):
        ends = {graph.edges[p[-1]][1] for p in all_paths(graph, row) if graph.edges[p[0]][0] in
                graph.inputs} | set(graph.inputs)  # fmt: skip
        assert of_row.tolist() == [source in ends for source, _ in graph.edges]


@GRAPHS
@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_the_longest_path_is_the_longest_of_all(graph, xp):
    live, random = masks(graph), np.random.default_rng(2)
    lengths = random.random((*live.shape, 2)).astype(np.float32)
    addition = np.array([0.0, 0.3], np.float32)
    into = np.array([target for _, target in graph.edges])
    found = dataflow.longest_path(graph, xp.asarray(live), xp.asarray(lengths), addition, xp)
    assert len(found) == graph.nodes
    for n, row in enumerate(live):
        # A node adds up what enters it: one addition for each edge after its first.
        added = [max((row & (into == node)).sum() - 1, 0) * addition for node in range(graph.nodes)]
        longest = np.array(added)
        for path in all_paths(graph, row):
            nodes = [graph.edges[path[0]][0], *(graph.edges[e][1] for e in path)]
            length = lengths[n, list(path)].sum(0) + sum(added[node] for node in nodes)
            longest[nodes[-1]] = np.maximum(longest[nodes[-1]], length)
        np.testing.assert_allclose([node[n] for node in found], longest, rtol=1e-5)


def test_the_longest_path_keeps_the_precision_of_its_lengths():
    live = np.ones((1, 6), bool)
    for dtype in (np.float32, np.float64):
        lengths = np.full((1, 6, 1), 0.1, dtype)
        found = dataflow.longest_path(BENCHMARK, live, lengths, np.zeros(1, dtype))
        assert {node.dtype for node in found} == {np.dtype(dtype)}


def test_the_graph_of_a_choice_has_its_inputs_and_outputs():
    assert BENCHMARK[1:] == (4, (0,), (3,))
    assert DARTS[1:] == (5, (0, 1), (2, 3, 4))
    assert dataflow.summands(BENCHMARK, np.ones((1, 6), bool)) == [0, 1, 2, 3]


def random_cell(random):
    """A cell whose edges stand in any order, some nodes of which are no output."""
    names = ("none", "skip_connect", "sep_conv_3x3", dataflow.NOISE)
    chances = (0.35, 0.3, 0.3, 0.05)
    edges = [(s, t, str(random.choice(names, p=chances))) for s, t in choices.dag(2, 3)]
    random.shuffle(edges)
    concat = sorted(random.choice((2, 3, 4), random.integers(1, 4), replace=False).tolist())
    return Cell(tuple((int(s), int(t), op) for s, t, op in edges), 2, tuple(concat))


def test_dead_edges_of_a_genotype_become_none_where_they_stand():
    random, connected = np.random.default_rng(3), set()
    for _ in range(60):
        cells = {"normal": random_cell(random), "reduce": random_cell(random)}
        pruned = dataflow.remove_dead_edges(Genotype("mine", cells))
        reach = []
        for name, cell in cells.items():
            graph = CellGraph(tuple(edge[:2] for edge in cell.edges), 5, (0, 1), cell.concat)
            present = np.array([op != "none" for _, _, op in cell.edges])
            sources = np.array([op == dataflow.NOISE for _, _, op in cell.edges])
            live = live_by_paths(graph, present, sources)
            assert pruned.cells[name] == cell._replace(
                edges=tuple(
                    (s, t, op if alive else "none")
                    for (s, t, op), alive in zip(cell.edges, live, strict=True)
                )
            )
            reach.append(live.any())
        assert dataflow.remove_dead_edges(pruned) == pruned
        assert dataflow.is_connected(Genotype("mine", cells)) == all(reach)
        connected.add(all(reach))
    assert connected == {True, False}


def test_an_isomorph_has_the_same_paths_and_is_of_the_space():
    space, random, count = nasbench201_choices.nasbench201(), np.random.default_rng(4), 0
    names = space["cell"].candidates[0]
    ops_of_paths = lambda genotype: sorted(
        tuple(genotype.cells["cell"].edges[e][2] for e in path)
        for path in all_paths(BENCHMARK, np.ones(6, bool))
        if BENCHMARK.edges[path[0]][0] == 0 and BENCHMARK.edges[path[-1]][1] == 3
        if all(genotype.cells["cell"].edges[e][2] != "none" for e in path)
    )
    for _ in range(80):
        edges = tuple((s, t, str(random.choice(names))) for s, t in choices.dag(1, 3))
        genotype = Genotype("nasbench201", {"cell": Cell(edges, 1, (3,))})
        other = dataflow.isomorph(genotype, space)
        if other is not None:
            count += 1
            assert other != genotype and dataflow.isomorph(other, space) == genotype
            assert ops_of_paths(other) == ops_of_paths(genotype)
    assert count > 5


def test_connected_networks_of_a_space_are_those_whose_genotypes_are():
    space = registry.get("nasbench201")
    networks = genome.sample_uniform(space.choices, 300, seed=0)
    one_by_one = [dataflow.is_connected(space.genome.decode(row)) for row in networks]
    assert dataflow.connected(space.choices, networks).tolist() == one_by_one
    assert not all(one_by_one)


def test_dead_outputs_are_nodes_that_no_data_reach():
    edges = ((0, 2, "skip_connect"), (1, 2, "none"), (0, 3, "none"), (1, 3, "none"))
    cell = Cell(edges, 2, (2, 3))
    assert dataflow.dead_outputs(Genotype("mine", {"normal": cell})) == {"normal": [3]}
    assert dataflow.dead_outputs(Genotype("mine", {"normal": cell._replace(concat=(2,))})) == {}
