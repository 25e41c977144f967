"""What rounds say: medians, wild rounds, noise and the ceiling."""

import math

import numpy as np
import pytest

from jaxnas.hardware.measure import round_statistics
from tools import bench_rounds


def drawn(rounds_of: int, noise: float, drift: np.ndarray | None = None, seed: int = 0):
    """(rounds, true milliseconds, pairs): 30 programs, the last ten twins of the first."""
    random = np.random.default_rng(seed)
    true = np.exp(random.uniform(-1, 2, 20))
    true = np.concatenate([true, true[:10]])
    slow = np.ones(rounds_of) if drift is None else drift
    times = true * slow[:, None] * np.exp(noise * random.standard_normal((rounds_of, 30)))
    return times, true, [(20 + i, i) for i in range(10)]


def test_rounds_take_a_drift_out_that_plain_medians_keep():
    # Slow in the first rounds, in which half of the programs were not sampled.
    drift = np.linspace(1.25, 1.0, 24)
    times, true, _ = drawn(24, 0.005, drift)
    times[:12, ::2] = np.nan
    relative = lambda found: np.abs(found / true / np.median(found / true) - 1).max()
    assert relative(round_statistics.summarise(times).latency_ms) < 0.01
    assert relative(np.nanmedian(times, 0)) > 0.03


def test_without_noise_the_medians_are_exact():
    drift = np.random.default_rng(1).uniform(1, 1.2, 9)
    times, true, pairs = drawn(9, 0.0, drift / np.median(drift))
    found = round_statistics.summarise(times)
    np.testing.assert_allclose(found.latency_ms, true, rtol=1e-12)
    np.testing.assert_allclose(found.spread_ms, 0, atol=1e-12)
    assert round_statistics.noise(times, pairs) == round_statistics.MeasurementNoise(
        0.0, 1.0, 10, ()
    )


def test_a_slow_round_counts_and_single_outliers_do_not():
    times, true, _ = drawn(20, 0.002)
    times[3] *= 2  # a round in which something else ran, as slow for all programs
    times[5:8, 4] *= 10  # a program that was hit
    found = round_statistics.summarise(times)
    assert found.used.all()
    np.testing.assert_allclose(found.latency_ms, true, rtol=0.01)
    assert found.samples[4] < found.samples[5:].max()


def test_a_machine_that_is_always_busy_keeps_all_of_its_rounds():
    times, _, _ = drawn(20, 0.001, np.linspace(1, 9, 20))
    assert round_statistics.summarise(times).used.all()


def test_wild_rounds_are_left_out_however_fast_they_are():
    times, true, _ = drawn(20, 0.01)
    times[:8] *= 0.7 * np.exp(np.random.default_rng(1).standard_normal((8, 30)))
    found = round_statistics.summarise(times)
    assert found.used.tolist() == [False] * 8 + [True] * 12
    np.testing.assert_allclose(found.latency_ms, true, rtol=0.02)


@pytest.mark.parametrize("kind", bench_rounds.KINDS)
def test_the_rule_is_never_worse_than_all_rounds_or_the_fastest(kind):
    """Mean error after one scale, of twenty devices; a hundredth is left to chance."""
    devices = [bench_rounds.made_up(kind, seed) for seed in range(20)]
    off = {
        name: np.mean([bench_rounds.error(*device, rule)[0] for device in devices])
        for name, rule in bench_rounds.RULES.items()
    }
    assert off["the product's"] <= 1.01 * min(off.values())
    if kind in ("drift", "heavy tails", "slow half"):
        assert off["the product's"] < 0.8 * off["the fastest"]


def test_a_row_with_few_programs_is_not_judged():
    times, true, _ = drawn(20, 0.01)
    times[4, 3:] = np.nan
    times[4, :3] *= np.array([1.0, 3.0, 0.3])
    found = round_statistics.summarise(times)
    assert found.used.all()
    np.testing.assert_allclose(found.latency_ms, true, rtol=0.02)


