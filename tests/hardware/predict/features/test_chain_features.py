"""Settings of a whole network (resolution, batch, width) multiply its layers."""

import json

import jax
import numpy as np
import pytest

from jaxnas.core.types import Choice
from jaxnas.hardware import cost, expectation
from jaxnas.hardware.predict import baselines, fit, metrics, model_file, predictor_file, transfer
from jaxnas.hardware.predict.features import chain_features
from jaxnas.spaces import distribution, genome, registry

NAMES = ("skip", "k3_e1", "k3_e3", "k3_e6", "k5_e3", "k5_e6")
RESOLUTIONS = ("128", "160", "192", "224", "256")
LAYERS = 12
MS = np.array([0.02, 0.1, 0.17, 0.27, 0.23, 0.37])  # of the candidates


def chain(layers=LAYERS, names=NAMES, **settings):
    """A space: its settings, one after the other, and then its layers."""
    space = {
        name: Choice(((i, i + 1),), (tuple(words),))
        for i, (name, words) in enumerate(settings.items())
    }
    edges = tuple((len(space) + i, len(space) + i + 1) for i in range(layers))
    return space | {"layers": Choice(edges, (names,) * layers)}


SPACE = chain(resolution=RESOLUTIONS)
SMALL = chain(3, NAMES[:4], resolution=("r64", "r96", "r128"), batch=("b1", "b2"))


def device(space, powers, seed=0, noise=0.02, launch=1.0):
    """Made up: the launch, and settings to their powers times the sum of the layers' costs."""
    random = np.random.default_rng(seed)
    settings = chain_features.settings(space)
    layers = [p for p in range(len(genome.positions(space))) if p not in settings]
    count = len(genome.positions(space)[layers[0]].candidates)
    costs = MS[:count] * np.exp(
        0.3 * random.standard_normal((len(layers), 1))
        + 0.1 * random.standard_normal((len(layers), count))
    )

    def take(networks):
        factor = np.ones(len(networks))
        for (p, numbers), power in zip(settings.items(), powers, strict=True):
            factor *= (numbers[networks[:, p]] / numbers.mean()) ** power
        ms = launch + factor * costs[np.arange(len(layers)), networks[:, layers]].sum(1)
        return ms * np.exp(noise * random.standard_normal(len(networks)))

    return take


def judged(space, take, count, seed=1):
    """(quality of our model, that of the look-up table, our model), fitted to `count` networks."""
    networks = genome.sample_uniform(space, count + 500, seed)
    ms = take(networks)
    model = fit.fit(space, networks[:count], ms[:count])
    table = baselines.baselines(space)["table"](networks[:count], ms[:count])
    found = [
        metrics.quality(ms[count:], *predict(networks[count:]))
        for predict in (model.predict, table)
    ]
    return (*found, model)


def test_a_resolution_multiplies_the_layers_from_few_networks():
    few, many = [], []
    for seed in range(3):
        take = device(SPACE, (2,), seed)
        ours, table, model = judged(SPACE, take, 20, seed)
        few.append((ours, table))
        assert len(model.factors) == 1
        many.append(judged(SPACE, take, 100, seed)[0])
    ours, table = (metrics.mean(column) for column in zip(*few, strict=True))
    assert ours.spearman > 0.97 > 0.8 > table.spearman
    assert ours.within10 > 80 > 40 > table.within10
    ours = metrics.mean(many)
    assert ours.spearman > 0.99 and ours.within10 > 99
    assert ours.within5 > 85  # of the times themselves 98.8 %


def test_a_setting_that_is_no_power_has_a_value_a_candidate():
    """Resolutions in tiles: two cost as much as the next larger ones."""
    tiles, random = np.array([0.4, 0.42, 1.0, 1.05, 1.7]), np.random.default_rng(0)
    times_layers = device(SPACE, (0,), noise=0.0)

    def take(networks):
        ms = 1 + tiles[networks[:, 0]] * (times_layers(networks) - 1)
        return ms * np.exp(0.02 * random.standard_normal(len(networks)))

    ours, _, model = judged(SPACE, take, 100)
    assert ours.within10 > 97
    (factor,) = model.factors
    np.testing.assert_allclose(factor.values[0, :5], tiles / tiles.mean(), atol=0.06)


