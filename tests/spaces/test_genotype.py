"""A genotype survives its text, and text that is none is refused in one line."""

import collections
import json

import hypothesis
import pytest
from hypothesis import strategies

from jaxnas.spaces import genotype, registry
from jaxnas.spaces.darts import genotypes as published
from jaxnas.spaces.darts import notation as darts_notation
from jaxnas.spaces.genotype import Cell, Genotype, GenotypeError
from jaxnas.spaces.nasbench201 import notation as nasbench201_notation

DARTS_V2 = published.PUBLISHED["DARTS_V2"]
OPS = ("skip_connect", "sep_conv_3x3", 'my op "é"')


@strategies.composite
def cells(draw):
    inputs = draw(strategies.integers(1, 3))
    nodes = draw(strategies.integers(1, 5))
    edges = []
    for target in range(inputs, inputs + nodes):
        sources = draw(strategies.lists(strategies.integers(0, target - 1), min_size=1, max_size=3))
        edges += [(s, target, draw(strategies.sampled_from(OPS))) for s in sources]
    concat = draw(
        strategies.lists(
            strategies.integers(inputs, inputs + nodes - 1), min_size=1, max_size=nodes, unique=True
        )
    )
    return Cell(tuple(draw(strategies.permutations(edges))), inputs, tuple(concat))


names = strategies.text(min_size=1, max_size=8)
genotypes = strategies.builds(
    Genotype,
    names.filter(lambda n: n != "darts"),
    strategies.dictionaries(names, cells(), min_size=1),
)


@hypothesis.given(genotypes)
def test_text_and_back_is_the_same(found):
    text = genotype.to_json(found)
    assert genotype.from_json(text) == found
    assert genotype.to_json(genotype.from_json(text)) == text


@hypothesis.given(strategies.text() | strategies.binary().map(lambda b: b.decode("latin-1")))
@hypothesis.example("null")
@hypothesis.example("1e999")
@hypothesis.example("9" * 5000)
@hypothesis.example('"\\ud800"')
def test_any_text_is_read_or_refused_in_one_line(text):
    readers = (
        registry.parse_genotype, genotype.from_json, darts_notation.from_pairs,
        nasbench201_notation.from_arch,
    )  # fmt: skip
    for read in readers:
        with pytest.raises(GenotypeError) as refused:
            read(text)
        assert "\n" not in str(refused.value)


