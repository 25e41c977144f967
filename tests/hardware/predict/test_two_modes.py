"""Times in two groups are told, and no prediction stands between them."""

import jax
import numpy as np
import pytest

from jaxnas.hardware import expectation
from jaxnas.hardware.predict import fit, metrics, model_file, predictor_file, two_modes
from jaxnas.hardware.predict.features import cell_features
from jaxnas.spaces import choices as space_choices
from jaxnas.spaces import genome
from jaxnas.spaces.nasbench201 import choices

CELL = choices.nasbench201()
NETWORKS = genome.sample_uniform(CELL, 1500, seed=11)
LARGE = {
    "normal": space_choices.uniform(space_choices.dag(2, 3), (*choices.NASBENCH201_CANDIDATES,))
}
POOL = 3  # of live words


def falling_back(space, networks, noise=0.02, seed=0):
    """An accelerator of 8 to 25 ms whose pools run on the host: 55 to 170 ms."""
    live = cell_features.features(space, networks)["live"]
    ms = 8 + live @ np.array([0.1, 1.5, 2.5, 0.5, 0.2])
    ms = ms + np.where(live[:, POOL] > 0, 45 + 18 * live[:, POOL], 0)
    return ms * np.exp(noise * np.random.default_rng(seed).standard_normal(len(ms)))


def test_two_modes_are_told_by_their_ends():
    ms = np.concatenate([np.linspace(10, 20, 14), np.linspace(55, 170, 10)])
    modes = two_modes.find(np.random.default_rng(0).permutation(ms))
    assert modes == ((10, 20), (55, 170))
    assert two_modes.text(modes) == (
        "two modes: 10 to 20 ms and 55 to 170 ms; no network lies between"
    )


@pytest.mark.parametrize(
    "ms",
    [
        np.linspace(10, 170, 40),
        [1.0, 4.0],
        [10, 11, 12, 13, 14, 15, 16, 17, 18, 90],  # a single one is an outlier
        [10, 11, 12, 30, 31, 32, 90, 91, 92, 93],  # three
        [10, 11, 12, 13, 14, 18, 19, 20, 21, 22],  # too near
    ],
)
def test_one_mode_is_no_two(ms):
    assert two_modes.find(np.array(ms, float)) is None


def test_devices_of_one_mode_are_hardly_ever_said_to_have_two():
    groups, said = cell_features.features(CELL, NETWORKS), 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        ms = random.uniform(1, 6) + groups["live"] @ random.uniform(0, 1.5, 5)
        some = random.permutation(len(ms))[: (20, 100)[seed % 2]]
        said += two_modes.find(ms[some]) is not None
    assert said <= 3


def test_what_lies_between_goes_to_the_nearer_mode():
    modes = two_modes.Modes((10.0, 20.0), (80.0, 170.0))
    ms = np.array([5.0, 15.0, 39.0, 41.0, 90.0, 200.0])
    assert two_modes.move(modes, ms).tolist() == [5, 15, 20, 80, 90, 200]
    assert two_modes.move(None, ms) is ms


def test_predictions_are_moved_where_that_helps_only():
    ms = np.concatenate([np.linspace(10, 20, 14), np.linspace(55, 170, 10)])
    unsure = np.where(ms < 30, 25.0, 45.0)  # right of the modes, but between them
    assert two_modes.helpful(ms, unsure) is not None
    assert two_modes.helpful(ms, np.where(ms < 30, 45.0, 25.0)) is None  # wrong of the modes
    assert two_modes.helpful(ms, ms) is None
    assert two_modes.helpful(np.linspace(10, 20, 14), unsure[:14]) is None


@pytest.mark.parametrize(("count", "within10"), [(20, 60), (60, 95)])
def test_operations_that_fall_back_are_learnt(count, within10):
    """Without the indicators, and with means between the modes, within 10 %: 37 and 81."""
    true, scores, between = falling_back(CELL, NETWORKS, noise=0), [], []
    modes = two_modes.find(true)
    for seed in range(5):
        some = np.random.default_rng(seed).permutation(len(NETWORKS))[:count]
        model = fit.fit(CELL, NETWORKS[some], falling_back(CELL, NETWORKS[some], seed=seed))
        ms, low, high = model.predict(NETWORKS)
        scores.append(metrics.quality(true, ms, low, high).within10)
        between.append(np.mean((ms > 1.05 * modes.fast_ms[1]) & (ms < 0.95 * modes.slow_ms[0])))
    assert np.mean(scores) > within10, scores
    assert np.mean(between) < 0.1, between


def test_moved_predictions_are_those_of_files_and_of_expectations(tmp_path):
    networks = genome.sample_uniform(LARGE, 60, seed=2)
    model = fit.fit(LARGE, networks, falling_back(LARGE, networks))
    model = model._replace(modes=two_modes.Modes((1.0, 30.0), (100.0, 200.0)))
    ms = model.predict(networks)[0]
    assert not ((ms > 30.01) & (ms < 99.9)).any() and {30.0, 100.0} & set(ms.round(3))
    take = jax.jit(expectation.expected(model))
    for network, predicted in zip(networks[:8], ms, strict=False):
        assert float(take(genome.one_hot(LARGE, network))) == pytest.approx(predicted, rel=1e-4)
    path = tmp_path / "model.json"
    predictor_file.save(path, model)
    again = predictor_file.load(path)
    assert again.modes == model.modes
    np.testing.assert_array_equal(again.predict(networks), model.predict(networks))
    predictor_file.save(path, model._replace(modes=two_modes.Modes((1.0, 30.0), (20.0, 200.0))))
    with pytest.raises(model_file.ModelFileError, match="overlap"):
        predictor_file.load(path)
