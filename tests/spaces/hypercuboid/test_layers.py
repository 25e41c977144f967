"""Paths through the hypercuboid: told apart as a chain, counted, measured, modelled."""

import dataclasses
import itertools
import json

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.cli import main
from jaxnas.hardware import expectation, programs
from jaxnas.hardware.measure import dataset, design
from jaxnas.hardware.predict import fit
from jaxnas.nets import count
from jaxnas.pipelines import constraints
from jaxnas.pipelines.settings import Recipe, SearchSettings
from jaxnas.spaces import genome, op_names, registry, sampling, search_space
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces.hypercuboid import discretise

LAYERS = 3
SIZE = search_space.NetworkSize(features=4, cells=LAYERS, classes=5, image=(12, 8, 3))
SPACE = registry.get("hypercuboid", LAYERS)
CODE = SPACE.genome


def network_of(path: genotypes.Genotype):
    return SPACE.network(
        path, features=4, cells=LAYERS, classes=5, reductions=None, auxiliary=False
    )


def test_a_path_is_one_candidate_a_layer_of_a_chain():
    assert genome.is_chain(CODE.space)
    # 3 x 3 widths and two operations; the last layer leads to the last width alone.
    assert CODE.cardinalities == (18, 18, 6)
    assert registry.get("hypercuboid", 1).genome.cardinalities == (6,)
    random = np.random.default_rng(0)
    gates = {name: random.random(choice.shape) for name, choice in SPACE.choices.items()}
    path = SPACE.discretise(SPACE.choices, gates)
    row = CODE.encode(path)
    assert CODE.decode(row) == path
    # A search of other spaces has the choices that their genomes have.
    benchmark = registry.get("nasbench201")
    assert benchmark.genome.space == benchmark.choices


def test_the_connected_path_of_the_largest_sum_is_found():
    random = np.random.default_rng(1)
    chain = registry.get("hypercuboid", 2).genome.space
    names = [choice.candidates[0] for choice in chain.values()]
    ends = lambda name: name.partition(":")[2].split("-")
    for _ in range(20):
        gates = {name: random.normal(size=choice.shape) for name, choice in chain.items()}
        sums = {
            (one, two): gates["grid"][0, names[0].index(one)]
            + gates["last"][0, names[1].index(two)]
            for one, two in itertools.product(*names)
            if ends(one)[1] == ends(two)[0]
        }
        found = discretise.path_of_chain(chain, gates)
        assert tuple(op for _, _, op in found.cells["grid"].edges) == max(sums, key=sums.get)
    with pytest.raises(ValueError, match="not finite"):
        discretise.path_of_chain(chain, gates | {"last": np.full((1, 6), np.nan)})


def test_work_adds_up_to_what_is_counted():
    work = SPACE.workload(SIZE)
    assert work.shape == (LAYERS, 18, 6) and (work[-1, 6:] == 0).all()
    classifier = 5 * 16
    for path in design.networks(CODE, 12):
        own = work[np.arange(LAYERS), CODE.encode(path)].sum(0)
        size = count.size(network_of(path), SIZE.image)
        assert own[0] + own[1] + classifier == size.macs
        assert own[3] + classifier + 5 == size.parameters


