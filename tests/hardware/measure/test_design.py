"""Latency, measured: what rounds say, what is pruned, which networks, and one program's time."""

import itertools
import json
import math

import jax
import numpy as np
import pytest

from jaxnas.hardware import device, programs, timing
from jaxnas.hardware.measure import design, stopping
from jaxnas.hardware.predict.features import graph_counts
from jaxnas.hardware.programs import Program
from jaxnas.pipelines.latency import measure
from jaxnas.pipelines.settings.latency import MeasureSettings
from jaxnas.spaces import dataflow, genome, registry, search_space
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces.darts import genotypes as published
from jaxnas.spaces.mobile import chain as mobile_chain
from jaxnas.spaces.mobile import sizing, zoo
from tests import timed_toys, toy

SPACE = registry.get("nasbench201")


def letters(genotype: genotypes.Genotype) -> str:
    names = {"none": "n", "skip_connect": "s", "nor_conv_1x1": "1", "nor_conv_3x3": "3"}
    return "".join(names.get(op, "p") for _, _, op in genotype.cells["cell"].edges)


@pytest.mark.parametrize(
    ("whole", "live"),
    [
        ("333333", "333333"),
        ("n33333", "n3n3n3"),  # nothing enters node 1
        ("33333n", "3nn33n"),  # nothing leaves node 2
        ("nnn333", "nnn3nn"),
        ("3nnnnn", "nnnnnn"),
        ("n3ns13", "n3nsn3"),
    ],
)
def test_dead_edges_are_pruned_from_both_ends(whole, live):
    assert letters(dataflow.remove_dead_edges(timed_toys.cell(whole))) == live
    assert dataflow.is_connected(timed_toys.cell(whole)) == (live != "nnnnnn")


def test_pruning_dead_ends_leaves_the_logits_alone():
    found = timed_toys.cell("31s3sn")  # node 2 is entered and never left
    assert letters(dataflow.remove_dead_edges(found)) == "3nn3sn"
    make = lambda g: SPACE.network(
        g, features=4, cells=1, classes=3, reductions=None, auxiliary=False
    )
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    weights, stats = programs.filled(jax.eval_shape(make(found).init, jax.random.key(0), x))
    both = (found, dataflow.remove_dead_edges(found))
    whole, pruned = toy.jit(lambda *a: [make(g).infer(*a) for g in both])(weights, stats, x)
    np.testing.assert_allclose(whole, pruned, rtol=1e-5)


def test_noise_fills_a_node_that_nothing_else_fills():
    edges = ((0, 2, "none"), (1, 2, "none"), (2, 3, "noise"), (1, 3, "skip_connect"))
    found = genotypes.Genotype("mine", {"cell": genotypes.Cell(edges, 2, (3,))})
    assert dataflow.remove_dead_edges(found) == found


@pytest.mark.parametrize(
    ("whole", "twin"),
    [("13n1s3", "31n13s"), ("133333", None), ("11n3pp", None), ("snns1n", "nsnsn1")],
)
def test_twins_swap_nodes_that_nothing_joins(whole, twin):
    found = dataflow.isomorph(timed_toys.cell(whole), SPACE.choices)
    assert (found and letters(found)) == twin


def test_a_twin_computes_the_same_and_its_twin_is_the_first():
    first = timed_toys.cell("13n1s3")
    second = dataflow.isomorph(first)
    assert dataflow.isomorph(second) == first
    made = [programs.of_genotype(g, SPACE, timed_toys.SMALL) for g in (first, second)]
    texts = [timing.facts(toy.jit(p.function).lower(*p.arguments).compile()) for p in made]
    assert texts[0]["flops"] == texts[1]["flops"] > 0


def test_what_is_compiled_is_what_lives():
    for text in ("n33333", "1n3p1s"):
        live = letters(dataflow.remove_dead_edges(timed_toys.cell(text)))
        program = programs.of_genotype(timed_toys.cell(text), SPACE, timed_toys.SMALL)
        found = timing.facts(toy.jit(program.function).lower(*program.arguments).compile())
        # Stem and two reductions of two 3x3 convolutions; two shortcuts and the classifier.
        assert found["convolutions"] == 5 + 3 * live.count("3"), text
        assert found["products"] == 3 + 3 * live.count("1"), text


