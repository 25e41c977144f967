"""What a supernet chooses under a latency, beside all networks that just meet it."""

import numpy as np
import pytest

from experiments import ranking_figures, ranking_targets, targets_baselines
from jaxnas.evaluators import nasbench201 as benchmark
from tests import paths
from tests.campaign_toys import SPACE, in_ms

TABLE = paths.SHARED / "nasbench" / "nb201.npz"


def test_the_choice_is_the_lowest_loss_of_networks_near_the_target(model):
    limit, asked = in_ms(model, 0.16), []

    def evaluate(gates):
        codes = gates["cell"].argmax(-1)
        asked.append(codes)
        return np.zeros(len(codes)), np.arange(len(codes))[::-1]

    code = ranking_targets.choose(SPACE, limit, evaluate, 7, seed=1)
    assert len(asked[0]) == 7 and code == asked[0][-1].tolist()
    assert np.array_equal(asked[0], targets_baselines.draw(SPACE, limit, 7, 1))
    # As many as there are, where they are fewer.
    ranking_targets.choose(SPACE, limit, evaluate, 10**6, seed=1)
    assert len(asked[1]) == len(targets_baselines.near(SPACE, limit, 1))


@pytest.mark.skipif(not TABLE.exists(), reason=f"no table of NAS-Bench-201: {TABLE}")
def test_a_choice_is_told_beside_all_networks_of_its_target(model):
    truth, limit = benchmark.load(TABLE), in_ms(model, 0.16)
    near = targets_baselines.near(SPACE, limit)
    accuracies = [ranking_figures.entry(truth, row)["test"] for row in near]
    best = near[int(np.argmax(accuracies))].tolist()
    rows = [
        {"method": "uniform", "seed": seed, "targets": {"0.16": ranking_targets.entry(truth, best)}}
        for seed in (0, 1)
    ]
    times = {("uniform", 0, "0.16"): 0.155, ("uniform", 1, "0.16"): 0.2}
    (line,) = ranking_targets.summary(truth, rows, {0.16: limit}, times, SPACE).rows
    assert line[1].startswith(f"{max(accuracies):.2f} ± 0.00")
    assert line[3] == "1 of 2" and line[5] == str(len(near)) and line[9] == "2 of 2"
    assert line[6] == f"{max(accuracies) - np.mean(accuracies):+.2f}"
    # All but itself.
    assert line[10] == f"{1 - 1 / len(near):.0%}"


@pytest.mark.parametrize(
    ("latency", "targets"), [(None, (0.1,)), ("somewhere", ())], ids=["no campaign", "no target"]
)
def test_a_campaign_and_targets_stand_together(latency, targets):
    with pytest.raises(ValueError, match="stand together"):
        ranking_targets.limits(latency, targets)