def test_three_settings_multiply_each_other():
    space = chain(
        resolution=("r128", "r160", "r192", "r224"),
        batch=("b1", "b2", "b4"),
        width=("w0.5", "w0.75", "w1.0"),
    )
    ours, table, model = judged(space, device(space, (2, 1, 1.5)), 60)
    assert len(model.factors) == 1
    assert ours.spearman > 0.99 and ours.within10 > 95 > 30 > table.within10


def test_a_setting_that_multiplies_nothing_is_left_a_layer():
    ours, _, model = judged(SPACE, device(SPACE, (0,)), 100)
    assert model.factors == ()
    assert ours.within10 > 97


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (SPACE, {0: [128, 160, 192, 224, 256]}),
        (chain(width=("w0.75", "w1.0", "w1.25")), {0: [0.75, 1, 1.25]}),
        (SMALL, {0: [64, 96, 128], 1: [1, 2]}),
        (chain(batch=("batch_1", "batch_8")), {0: [1, 8]}),
        (chain(), {}),
        (chain(names=("conv_3x3", "conv_5x5")), {}),
        (chain(names=("k3", "k5", "k7")), {}),  # kernels of layers
        (chain(layers=2, names=("16", "24")), {}),  # widths of layers
        (chain(a=("1",)), {}),  # no choice
        (chain(a=("1", "1.0")), {}),
        (chain(a=("0", "1")), {}),
        (chain(a=("r160", "w192")), {}),
        (chain(a=("r160", "skip")), {}),
        (chain(a=("d2", "d3"), b=("d2", "d3", "d4")), {}),  # depths of stages
    ],
)
def test_settings_are_numbers_that_stand_once(space, expected):
    found = chain_features.settings(space)
    assert {p: numbers.tolist() for p, numbers in found.items()} == expected


@pytest.mark.parametrize("name", sorted(registry.SPACES))
def test_the_layers_of_our_own_spaces_are_no_settings(name):
    space = registry.get(name).genome.space
    assert not genome.is_chain(space) or not chain_features.settings(space)


def test_a_chain_without_settings_has_the_model_it_always_had(tmp_path, monkeypatch):
    """No powers are looked for, and its file is one that is read by a jaxnas without settings."""
    monkeypatch.setattr(chain_features, "best_powers", None)
    space = chain(4)
    networks = genome.sample_uniform(space, 40)
    model = fit.fit(space, networks, device(space, ())(networks), device="made up")
    assert model.factors == ()
    predictor_file.save(tmp_path / "model.json", model)
    record = json.loads((tmp_path / "model.json").read_text())
    assert record["version"] == 1 and "factors" not in record
    every = chain_features.features(space, networks, chain_features.bases(space))
    assert not any("settings" in name for name in every)
    with pytest.raises(TypeError):
        fit.fit(SPACE, genome.sample_uniform(SPACE, 20), np.linspace(1, 2, 20))


def test_a_large_batch_is_no_other_unit():
    space = chain(8, batch=("1", "64"))
    take = device(space, (1,), launch=0.1)
    ours, _, model = judged(space, take, 60)
    assert model.factors and ours.within10 > 97
    networks = genome.sample_uniform(space, 60)
    ms = take(networks)
    mixed = np.where((networks[:, 0] == 1) & (np.arange(60) % 2 > 0), 1e3 * ms, ms)
    with pytest.raises(fit.FitError, match="one unit"):
        fit.fit(space, networks, mixed)


@pytest.fixture(scope="module")
def small():
    networks = genome.sample_uniform(SMALL, 60)
    model = fit.fit(SMALL, networks, device(SMALL, (2, 1))(networks), device="made up")
    assert model.factors and model.pairs is not None
    return model


def every_network(space):
    shape = genome.cardinalities(space)
    return np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), 1)


