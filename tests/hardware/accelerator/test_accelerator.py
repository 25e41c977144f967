"""The analytic accelerator on layers that are counted by hand."""

import itertools

import numpy as np
import pytest

from jaxnas.hardware.accelerator import cost, dataflow, layer, space_layers
from jaxnas.hardware.accelerator.cost import Array
from jaxnas.hardware.accelerator.layer import LoopNest
from jaxnas.spaces import registry
from jaxnas.spaces.search_space import NetworkSize

LAYER = LoopNest(outputs=10, inputs=6, height=8, width=8, kernel=(3, 3))
DEPTHWISE = LoopNest(1, 1, 4, 4, (3, 3), stride=2, groups=12)
LINEAR = LoopNest(100, 64, 1, 1)
LAYERS = (LAYER, DEPTHWISE, LINEAR, LoopNest(16, 3, 32, 32, (3, 3)))


def test_layers_count_macs_and_words():
    assert LAYER.macs == 10 * 6 * 64 * 9
    assert LAYER.words == 10 * 6 * 9 + 10 * 64 + 6 * 64
    assert DEPTHWISE.macs == 12 * 16 * 9
    assert DEPTHWISE.words == 12 * (9 + 16 + 64)


def test_edges_of_the_loops_leave_elements_idle():
    # 10 outputs x 6 inputs on 16 elements: 5 x 3 fills two halves of each; 576 other steps.
    assert dataflow.tiles("weight_stationary", LAYER, 16).cycles.min() == 576 * 2 * 2
    assert dataflow.tiles("weight_stationary", LAYER, 60).cycles.min() == 576
    # 8 x 8 pixels on 16: four rounds; 540 other steps.
    assert dataflow.tiles("output_stationary", LAYER, 16).cycles.min() == 540 * 4
    # 3 rows of the kernel x 8 of the output on 16: 2 x 8 in two rounds, as 3 x 5.
    assert dataflow.tiles("row_stationary", LAYER, 16).cycles.min() == LAYER.macs // 24 * 2
    with pytest.raises(ValueError, match="No dataflow is called 'none'"):
        dataflow.tiles("none", LAYER, 16)


def test_latency_is_that_of_computing_or_of_moving():
    computing = cost.of_layer(LAYER, Array("weight_stationary", 60, 1e9))
    assert computing.latency_ms == pytest.approx(576 * 1e-6)
    moving = cost.of_layer(LAYER, Array("weight_stationary", 60, 1.0))
    assert moving.latency_ms == pytest.approx(2 * LAYER.words * 1e-6)
    # All 60 weights of a position at once: an input is shared by 10, a sum by 6 elements.
    accesses = 540 + LAYER.macs / 10 + LAYER.macs / 6
    energy = LAYER.macs + 6 * accesses + 200 * LAYER.words
    assert computing.energy_mj == pytest.approx(energy * 1e-9)


@pytest.mark.parametrize("flow", dataflow.DATAFLOWS)
@pytest.mark.parametrize("one", LAYERS, ids=lambda one: f"{one.macs}")
def test_more_elements_or_bandwidth_never_cost_time(flow, one):
    latency = lambda e, b: cost.of_layer(one, Array(flow, e, b)).latency_ms
    by_elements = [latency(e, 1e9) for e in range(1, 200)]
    assert all(b <= a for a, b in itertools.pairwise(by_elements))
    by_bandwidth = [latency(64, b) for b in np.linspace(0.1, 100, 50)]
    assert all(b <= a for a, b in itertools.pairwise(by_bandwidth))


def test_networks_go_where_they_end_first():
    # Two tasks, two arrays: apart 5 ms, both on the first 3 + 4 = 7.
    costs = np.array([[[3.0, 1], [9, 1]], [[4.0, 1], [5, 2]]])
    assert cost.assign(costs) == ((0, 1), cost.Cost(5.0, 3.0))
    # The second array is useless: one after another on the first.
    costs[:, 1, 0] = 100
    assert cost.assign(costs) == ((0, 0), cost.Cost(7.0, 2.0))


def test_the_layers_of_a_space_add_up():
    space, size = registry.get("nasbench201"), NetworkSize(features=4, cells=1, image=(8, 8, 3))
    counts = space_layers.layer_counts(space, size)
    row = np.array([3, 0, 2, 4, 3, 1])
    net = space.network(
        space.genome.decode(row), features=4, cells=1, classes=10, reductions=None, auxiliary=False
    )
    layers = layer.of_network(net, size.image)
    found = dict(zip(counts.layers, counts.of_genomes(row[None])[0], strict=True))
    assert {one: n for one, n in found.items() if n} == {one: layers.count(one) for one in layers}
    array = Array("row_stationary", 32, 4.0)
    np.testing.assert_allclose(
        space_layers.network_costs(counts, row[None], array)[0],
        space_layers.of_network(layers, array),
    )


def test_layers_of_kernels():
    assert layer.of_call((3, 3, 4, 8), (1, 8, 8, 4), (1, 4, 4, 8)) == LoopNest(
        8, 4, 4, 4, (3, 3), 2
    )
    assert layer.of_call((5, 5, 6), (1, 8, 8, 6), (1, 8, 8, 6)) == LoopNest(
        1, 1, 8, 8, (5, 5), groups=6
    )
    assert layer.of_call((1, 1, 2, 6), (1, 8, 8, 4), (1, 8, 8, 6)) == LoopNest(3, 2, 8, 8, groups=2)
    assert layer.of_call((64, 10), (1, 64), (1, 10)) == LoopNest(10, 64, 1, 1)
