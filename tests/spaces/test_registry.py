"""Every space is found by its name, and by the genotypes and notations of its networks."""

import json

import numpy as np
import pytest

from jaxnas.spaces import genome, registry, search_space
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces.darts import choices as darts_choices
from jaxnas.spaces.darts import genotypes as published
from jaxnas.spaces.darts import notation as darts_notation
from jaxnas.spaces.genotype import Cell, Genotype, GenotypeError
from jaxnas.spaces.nasbench201 import notation as nasbench201_notation
from jaxnas.spaces.user.user_space import UserSpaceError

DARTS_V2 = published.PUBLISHED["DARTS_V2"]
USERS = """
from jaxnas.types import Choice

SPACE = {"normal": Choice(((0, 2), (1, 2)), (("skip_connect", "sep_conv_3x3"),) * 2)}
"""


def drawn(space, seed=0):
    random = np.random.default_rng(seed)
    return space.discretise(
        space.choices, {name: random.random(c.shape) for name, c in space.choices.items()}
    )


@pytest.mark.parametrize("name", registry.SPACES)
def test_every_name_builds_a_space_of_that_name(name):
    space = registry.get(name)
    assert space.name == name and space.summary and space.noun and space.digest is None
    assert "\n" not in space.summary
    assert set(space.sizes) == {"quick", "paper"} and space.sizes["quick"].search
    assert space.campaign_cells >= 1 and space.supports
    assert space.supports <= set(search_space.CAPABILITIES)
    # A search has the gates that a genome opens.
    row = space.genome.encode(drawn(space))
    gates = space.genome.one_hot(row)
    assert {name: g.shape for name, g in gates.items()} == {
        name: choice.shape for name, choice in space.choices.items()
    }
    assert len(space.genome.positions) == len(row)
    # The distribution is over the same networks.
    draws = np.zeros((1, len(space.distribution.cardinalities)), int)
    assert space.distribution.genomes(draws, np).shape == (1, len(row))
    assert (space.workload is not None) == genome.is_chain(space.genome.space)


@pytest.mark.parametrize("name", registry.SPACES)
@pytest.mark.parametrize("cells", [None, 1, 2])
def test_a_genotype_leads_back_to_its_space(name, cells):
    space = registry.get(name, cells)
    genotype = drawn(space)
    same = registry.of_genotype(genotype)
    assert same.genotype_space == space.genotype_space == genotype.space
    if space.shaped_by_cells:
        shaped_by = space.cells_of(genotype)
        assert shaped_by == same.cells and (cells is None or shaped_by == cells == space.cells)
        assert same.choices == space.choices
    else:
        assert space.cells is same.cells is space.cells_of(genotype) is None
        assert space.choices == registry.get(name).choices
    # Of spaces whose genotypes bear one name it is the first.
    bearing = [n for n in registry.SPACES if registry.get(n).genotype_space == genotype.space]
    assert same.name == bearing[0]
    assert registry.find(genotype).name == same.name
    assert (same.name == name) == (bearing[0] == name)
    settings = dict(features=8, cells=None, classes=10, reductions=None, auxiliary=False)
    if space.shaped_by_cells:
        assert registry.network_of(genotype)(genotype, **settings).infer


def test_the_spaces_of_darts_share_the_name_of_its_genotypes_and_sharp_ones_have_their_own():
    named = {name: registry.get(name).genotype_space for name in registry.SPACES}
    assert {n for n, of in named.items() if of == "darts"} == {
        "darts", "darts-no-none", "darts-s1", "darts-s2", "darts-s3", "darts-s4",
    }  # fmt: skip
    assert named["darts-sharp"] == "darts-sharp" and named["nasbench201"] == "nasbench201"
    assert registry.get("darts-s1").choices == darts_choices.s1()
    # NASLib-like repetition would make all of them one: only DARTS's own have two edges a node.
    assert {name for name in named if registry.get(name).edges_per_node == 2} == {
        name for name in named if name.startswith("darts")
    }


@pytest.mark.parametrize("name", ["dart", "", "nasbench101", "DARTS"])
def test_unknown_names_are_refused_in_one_line_that_lists_those_there_are(name):
    with pytest.raises(ValueError, match="No space is called") as refused:
        registry.get(name)
    assert "\n" not in str(refused.value)
    assert all(known in str(refused.value) for known in registry.SPACES)


def test_genotypes_of_unknown_spaces_are_refused_in_one_line():
    strange = Genotype("mine", {"normal": Cell(((0, 2, "x"),), 2, (2,))})
    assert registry.find(strange) is None
    for of in (registry.of_genotype, registry.network_of):
        with pytest.raises(GenotypeError, match=r"space 'mine', .*--space which file") as refused:
            of(strange)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", registry.SPACES)
def test_genotypes_of_every_space_are_read_in_our_own_format(name):
    genotype = drawn(registry.get(name))
    assert registry.parse_genotype(genotypes.to_json(genotype)) == genotype
    assert registry.parse_genotype(genotypes.compact(genotype)) == genotype


def test_the_fields_own_notations_are_read():
    for text in (
        json.dumps(darts_notation.to_pairs(DARTS_V2)),
        f"\n {json.dumps(darts_notation.to_pairs(DARTS_V2), indent=2)}",
        "Genotype(normal={normal}, normal_concat=range(2, 6), reduce={reduce}, "
        "reduce_concat=[2, 3, 4, 5])".format(
            **{
                name: [(op, source) for source, _, op in cell.edges]
                for name, cell in DARTS_V2.cells.items()
            }
        ),
    ):
        assert registry.parse_genotype(text) == DARTS_V2
    text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"
    assert registry.parse_genotype(text) == nasbench201_notation.from_arch(text)
    assert registry.get("nasbench201").label(registry.parse_genotype(text)) == text


def test_a_cell_of_darts_alone_is_no_genotype_of_darts_but_one_of_a_users():
    half = DARTS_V2._replace(cells={"normal": DARTS_V2.cells["normal"]})
    with pytest.raises(GenotypeError, match="the cell 'reduce' is missing"):
        registry.parse_genotype(genotypes.to_json(half))
    mine = half._replace(space="mine")
    assert registry.parse_genotype(genotypes.to_json(mine)) == mine


def test_what_others_found_is_there_by_name_and_of_a_known_space():
    found = registry.published()
    assert found == published.PUBLISHED
    assert {registry.of_genotype(genotype).name for genotype in found.values()} == {"darts"}


def test_a_file_defines_a_space_whose_genotypes_bear_its_name(tmp_path):
    path = tmp_path / "my_space.py"
    path.write_text(USERS)
    space = registry.get(str(path), 3)
    assert space.genotype_space == "my_space" and len(space.digest) == 64
    genotype = drawn(space)
    assert genotype.space == "my_space" and registry.find(genotype) is None
    np.testing.assert_array_equal(
        space.genome.encode(registry.parse_genotype(genotypes.to_json(genotype))),
        space.genome.encode(genotype),
    )
    path.write_text(USERS + "\n# changed\n")
    assert registry.get(str(path)).digest != space.digest
    for name, cause in (("missing.py", "no file of Python"), ("none.py", "sets no SPACE")):
        (tmp_path / "none.py").write_text("CANDIDATES = {}\n")
        with pytest.raises(UserSpaceError, match=cause) as refused:
            registry.get(str(tmp_path / name))
        assert "\n" not in str(refused.value)
