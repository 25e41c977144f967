"""Schedules against the values of the papers' code."""

import numpy as np
import optax
import pytest

from jaxnas.core import schedules

# (settings, {epoch as the code counts, from 1: learning rate})
COSINE_POWER = [
    (
        {"start": 0.1, "end": 1e-4, "epochs": 100, "power": 10},
        {
            1: 0.1, 2: 0.099811036, 5: 0.098499842, 25: 0.068270594, 50: 0.024116437,
            75: 0.0045542142, 99: 0.00010631161, 100: 1e-4,
        },
    ),
    (
        {"start": 0.025, "end": 7.5e-4, "epochs": 1000, "power": 2},
        {250: 0.020318507, 500: 0.010794713, 750: 0.0033408774},
    ),
    (
        {"start": 0.025, "end": 1e-4, "epochs": 120, "power": 2, "warm_up": 5},
        {
            1: 0.00425, 2: 0.0084, 5: 0.02085, 6: 0.025, 7: 0.024974252, 30: 0.02127555,
            60: 0.01125669, 90: 0.0029958436, 119: 0.0001032201, 120: 1e-4,
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "golden"), COSINE_POWER)
def test_cosine_power_annealing_equals_its_tables(settings, golden, x64):
    annealing = schedules.cosine_power(**settings)
    for epoch, rate in golden.items():
        assert float(annealing(epoch - 1)) == pytest.approx(rate, rel=5e-7)


def test_the_first_power_is_the_plain_cosine(x64):
    annealing = schedules.cosine_power(0.1, 0.0, epochs=50, power=1)
    plain = optax.cosine_decay_schedule(0.1, 50)
    found = np.array([annealing(epoch) for epoch in range(50)])
    expected = np.array([plain(epoch + 1) for epoch in range(50)])
    np.testing.assert_allclose(found, expected / expected[0] * 0.1, rtol=1e-6)


@pytest.mark.parametrize(("epoch", "golden"), [(0, 10.0), (1, 9.96024), (125, 5.03012), (249, 0.1)])
def test_temperatures_of_gdas_fall_in_a_line(epoch, golden):
    assert float(schedules.linear_decay(10.0, 0.1, 250)(epoch)) == pytest.approx(golden, rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"power": 0.5}, "power"),
        ({"start": 0.0}, "falls"),
        ({"end": 0.1}, "falls"),
        ({"warm_up": 9}, "warm-up"),
        ({"warm_up": -1}, "warm-up"),
    ],
)
def test_refuses_an_annealing_that_cannot_be(settings, cause):
    fine = {"start": 0.1, "end": 1e-4, "epochs": 10, "power": 2}
    with pytest.raises(ValueError, match=cause):
        schedules.cosine_power(**fine | settings)


@pytest.mark.parametrize("ends", [(0.0, 0.0), (1.0, 0.0), (0.1, 1.0), (1.0, -1.0)])
def test_refuses_temperatures_that_do_not_fall_or_end_at_zero(ends):
    with pytest.raises(ValueError, match="temperature"):
        schedules.linear_decay(*ends, epochs=10)
    with pytest.raises(ValueError, match="two epochs"):
        schedules.linear_decay(1.0, 0.1, epochs=1)
