"""Networks on an accelerator together: the figures of a product of design spaces."""

import numpy as np
import pytest

from jaxnas.evaluators import accelerator
from jaxnas.hardware.accelerator import cost, layer, space_layers
from jaxnas.hardware.accelerator.cost import Array
from jaxnas.spaces import registry
from jaxnas.spaces.search_space import NetworkSize
from jaxnas.strategies import evaluation, strategy
from jaxnas.strategies.designs import accelerators, combine, networks
from jaxnas.strategies.goals import Goal
from jaxnas.strategies.regularised_evolution import regularised_evolution

SPACE, SIZE = registry.get("nasbench201"), NetworkSize(features=4, cells=1, image=(8, 8, 3))


def test_the_figures_are_those_of_the_networks_on_their_arrays():
    scored = accelerator.accelerator(SPACE, {"a": SIZE, "b": SIZE})
    hardware = accelerators.accelerators(2, (16, 64), (1, 4), 80, 8)
    space = combine.product(
        a=networks.of_space(SPACE), b=networks.of_space(SPACE), hardware=hardware
    )
    row = np.array([3, 0, 0, 3, 0, 3, 1, 1, 1, 1, 1, 1, 0, 1, 1, 2, 0, 0])
    (found,) = evaluation.evaluate(space, scored, row[None], 0)
    arrays = (Array("weight_stationary", 64, 4), Array("row_stationary", 16, 1))
    layers = [
        layer.of_network(
            SPACE.network(
                SPACE.genome.decode(part), features=4, cells=1, classes=10, reductions=None,
                auxiliary=False,
            ),
            SIZE.image,
        )
        for part in SPACE.genome.canonical(row[:12].reshape(2, 6))
    ]  # fmt: skip
    costs = [[space_layers.of_network(one, array) for array in arrays] for one in layers]
    expected = cost.assign(np.array(costs))[1]
    assert found["latency_ms"] == pytest.approx(expected.latency_ms)
    assert found["energy_mj"] == pytest.approx(expected.energy_mj)
    assert found["area_mm2"] == pytest.approx(80 * cost.ELEMENT_MM2 + 5 * cost.BANDWIDTH_MM2)


def test_accelerators_keep_the_totals():
    space = accelerators.accelerators(2, (16, 64), (1, 4), 80, 5)
    goals = (Goal("x", 1),)
    elements = lambda rows: np.array([16, 64])[rows[:, 1::3]].sum(1)
    bandwidth = lambda rows: np.array([1, 4])[rows[:, 2::3]].sum(1)
    value = lambda rows: (elements(rows) + bandwidth(rows))[:, None].astype(float)
    made = regularised_evolution(space, goals, population=10, tournament=3)
    history = strategy.simulate(made, value, 60, 0)
    assert history.values.max() == 85
    assert elements(history.designs).max() == 80 and bandwidth(history.designs).max() == 5
    with pytest.raises(ValueError, match="6 arrays do not fit 80 elements"):
        accelerators.accelerators(6, (16, 64), (1, 4), 80, 5)
