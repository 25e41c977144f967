"""The methods that search mobile spaces."""

import pytest

from jaxnas.core.types import Constraint, CostModel
from jaxnas.hardware.tables import layer_table
from jaxnas.methods import registry
from jaxnas.methods.entry import Context
from jaxnas.spaces import registry as spaces
from tests import drive

SHORT = {
    "proxyless": ["warm_up=1"],
    "proxyless-reinforce": ["warm_up=1", "samples=2"],
    "fbnet": ["warm_up=1", "samples=3"],
}


def program_of(name, words=(), space="mobile-proxyless", constraints=(), **changed):
    space = spaces.get(space, 1)
    context = Context(
        space, drive.STEPS_PER_EPOCH, seed=0, constraints=constraints,
        layer_times=layer_table.single_path_times,
    )  # fmt: skip
    settings = registry.resolve(name, "quick", {"epochs": 2}, list(words)) | changed
    return space, registry.program(name, context, settings)


@pytest.mark.parametrize("name", SHORT)
def test_methods_run_to_a_genotype(name):
    space, program = program_of(name, SHORT[name], space="mobile-single-path")
    ran = drive.run(program, lambda space, **net: drive.dense(space, features=2))
    genotype = space.discretise(ran.found.space, ran.found.gates)
    assert spaces.of_genotype(genotype).name == "mobile-single-path"
    assert space.cells_of(genotype) == 1


@pytest.mark.parametrize(
    ("name", "words", "reason"),
    [
        ("pc-darts", (), r"needs what the space mobile-proxyless does not support \(partial\)"),
        ("proxyless", ("mode=three",), "has the modes full, full_v2"),
        ("single-path", (), "needs latencies: give --target-ms"),
        ("single-path", ("table=nowhere.csv",), "Cannot read nowhere.csv"),
        ("fbnet", ("samples=0",), "samples >= 1"),
    ],
)
def test_methods_refuse_what_cannot_be(name, words, reason):
    with pytest.raises(ValueError, match=reason):
        program_of(name, words)


def test_methods_of_mobile_spaces_refuse_cells():
    with pytest.raises(ValueError, match=r"darts does not support \(binary_gates\): use one of"):
        program_of("proxyless", space="darts")


def test_a_table_of_layers_is_not_added_to_the_rest_of_another_device(tmp_path):
    path = tmp_path / "lut.csv"
    rows = [f"{layer},{choice},{1 + choice}" for layer in range(6) for choice in range(4)]
    path.write_text("\n".join(["layer,choice,latency_ms", *rows, ""]))
    words, space = (f"table={path}",), "mobile-single-path"
    with pytest.raises(ValueError, match="the rest of the network, fixed_ms=19.59"):
        program_of("single-path", words, space=space)
    _, program = program_of("single-path", (*words, "fixed_ms=3"), space=space)
    assert next(program).epochs == 2


def test_single_path_keeps_to_constraints_in_the_place_of_a_table():
    cost = CostModel("ms", None, lambda gates: gates["layers"].sum(), (0.0, 100.0))
    within = {"space": "mobile-single-path", "constraints": [Constraint(cost, 1.0)]}
    _, program = program_of("single-path", **within)
    assert next(program).epochs == 2
    for name, value in (("table", "pixel.csv"), ("fixed_ms", 3.0), ("latency_weight", 0.1)):
        with pytest.raises(ValueError, match=f"{name} has no effect beside a target"):
            program_of("single-path", **within, **{name: value})