def test_every_candidate_runs_alone_where_it_stands():
    found = programs.operators(SPACE, SIZE)
    assert len({program.label for program in found}) == len(found)
    # Layers 1 and 2 halve the image: 18 candidates, 18, and the last layer's 6.
    assert len(found) == 42
    record = json.loads(found[0].architecture)
    assert record["operation"] == "sep_conv_3x3" and record["inputs"] == record["features"] == 4
    for program in (found[0], found[20], found[-1]):
        record = json.loads(program.architecture)
        y = program.function(*programs.filled(program.arguments))
        sides = [-(-record[side] // record["stride"]) for side in ("height", "width")]
        assert y.shape == (1, *sides, record["features"])
    with pytest.raises(ValueError, match="below one"):
        programs.operators(SPACE, SIZE._replace(image=(2, 2, 3)))


def test_a_model_of_paths_is_exact_where_time_is_work():
    work = SPACE.workload(SIZE)
    networks = np.array([CODE.encode(path) for path in design.networks(CODE, 60)])
    ms = 1.0 + work[np.arange(LAYERS), networks][..., :2].sum((1, 2)) / 1e5
    model = fit.fit(CODE.space, networks[:40], ms[:40], work=work)
    np.testing.assert_allclose(model.predict(networks[40:])[0], ms[40:], rtol=0.02)
    take = expectation.expected(model)
    for network in networks[40:45]:
        gates = {k: jnp.asarray(v) for k, v in genome.one_hot(CODE.space, network).items()}
        assert float(take(gates)) == pytest.approx(float(model.predict(network[None])[0][0]), 1e-5)


def test_only_steps_of_equal_widths_are_compared():
    names = ("sep_conv_3x3:1-2", "sep_conv_5x5:1-2", "sep_conv_5x5:1-4", "max_pool_3x3:1-2")
    assert np.argwhere(op_names.dominates(names)).tolist() == [[0, 1]]
    assert op_names.numbers("sep_conv_3x3:8-16") == {"k": 3, "from": 8, "to": 16}


def test_paths_are_measured_fitted_and_predicted(tmp_path, capsys):
    words = [
        *("latency", "measure", "--space", "hypercuboid", "--cells", "2", "--features", "2"),
        *("--image", "8", "8", "1", "--networks", "12", "--rounds", "5", "--sample-ms", "0.2"),
        *("--kinds", "network", "operator", "--out", str(tmp_path), "--name", "grid"),
    ]
    assert main(words) == 0, capsys.readouterr().err
    found = dataset.load(tmp_path / "grid")
    assert len({tuple(network) for network in found.networks}) == 12
    assert found.work.shape == (2, 18, 6)
    assert {"network", "operator", "reference"} == set(found.raw.kinds)
    assert main(["latency", "fit", str(tmp_path / "grid")]) == 0
    path = tmp_path / "path.json"
    path.write_text(genotypes.to_json(found.genotypes[3]))
    assert main(["latency", "predict", str(tmp_path / "grid" / "model.json"), str(path)]) == 0
    assert "ms" in capsys.readouterr().out
    table = ["latency", "fit", str(tmp_path / "grid" / "latency.csv"), "--space", "hypercuboid"]
    assert main([*table, "--cells", "2", "--out", str(tmp_path / "of_table.json")]) == 0
    capsys.readouterr()
    assert main([*table, "--cells", "3"]) == 2
    assert "of other --cells" in capsys.readouterr().err
    broken = tmp_path / "broken.csv"
    broken.write_text("network,latency_ms\nsep_conv_3x3:1-2 sep_conv_3x3:1-4,1.5\n")
    assert main(["latency", "fit", str(broken), *table[3:], "--cells", "2"]) == 2
    assert "line 2: 'sep_conv_3x3:1-4' follows 'sep_conv_3x3:1-2'" in capsys.readouterr().err

    # The campaign serves a search to a target.
    middle = float(np.median(dataset.fit_predictor(found).predict(found.networks)[0]))
    settings = SearchSettings(
        space="hypercuboid", method="hypercuboid", cells=2, features=2, any_device=True,
        latency=str(tmp_path / "grid"), target_ms=middle,
        retrain=Recipe(features=2),
    )  # fmt: skip
    predictors = constraints.load_predictors(settings)
    (latency,) = constraints.of_settings(predictors, settings, found.space, (8, 8, 1), 10)
    grid = registry.get("hypercuboid", 2).choices
    even = {name: jnp.full(choice.shape, 1 / 18) for name, choice in grid.items()}
    pool = sampling.sample_pool(found.space, even)
    # 3 widths to begin with, 3 between, and two operations twice.
    assert len(pool.genomes) == 3 * 3 * 4
    mean = float(np.exp(pool.log_probability) @ latency.cost.of_genomes(pool.genomes))
    assert float(latency.cost.of_gates(even)) == pytest.approx(mean, rel=1e-4)
    for changed, cause in (
        ({"reductions": (0,)}, "--reductions cannot stand beside a target"),
        ({"cells": 3}, "with --cells 2, this search has 3: give --cells 2"),
    ):
        with pytest.raises(ValueError, match=cause):
            constraints.load_predictors(dataclasses.replace(settings, **changed))