json_values = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats()
    | strategies.text(max_size=3),
    lambda inner: strategies.lists(inner, max_size=4)
    | strategies.dictionaries(strategies.sampled_from(["normal", "x"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@hypothesis.given(strategies.data())
def test_one_wrong_value_is_refused_or_read_without_a_crash(data):
    table = json.loads(genotype.to_json(DARTS_V2))
    place = table
    for key in data.draw(
        strategies.sampled_from(
            [["space"], ["version"], ["cells"], ["cells", "normal"], ["cells", "normal", "inputs"],
             ["cells", "normal", "concat"], ["cells", "normal", "concat", 0],
             ["cells", "reduce", "edges"], ["cells", "reduce", "edges", 3],
             ["cells", "reduce", "edges", 3, 0], ["cells", "reduce", "edges", 3, 1],
             ["cells", "reduce", "edges", 3, 2]]
        )
    ):  # fmt: skip
        holder, last, place = place, key, place[key]
    holder[last] = data.draw(json_values)
    try:
        found = registry.parse_genotype(json.dumps(table))
    except GenotypeError as refused:
        assert "\n" not in str(refused)
    else:
        assert registry.parse_genotype(genotype.to_json(found)) == found


def changed(**fields):
    return json.dumps(json.loads(genotype.to_json(DARTS_V2)) | fields)


def with_edge(edge, concat=(2,)):
    cell = {"inputs": 2, "concat": list(concat), "edges": [[0, 2, "skip_connect"], edge]}
    return changed(space="own", cells={"normal": cell})


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "not JSON"),
        ("[1, 2]", "a JSON object"),
        ("[" * 200_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        (" " * 1_000_001, "1,000,001 characters"),
        ("{}", '"format" is None'),
        (changed(version=2), "reads 1"),
        (changed(version=float("nan")), "NaN"),
        (changed(colour="red"), "'colour'"),
        (changed(cells={}), "no cells"),
        (changed(cells={"normal": DARTS_V2.cells["normal"]._asdict()}), "'reduce' is missing"),
        (with_edge([1, 2]), "not .source, target, operation."),
        (with_edge([1.5, 2, "skip_connect"]), "not .source, target, operation."),
        (with_edge([True, 2, "skip_connect"]), "not .source, target, operation."),
        (with_edge([3, 2, "skip_connect"]), "cycle"),
        (with_edge([2, 2, "skip_connect"]), "cycle"),
        (with_edge([-1, 2, "skip_connect"]), "cycle"),
        (with_edge([0, 1, "skip_connect"]), "an input"),
        (with_edge([0, 4, "skip_connect"]), "no edge enters node 3"),
        (with_edge([0, 10**12, "skip_connect"]), "no edge enters node 3"),
        (with_edge([0, 2, "skip_connect"], concat=[5]), "concat"),
        (with_edge([0, 2, "skip_connect"], concat=[2, 2]), "each once"),
        (with_edge([0, 2, "skip_connect"], concat=[]), "one node or more"),
        ('{"format": 1, "format": 1}', "twice"),
        ('{"normal": [["skip_connect", 0]], "normal_concat": [2]}', "no 'reduce'"),
    ],
)  # fmt: skip
def test_refuses_and_says_why(text, cause):
    with pytest.raises(GenotypeError, match=cause) as refused:
        registry.parse_genotype(text)
    assert len(str(refused.value)) < 300
    assert "\n" not in str(refused.value)


def test_refuses_an_operation_that_is_not_known():
    text = genotype.to_json(DARTS_V2)
    assert genotype.from_json(
        text, ops={op for c in DARTS_V2.cells.values() for _, _, op in c.edges}
    )
    with pytest.raises(GenotypeError, match="unknown operation; known are skip_connect"):
        genotype.from_json(text, ops=["skip_connect"])


PAIRS = [
    ("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_3x3", 1),
    ("sep_conv_3x3", 1), ("skip_connect", 0), ("skip_connect", 0), ("dil_conv_3x3", 2),
]  # fmt: skip
REDUCE = [
    ("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 1),
    ("max_pool_3x3", 0), ("skip_connect", 2), ("skip_connect", 2), ("max_pool_3x3", 1),
]  # fmt: skip
Tuples = collections.namedtuple("Genotype", "normal normal_concat reduce reduce_concat")


def nested(pairs):
    return [tuple(pairs[i : i + 2]) for i in range(0, 8, 2)]


@pytest.mark.parametrize(
    "found",
    [
        Tuples(PAIRS, [2, 3, 4, 5], REDUCE, [2, 3, 4, 5]),
        Tuples(PAIRS, range(2, 6), REDUCE, range(2, 6)),
        Tuples(nested(PAIRS), [2, 3, 4, 5], nested(REDUCE), range(2, 6)),
        tuple(Tuples(PAIRS, range(2, 6), REDUCE, range(2, 6))),
        Tuples(PAIRS, range(2, 6), REDUCE, range(2, 6))._asdict(),
        str(Tuples(PAIRS, range(2, 6), REDUCE, range(2, 6))),
        f"DARTS_V2 = {Tuples(nested(PAIRS), [2, 3, 4, 5], nested(REDUCE), range(2, 6))}",
        f"Genotype(\n  normal = {PAIRS},\n  normal_concat = [2, 3, 4, 5,],\n  reduce = {REDUCE},\n"
        "  reduce_concat = range(2, 6), connectN=None, connects=None,\n)",
        json.dumps(Tuples(PAIRS, [2, 3, 4, 5], REDUCE, [2, 3, 4, 5])._asdict()),
    ],
    ids=["flat", "range", "nested", "tuple", "mapping", "text", "nested text", "by hand", "json"],
)  # fmt: skip
def test_reads_every_way_darts_is_written(found):
    assert darts_notation.from_pairs(found) == DARTS_V2


def test_darts_json_is_read_like_our_own_and_written_back():
    assert registry.parse_genotype(json.dumps(darts_notation.to_pairs(DARTS_V2))) == DARTS_V2
    with pytest.raises(GenotypeError, match="two edges a node"):
        darts_notation.to_pairs(
            Genotype("own", dict.fromkeys(("normal", "reduce"), Cell(((0, 1, "x"),), 1, (1,))))
        )


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        (Tuples(PAIRS[:7], [2], REDUCE, [2]), "7 pairs are not two a node"),
        (Tuples(PAIRS, "2345", REDUCE, [2]), "list of nodes"),
        (Tuples([("sep_conv_3x3", 4), *PAIRS[1:]], [2], REDUCE, [2]), "cycle"),
        (Tuples([], [2], REDUCE, [2]), "expected pairs"),
        (Tuples([[1, 2], [3]], [2], REDUCE, [2]), "expected pairs"),
        ("Genotype(normal=__import__('os'))", "not JSON|no 'normal_concat'"),
        ((1, 2, 3), "expected normal"),
        (f"Genotype(normal={PAIRS}, normal_concat=range(0, 10**9), reduce={REDUCE}, "
         "reduce_concat=[2])",
         "not JSON"),
        (f"Genotype(normal={PAIRS}, normal_concat=range(0, 9999999), reduce={REDUCE}, "
         "reduce_concat=[2])", "range"),
    ],
)  # fmt: skip
def test_refuses_wrong_darts_tuples(found, cause):
    with pytest.raises(GenotypeError, match=cause):
        darts_notation.from_pairs(found)


def test_nasbench201_strings_survive():
    text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"
    found = nasbench201_notation.from_arch(text)
    assert found.cells["cell"].edges[2] == (1, 2, "skip_connect")
    assert found.cells["cell"].concat == (3,)
    assert nasbench201_notation.to_arch(found) == text
    assert genotype.from_json(genotype.to_json(found)) == found


@pytest.mark.parametrize(
    "text", ["", "|a~0|+|b~0|", "|a~0|+|b~1|c~0|", "|a~x|", "|a|", "|a~0|+|b~0|c~2|", "|~0|"]
)
def test_refuses_wrong_nasbench201_strings(text):
    with pytest.raises(GenotypeError):
        nasbench201_notation.from_arch(text)


def test_thirteen_published_genotypes_are_sound():
    assert len(published.PUBLISHED) == 13
    for found in published.PUBLISHED.values():
        assert genotype.from_json(genotype.to_json(found)) == found
    assert published.PUBLISHED["NASNet"].cells["reduce"].concat == (4, 5, 6)


def test_counts_the_skips_of_each_cell():
    skip, other = (0, 2, "skip_connect"), (1, 2, "sep_conv_3x3")
    cells = {"normal": Cell((skip, other), 2, (2,)), "reduce": Cell((skip, skip), 2, (2,))}
    assert genotype.skips(Genotype("darts", cells)) == {"normal": 1, "reduce": 2}