@pytest.mark.parametrize(("noise", "noisy"), [(0.01, False), (0.3, True)])
def test_a_noisy_device_is_said_to_be_noisy(noise, noisy):
    times, _, pairs = drawn(30, noise)
    found = round_statistics.noise(times, pairs)
    assert bool(found.reasons) == noisy
    if noisy:
        assert "equal programs differ by" in found.reasons[0]
        assert "repeat within 5%" in found.reasons[1]


def test_two_sessions_of_different_clocks_agree_after_one_scale():
    times, _, _ = drawn(20, 0.003)
    times[10:] *= 1.25
    assert round_statistics.retest(times) == 1.0
    times[10:, :6] *= 1.2
    assert round_statistics.retest(times) == pytest.approx(24 / 30)
    assert round_statistics.retest(times[:3]) is None


def test_the_ceiling_is_what_noise_of_that_size_allows():
    sigma = 0.1
    random = np.random.default_rng(0)
    latency = np.exp(random.uniform(0, 1, 500))
    errors = np.abs(sigma * random.standard_normal(4000))
    found = round_statistics.ceiling_of(latency, errors, round_statistics.RETEST)
    # A perfect model is within a share of p where |error| < p: the normal distribution's own.
    assert found.within10 == pytest.approx(math.erf(0.1 / sigma / math.sqrt(2)), abs=0.02)
    assert found.within5 == pytest.approx(math.erf(0.05 / sigma / math.sqrt(2)), abs=0.02)
    spread = np.std(np.log(latency))
    assert found.spearman == pytest.approx(spread / math.hypot(spread, sigma), abs=0.02)


@pytest.mark.parametrize("noise", [0.1, 0.25, 0.5])
def test_the_ceiling_agrees_with_the_retest_and_with_the_truth(noise):
    """Two pairs of twins do not tell it: a device that does not repeat has no ceiling of 100 %."""
    shares, ceilings, retests = [], [], []
    for seed in range(10):
        times, true, pairs = drawn(20, noise, seed=seed)
        found = round_statistics.summarise(times).latency_ms / true
        shares.append(np.mean(np.abs(found / np.median(found) - 1) <= 0.05))
        ceiling = round_statistics.ceiling(true, times, pairs[:2])
        assert ceiling.source == "retest" and ceiling.count == 30
        assert ceiling.within5_interval[0] < ceiling.within5 <= ceiling.within5_interval[1]
        ceilings.append(ceiling.within5)
        retests.append(round_statistics.retest(times))
    assert np.mean(ceilings) == pytest.approx(np.mean(shares), abs=0.1)
    assert np.mean(retests) < np.mean(ceilings)
    assert noise < 0.2 or np.mean(ceilings) < 0.9


def test_twins_lower_the_ceiling_where_there_are_enough_of_them():
    """Two compilations of a program differ by 20 %, which no half of the rounds shows."""
    times, true, pairs = drawn(20, 0.01)
    times[:, 20:] *= 1.2
    assert round_statistics.ceiling(true, times, pairs[:4]).source == "retest"
    found = round_statistics.ceiling(true, times, pairs)
    assert (found.source, found.count, found.within5) == ("twins", 10, 0.0)


def test_a_ceiling_of_few_is_told_with_its_interval():
    quiet = np.ones((3, 3)) * np.array([1.0, 2.0, 2.0])  # too few rounds for halves
    found = round_statistics.ceiling(np.array([1.0, 2.0]), quiet, [(2, 1)])
    assert (found.within5, found.source, found.count) == (1.0, "twins", 1)
    assert found.within5_interval == (pytest.approx(0.27, abs=0.01), 1.0)
    assert round_statistics.ceiling(np.array([1.0, 2.0]), quiet, []) is None
    text = round_statistics.ceiling_text(found._asdict())
    assert "100% within 5 % (90 % interval 27 to 100 %)" in text
    assert text.endswith("by the twins of 1 pair")


def test_a_program_that_was_never_sampled_is_named():
    with pytest.raises(ValueError, match="Program 1 has no valid sample"):
        round_statistics.summarise(np.array([[1.0, np.nan], [1.0, np.nan]]))
    with pytest.raises(ValueError, match="matrix"):
        round_statistics.summarise(np.empty((0, 3)))
