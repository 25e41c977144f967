"""Random genotypes, which found ones are compared with."""

import numpy as np
import pytest

from jaxnas.spaces import dataflow, registry, sampling


@pytest.mark.parametrize("name", ["darts", "darts-s1", "nasbench201"])
def test_random_cells_are_seeded_and_as_large_as_found_ones(name):
    space = registry.get(name)
    cells = [sampling.random_genotype(space, seed) for seed in (0, 0, 1)]
    assert cells[0] == cells[1] != cells[2]
    gates = {name: np.ones(choice.shape) for name, choice in space.choices.items()}
    for name, cell in space.discretise(space.choices, gates).cells.items():
        assert len(cells[0].cells[name].edges) == len(cell.edges)
        assert cells[0].cells[name].concat == cell.concat


def test_random_cells_take_every_candidate_and_every_pair_alike():
    space = registry.get("darts")
    edges = [
        e for s in range(400) for e in sampling.random_genotype(space, s).cells["normal"].edges
    ]
    ops = [op for _, _, op in edges]
    for name in space.choices["normal"].candidates[0]:
        share = ops.count(name) / len(ops)
        assert name == "none" or share == pytest.approx(1 / 7, abs=0.02), name
    sources = [source for source, target, _ in edges if target == 5]
    for source in range(5):
        assert sources.count(source) / len(sources) == pytest.approx(1 / 5, abs=0.04)


def test_random_genotypes_of_comparisons_are_connected():
    space = registry.get("nasbench201")
    for seed in range(200):
        assert dataflow.is_connected(sampling.random_genotype(space, seed))