def test_a_design_covers_the_space_and_any_beginning_is_one():
    found = design.networks(SPACE.genome, 30, seed=3)
    short = [letters(g) for g in found]
    assert short[:5] == ["nnnnnn", "ssssss", "111111", "333333", "pppppp"]
    assert {"nnnsnn", "nnn1nn", "nnn3nn", "nnnpnn"} <= set(short)
    live = [letters(dataflow.remove_dead_edges(g)) for g in found]
    assert len(set(live)) == 30
    assert all(dataflow.is_connected(g) for g in found[1:])
    assert found[:20] == design.networks(SPACE.genome, 20, seed=3)
    assert found[9:] != design.networks(SPACE.genome, 30, seed=4)[9:]
    # Every operation stands on every edge: what a table of edges needs.
    assert all(len({text[edge] for text in short}) == 5 for edge in range(6))


def test_a_design_for_a_foreign_device_has_cells_with_dead_branches():
    """Distinct as written: programs are pruned here, networks of a foreign table are not."""
    found = design.networks(SPACE.genome, 40, dead_share=0.25)
    assert len({letters(g) for g in found}) == 40
    dead = [dataflow.remove_dead_edges(g) != g for g in found]
    assert 10 <= sum(dead) < 30 and sum(dead[:20]) >= 3  # the anchors have few
    assert found[:20] == design.networks(SPACE.genome, 20, dead_share=0.25)
    with pytest.raises(ValueError, match="give a share"):
        design.networks(SPACE.genome, 40, dead_share=2.0)
    chain = registry.get("mobile-proxyless", 2).genome
    with pytest.raises(ValueError, match="has dead branches"):
        design.networks(chain, 20, dead_share=0.25)


def test_a_design_says_more_of_the_counts_than_chance_does():
    code = SPACE.genome
    counts = lambda found: design._counts(code, np.array([code.encode(g) for g in found]))
    information = lambda rows: np.linalg.slogdet(rows.T @ rows / 6 + np.eye(11))[1]
    ours = information(counts(design.networks(SPACE.genome, 25, seed=0)))
    chance = []
    for seed in range(5):
        random = np.random.default_rng(seed)
        gates = [{"cell": random.random((6, 5))} for _ in range(25)]
        chance.append(information(counts([code.discretise(code.space, g) for g in gates])))
    assert ours > max(chance)


@pytest.mark.parametrize("name", ["darts", "darts-s1"])
def test_spaces_of_two_cells_have_designs_and_twins(name):
    code = registry.get(name).genome
    chosen = design.with_replicates(design.networks(code, 12), code.space, pairs=3)
    assert len(chosen) == 15
    for before, choice in zip(chosen, chosen[1:], strict=False):
        if choice.twin_of is not None:
            assert choice.twin_of == before.genotype


@pytest.mark.parametrize("name", ["nasbench201", "darts"])
def test_a_design_has_twins_wherever_a_budget_cuts_it(name):
    code = registry.get(name).genome
    chosen = design.with_replicates(design.networks(code, 60), code.space)
    pairs = lambda count: sum(choice.twin_of is not None for choice in chosen[:count])
    assert pairs(7) >= 1 and pairs(12) >= 2 and pairs(35) >= 3 and pairs(56) >= 4
    assert pairs(len(chosen)) == 10
    assert all(a.genotype == b.twin_of for a, b in itertools.pairwise(chosen) if b.twin_of)


def test_operators_alone_have_twins_wherever_a_budget_cuts_them():
    settings = measure.resolved(MeasureSettings(kinds=("operator",), budget_minutes=1.0))
    found = measure.programs_of(settings, SPACE, [])
    programs.check_programs(found)
    twins = [program.twin_of for program in found]
    assert sum(name is not None for name in twins[: stopping.MIN_PROGRAMS]) >= 2
    assert found[0].label == "reference" and twins[2] == found[1].label


