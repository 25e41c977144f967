"""Devices that execute dead branches in part are told from those that prune or run them all."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.hardware.measure import design
from jaxnas.hardware.predict import fit, model_file, predictor_file, transfer
from jaxnas.hardware.predict.features import cell_features, dead_branches, graph_counts
from jaxnas.spaces import choices as space_choices
from jaxnas.spaces import genome, registry
from jaxnas.spaces.nasbench201 import choices

CELL = choices.nasbench201()
NONE, SKIP, ONE, THREE, POOL = range(5)
NETWORKS = genome.sample_uniform(CELL, 1500, seed=11)
COSTS = np.array([0.02, 0.4, 1.5, 0.3, 0.05])  # live words: skip, 1x1, 3x3, pool, additions
LARGE = {
    "normal": space_choices.uniform(space_choices.dag(2, 3), (*choices.NASBENCH201_CANDIDATES,))
}


def device(space, networks, shares, noise=0.02, seed=0):
    """Milliseconds of a device that executes shares of what is dead, one of each kind."""
    live = cell_features.features(space, networks)["live"]
    executed = live + np.tensordot(shares, dead_branches.dead_counts(space, networks), 1)
    ms = 0.2 + executed @ COSTS
    return ms * np.exp(noise * np.random.default_rng(seed).standard_normal(len(ms)))


def has_dead(networks):
    return dead_branches.dead_counts(CELL, networks)[:, :, :4].any((0, 2))


def test_counts_each_kind_of_dead_branches():
    # 0->1, 0->2, 1->2, 0->3, 1->3, 2->3
    rows = [
        ([THREE, NONE, NONE, ONE, NONE, NONE], 0),  # node 1 is needed by nothing
        ([NONE, NONE, THREE, ONE, NONE, SKIP], 1),  # and entered by nothing
        ([NONE, NONE, THREE, ONE, NONE, NONE], 2),  # both: 1->2
    ]
    for network, kind in rows:
        counts = dead_branches.dead_counts(CELL, np.array([network]))[:, 0, 2]
        assert counts.tolist() == np.eye(3)[kind].tolist(), graph_counts.DEAD[kind]


@pytest.mark.parametrize("made", [(0.8, 0.3, 0.0), (0.0, 0.6, 0.0), (0.5, 0.5, 0.5)])
def test_the_shares_of_a_device_are_found(made):
    ms = device(CELL, NETWORKS, made)
    found = dead_branches.shares(CELL, NETWORKS[:100], ms[:100])
    assert found == pytest.approx(made, abs=0.15)
    model = fit.fit(CELL, NETWORKS[:100], ms[:100])
    assert model.dead_shares[cell_features.EXECUTED] == pytest.approx(found, abs=0.01)


@pytest.mark.parametrize("made", [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.0, 1.0, 0.0)])
def test_pruned_and_whole_graphs_need_no_shares(made):
    """Families of counts tell them. What was fitted is charged, and hardly ever taken."""
    taken = 0
    for seed in range(6):
        some = np.random.default_rng(seed).permutation(len(NETWORKS))[:60]
        ms = device(CELL, NETWORKS[some], made, seed=seed)
        taken += bool(fit.fit(CELL, NETWORKS[some], ms).dead_shares)
    assert taken <= 1
    true, dead = device(CELL, NETWORKS, made, noise=0), has_dead(NETWORKS)
    model = fit.fit(CELL, NETWORKS[some], ms)
    assert np.mean(np.abs(model.predict(NETWORKS)[0] / true - 1)[dead] <= 0.1) > 0.95


@pytest.mark.parametrize("made", [(0.8, 0.3, 0.0), (0.5, 0.5, 0.5)])
def test_cells_with_dead_branches_are_predicted_from_few_networks(made):
    true, dead, within = device(CELL, NETWORKS, made, noise=0), has_dead(NETWORKS), []
    for seed in range(4):
        some = np.random.default_rng(seed).permutation(len(NETWORKS))[:30]
        model = fit.fit(CELL, NETWORKS[some], device(CELL, NETWORKS[some], made, seed=seed))
        within.append(np.mean(np.abs(model.predict(NETWORKS)[0] / true - 1)[dead] <= 0.1))
    assert np.mean(within) > 0.9, within


def test_without_a_dead_branch_nothing_tells_a_share():
    live = NETWORKS[~has_dead(NETWORKS)][:40]
    ms = device(CELL, live, (0.0, 0.0, 0.0))
    assert dead_branches.shares(CELL, live, ms) is None
    assert not fit.fit(CELL, live, ms).dead_shares


def test_devices_keep_their_own_shares_in_a_transfer_and_in_files(tmp_path):
    networks = genome.sample_uniform(LARGE, 200, seed=3)
    rows = {"first": (0.9, 0.4, 0.1), "second": (0.3, 0.6, 0.0)}
    times = {name: device(LARGE, networks, made, 0.001) for name, made in rows.items()}
    sources = [fit.fit(LARGE, networks, ms, device=name) for name, ms in times.items()]
    assert all(source.dead_shares for source in sources)
    mine = 0.5 * times["first"] + 0.5 * times["second"]
    found = transfer.fit(LARGE, networks[:40], mine[:40], sources).model
    assert {"executed of 0", "executed of 1"} <= set(found.dead_shares)
    assert np.mean(np.abs(found.predict(networks)[0] / mine - 1) <= 0.05) > 0.95
    path = tmp_path / "model.json"
    predictor_file.save(path, found)
    np.testing.assert_array_equal(
        predictor_file.load(path).predict(networks), found.predict(networks)
    )
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"dead_shares": {"executed of 0": [0.5]}}))
    with pytest.raises(model_file.ModelFileError, match="no whole model"):
        predictor_file.load(path)


def test_a_file_without_shares_modes_and_absolute_noise_is_read(tmp_path):
    live = NETWORKS[~has_dead(NETWORKS)][:40]
    model = fit.fit(CELL, live, device(CELL, live, (0.0, 0.0, 0.0)))
    path = tmp_path / "model.json"
    predictor_file.save(path, model)
    record = json.loads(path.read_text())
    for name in ("dead_shares", "modes", "absolute_ms"):
        del record[name]
    path.write_text(json.dumps(record))
    again = predictor_file.load(path)
    np.testing.assert_array_equal(again.predict(NETWORKS)[0], model.predict(NETWORKS)[0])


def test_shares_count_alike_in_numpy_and_jax():
    networks, shares = genome.sample_uniform(LARGE, 64), {"executed": (0.8, 0.3, 0.1)}
    there = cell_features.features(LARGE, jnp.asarray(networks), jnp, dead_shares=shares)
    here = cell_features.features(LARGE, networks, dead_shares=shares)
    for name in ("executed", "occurs", "beside"):
        np.testing.assert_allclose(there[name], here[name], atol=1e-6)


def test_a_design_for_a_foreign_device_tells_its_shares():
    """Twins with and without dead branches are one program here, two networks there."""
    code, made = registry.get("nasbench201").genome, (0.8, 0.3, 0.0)
    rows = np.array([code.encode(g) for g in design.networks(code, 40, dead_share=0.4)])
    ms = device(CELL, rows, made)
    assert dead_branches.shares(CELL, rows, ms) == pytest.approx(made, abs=0.15)
