"""The stages of a search: random genotypes to compare with, and the figures of an epoch."""

import numpy as np
import pytest

from jaxnas.pipelines import search_stages
from jaxnas.spaces import dataflow, registry


@pytest.mark.parametrize("name", ["darts", "darts-s1", "nasbench201"])
def test_random_cells_are_seeded_and_as_large_as_found_ones(name):
    space = registry.get(name)
    cells = [search_stages.random_genotype(space, seed) for seed in (0, 0, 1)]
    assert cells[0] == cells[1] != cells[2]
    gates = {name: np.ones(choice.shape) for name, choice in space.choices.items()}
    for name, cell in space.discretise(space.choices, gates).cells.items():
        assert len(cells[0].cells[name].edges) == len(cell.edges)
        assert cells[0].cells[name].concat == cell.concat


def test_random_cells_take_every_candidate_and_every_pair_alike():
    space = registry.get("darts")
    edges = [
        e for s in range(400) for e in search_stages.random_genotype(space, s).cells["normal"].edges
    ]
    ops = [op for _, _, op in edges]
    for name in space.choices["normal"].candidates[0]:
        share = ops.count(name) / len(ops)
        assert name == "none" or share == pytest.approx(1 / 7, abs=0.02), name
    sources = [source for source, target, _ in edges if target == 5]
    for source in range(5):
        assert sources.count(source) / len(sources) == pytest.approx(1 / 5, abs=0.04)


def test_entropy_and_skips_are_counted():
    space = registry.get("darts-s2")
    gates = {name: np.tile([1.0, 0.0], (14, 1)) for name in space.choices}
    gates["reduce"] = np.full((14, 2), 0.5)
    measured = search_stages.gate_metrics(
        space.choices, gates, space.discretise(space.choices, gates)
    )
    assert measured["gates/entropy"] == pytest.approx(np.log(2) / 2)
    # Ties go to the candidate listed first, a skip.
    assert measured["gates/skips/normal"] == measured["gates/skips/reduce"] == 8
    assert measured["gates/skips"] == 16
    assert search_stages.skip_limits(space) == {"normal": 5, "reduce": 5}


def test_a_space_without_skips_has_no_limit_for_them():
    assert search_stages.skip_limits(registry.get("darts-s4")) == {}


def test_random_genotypes_of_comparisons_are_connected():
    space = registry.get("nasbench201")
    for seed in range(200):
        assert dataflow.is_connected(search_stages.random_genotype(space, seed))
