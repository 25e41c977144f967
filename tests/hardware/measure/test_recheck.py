"""Networks measured again beside a campaign's anchors, on the campaign's scale."""

import numpy as np
import pytest

from jaxnas.hardware import timing
from jaxnas.hardware.measure import campaign, campaign_file, recheck
from jaxnas.spaces import genome, genotype
from tests.campaign_toys import ALL_CELLS, DEVICE, SPACE, true_ms


def test_times_are_on_the_scale_of_the_campaign(measured, tmp_path):
    """A device that is slower by 30 % today is slower for the anchors too."""
    ms = dict(zip(measured.raw.labels, np.median(measured.raw.rounds_ms, 0), strict=True))

    def prepare(program, calls):
        if program.label in ms:
            time = ms[program.label]
        else:
            network = genome.encode(SPACE.choices, genotype.from_json(program.architecture))
            time = float(true_ms(network[None])[0])
        facts = dict.fromkeys(timing.FACTS, 1.0)
        return timing.TimedProgram(program.label, lambda: 1.3 * time, None, 1, facts)

    networks = ALL_CELLS[[6111, 1234]]
    genotypes = [SPACE.genome.decode(network) for network in networks]
    protocol = campaign.Protocol(4, 5, warm_up=False)
    times = recheck.recheck(
        measured, genotypes, tmp_path / "round", prepare, device=DEVICE, protocol=protocol
    )
    assert times.slowdown == pytest.approx(1.3, rel=0.01)
    assert times.latency_ms == pytest.approx(true_ms(networks), rel=0.01)
    with pytest.raises(campaign_file.CampaignError, match="--any-device"):
        recheck.recheck(
            measured, genotypes, tmp_path / "other", prepare, device=DEVICE | {"jax": "1"},
            protocol=protocol,
        )  # fmt: skip