def test_too_many_networks_are_refused():
    few = {"cell": SPACE.choices["cell"]._replace(candidates=(("none", "skip_connect"),) * 6)}
    code = genome.of_space(few, SPACE.discretise, has_dead_edges=True)
    with pytest.raises(ValueError, match="different networks of this space were found"):
        design.networks(code, 100)
    with pytest.raises(ValueError, match="give 1 or more"):
        design.networks(code, 0)


def test_operators_and_blocks_run_at_every_size():
    darts, size = registry.get("darts"), timed_toys.SMALL
    found = programs.operators(SPACE, size)
    assert len(found) == 4 * 3
    found += programs.blocks([timed_toys.cell("13nsp1")], SPACE, size)
    found += programs.blocks([published.PUBLISHED["DARTS_V2"]], darts, size)
    programs.check_programs(found)
    found += programs.operators(darts, size)[-7:]
    for program in found:
        shape = jax.eval_shape(program.function, *program.arguments).shape
        said = json.loads(program.architecture)
        halves = said.get("stride", 2 if said.get("cell") == "reduce" else 1)
        assert shape == (1, said["height"] // halves, said["width"] // halves, shape[3])
        assert shape[3] % said["features"] == 0
    assert {p.kind for p in found} == {"operator", "block"}


def test_the_candidates_of_a_mobile_space_run_at_every_size():
    size = search_space.NetworkSize(features=8, cells=2, image=(32, 32, 3))
    found = programs.operators(registry.get("mobile-proxyless", 2), size)
    programs.check_programs(found)
    chain = sizing.sized(zoo.proxyless(), "mobile-proxyless", features=8, repeats=2)
    names = {op for layer in mobile_chain.layers(chain) for op in layer.candidates} - {
        mobile_chain.SKIP
    }
    assert {json.loads(p.architecture)["operation"] for p in found} == names
    heights = set()
    for program in found:
        said = json.loads(program.architecture)
        shape = jax.eval_shape(program.function, *program.arguments).shape
        assert shape[1:] == (said["height"] // said["stride"],) * 2 + (said["features"],)
        heights.add(said["height"])
    assert heights == {32, 16, 8, 4}


def test_values_of_shapes_are_ordinary_numbers_and_stay_the_same():
    program = programs.of_genotype(timed_toys.cell("13nsp1"), SPACE, timed_toys.SMALL)
    first, second = programs.filled(program.arguments), programs.filled(program.arguments)
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        assert np.array_equal(a, b)
    logits = toy.jit(program.function)(*first)
    assert logits.shape == (1, 10) and np.isfinite(logits).all()


def ticking(*steps_ns):
    """A clock that moves by these nanoseconds, the last for ever."""
    now, steps = 0, list(steps_ns)

    def clock():
        nonlocal now
        now += steps.pop(0) if len(steps) > 1 else steps[0]
        return now

    return clock


def test_a_sample_is_the_median_of_as_many_calls_as_it_needs():
    ready = timing.prepare(timed_toys.doubling(), sample_ms=2.0, clock=ticking(100_000))
    assert ready.calls == 20  # of 0.1 ms
    assert ready.sample() == pytest.approx(0.1)
    assert ready.facts["products"] + ready.facts["fusions"] >= 1


def test_one_call_that_the_clock_spoilt_spoils_its_sample():
    steps = [100_000] * 69 + [7_200_000_000_000, 100_000]  # the machine slept for two hours
    ready = timing.prepare(timed_toys.doubling(), 3, clock=ticking(*steps))
    found = [ready.sample() for _ in range(6)]
    assert sum(map(math.isnan, found)) == 1
    assert [x for x in found if not math.isnan(x)] == pytest.approx([0.1] * 5)


@pytest.mark.parametrize(
    ("elapsed_ns", "milliseconds"),
    [(2_000_000, 2.0), (0, math.nan), (-5, math.nan), (3_600e9, math.nan), (150e6, 150.0)],
)
def test_a_clock_that_was_set_spoils_a_sample_and_nothing_else(elapsed_ns, milliseconds):
    found = timing.plausible_ms(elapsed_ns, 1e6)
    assert found == milliseconds or (math.isnan(found) and math.isnan(milliseconds))


def test_the_slope_is_what_a_pass_costs_and_the_rest_is_the_call():
    chains = np.array([[[0.5 + 4 * 0.2, 0.5 + 24 * 0.2]]])
    per_pass, overhead = timing.slope(chains)
    np.testing.assert_allclose(per_pass, 0.2)
    np.testing.assert_allclose(overhead, 0.5)


def test_the_loop_on_the_device_computes_every_pass():
    """Twenty times the passes take longer, for the program itself and as a slope."""
    size = 192
    matrix = jax.random.normal(jax.random.key(0), (size, size)) / size
    program = Program("power", "operator", "{}", lambda w, x: x @ w, (matrix, matrix))
    ready = timing.prepare(program, loops=True, sample_ms=0.5)
    # The least: what else runs on this machine only adds.
    short, long = np.nanmin([ready.loops() for _ in range(25)], axis=0)
    assert long > 2 * short


def test_a_round_visits_every_program_once_in_its_order():
    seen = []
    ready = [
        timing.TimedProgram(str(i), lambda i=i: seen.append(i) or float(i), None, 1, {})
        for i in range(4)
    ]
    calls, chains = np.full(4, np.nan), np.full((4, 2), np.nan)
    timing.sample_round(ready, [2, 0, 3, 1], calls, chains)
    assert seen == [2, 0, 3, 1]
    assert calls.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert np.isnan(chains).all()


def test_the_device_says_what_decides_its_times():
    here = device.this_device()
    assert here["platform"] == "cpu" and here["threads"] >= 1 and here["jaxlib"]
    assert device.differences(here, here) == []
    there = here | {"threads": here["threads"] + 1}
    assert device.differences(there, here) == [
        f"threads ({here['threads'] + 1} there, {here['threads']} now)"
    ]
    with pytest.raises(ValueError, match="this process may use 1 to"):
        device.pin(100_000)


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (lambda p: [], "nothing to measure"),
        (lambda p: [p, p], "Two programs are called 'double'"),
        (lambda p: [p._replace(kind="car")], "of kind 'car'"),
        (lambda p: [p._replace(twin_of="other")], "is the twin of 'other'"),
    ],
)
def test_programs_that_cannot_be_are_refused(spoil, cause):
    with pytest.raises(ValueError, match=cause):
        programs.check_programs(spoil(timed_toys.doubling()))