def test_the_expectation_is_that_over_all_networks(small):
    keys = jax.random.split(jax.random.key(0), len(SMALL))
    gates = {
        name: jax.nn.softmax(1.5 * jax.random.normal(key, choice.shape))
        for key, (name, choice) in zip(keys, SMALL.items(), strict=True)
    }
    networks = every_network(SMALL)
    rows = distribution.factorised(SMALL).probabilities(gates)
    chance = np.prod([np.asarray(row, float)[networks[:, p]] for p, row in enumerate(rows)], 0)
    found = jax.jit(expectation.expected(small))(gates)
    assert float(found) == pytest.approx(chance @ small.predict(networks)[0], rel=1e-5)
    one_hot = expectation.expected(small)(genome.one_hot(SMALL, networks[17]))
    assert float(one_hot) == pytest.approx(small.predict(networks[17:18])[0][0], rel=1e-5)


def test_draws_that_depend_on_each_other_are_refused(small):
    draws = distribution.factorised(SMALL)._replace(factorised=False)
    with pytest.raises(ValueError, match="drawn by themselves"):
        expectation.expected(small, draws)


def test_the_bounds_are_those_over_all_networks(small):
    ms = small.predict(every_network(SMALL))[0]
    space = registry.get("nasbench201")._replace(edges_per_node=None)
    assert cost.bounds(space, small) == pytest.approx((ms.min(), ms.max()), rel=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_never_negative_and_never_faster_when_an_operation_grows(seed):
    """Times that have nothing to do with the networks, but for a trace of the settings."""
    random = np.random.default_rng(seed)
    networks = random.permutation(every_network(SMALL))[:40]
    ms = random.uniform(0.5, 9, 40) * (1.0 + networks[:, 0]) ** (-1) ** seed
    found = fit.fit(SMALL, networks, ms)
    parts = chain_features.Factor(
        chain_features.setting_values(SMALL, (2, 1)), random.standard_normal((5, 4))
    )
    parts.costs[:2] = 0
    spoiled = found._replace(
        factors=(parts, *found.factors), pairs=random.standard_normal((4, 4, 4))
    )
    for model in (found, fit.enforce_monotone(spoiled)):
        every = every_network(SMALL)
        predicted = model.predict(every)[0]
        assert (predicted > 0).all()
        for position, small_index, large in [(2, 1, 2), (3, 2, 3), (4, 1, 3)]:
            less = every[every[:, position] == small_index]
            more = less.copy()
            more[:, position] = large
            gain = model.predict(more)[0] - model.predict(less)[0]
            assert (gain >= -1e-5 * model.median_ms).all()


def test_is_read_back_as_it_was_written(small, tmp_path):
    predictor_file.save(tmp_path / "model.json", small)
    record = json.loads((tmp_path / "model.json").read_text())
    assert record["version"] == 2  # a jaxnas that knows no settings must not read it
    back = predictor_file.load(tmp_path / "model.json", space=SMALL)
    networks = every_network(SMALL)
    np.testing.assert_array_equal(back.predict(networks), small.predict(networks))


@pytest.mark.parametrize(
    "factors", [[[[1.0]]], [[[[1.0]], [[1.0]]]], 5, [[None, None]], [["a", "b"]], [[[1e300], [1]]]]
)
def test_a_file_of_broken_settings_is_refused(small, tmp_path, factors):
    predictor_file.save(tmp_path / "model.json", small)
    record = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(record | {"factors": factors}))
    with pytest.raises(model_file.ModelFileError, match="no whole model"):
        predictor_file.load(tmp_path / "model.json")


def test_sources_lend_their_settings_to_a_new_device():
    networks = genome.sample_uniform(SPACE, 340, 3)
    source = device(SPACE, (2,), 5)(networks[:100])
    mine = 3 * device(SPACE, (2,), 5, noise=0.005)(networks)
    model = fit.fit(SPACE, networks[:100], source, device="other")
    found = transfer.fit(SPACE, networks[100:112], mine[100:112], [model])
    assert found.share > 0 and found.model.factors
    error = np.abs(found.model.predict(networks[112:])[0] / mine[112:] - 1)
    assert np.mean(error < 0.1) > 0.9