@pytest.mark.parametrize("name", ["mobile-proxyless", "mobile-fbnet", "mobile-single-path"])
def test_a_chain_has_designs_over_all_its_layers(name):
    code = registry.get(name, 2).genome
    found = design.networks(code, 24)
    assert len({genotypes.compact(each) for each in found}) == 24
    rows = np.array([code.encode(each) for each in found])
    for column, count in zip(rows.T, code.cardinalities, strict=True):
        assert set(column) == set(range(count))
    assert sum(choice.recompiled for choice in design.with_replicates(found, code.space)) == 4


def test_what_xla_compiles_is_the_graph_that_is_counted():
    """Convolutions and 1x1 products of the optimised text: dead and shared edges are not there."""
    shape = graph_counts.tables(SPACE.choices["cell"])
    rows = np.array([[3] * 6, [2] * 6, [3, 0, 3, 2, 2, 0], [0, 3, 2, 1, 3, 3], [1, 2, 3, 4, 0, 2]])
    words = [shape.vocabulary.index(f"nor_conv_{k}x{k}") for k in (3, 1)]
    counted = graph_counts.counts(shape, rows)["live"][:, words]
    compiled = []
    for row in rows:
        found = programs.of_genotype(SPACE.genome.decode(row), SPACE, timed_toys.SMALL)
        text = jax.jit(found.function).lower(*found.arguments).compile()
        facts = timing.facts(text)
        compiled.append((facts["convolutions"], facts["products"]))
    cells = 3 * timed_toys.SMALL.cells
    fixed = np.array(compiled[0]) - cells * counted[0]
    assert np.array_equal(np.array(compiled), fixed + cells * counted)
    assert not np.array_equal(counted, graph_counts.counts(shape, rows)["raw"][:, words])
