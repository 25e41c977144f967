"""Networks measured again beside a campaign's anchors, on the campaign's scale."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rich.console

from jaxnas.hardware import device as hardware
from jaxnas.hardware import programs
from jaxnas.hardware.measure import campaign, campaign_file, round_statistics
from jaxnas.hardware.measure.campaign_file import CampaignError
from jaxnas.hardware.measure.dataset import CampaignDataset
from jaxnas.hardware.programs import Program
from jaxnas.hardware.timing import TimedProgram
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.search_space import NetworkSize

ANCHORS = 10  # networks of the campaign, evenly from the fastest to the slowest


class RecheckedTimes(NamedTuple):
    latency_ms: np.ndarray  # f64[n], on the campaign's scale
    slowdown: float  # median ratio of anchors' times, this session over the campaign
    noisy: tuple[str, ...]  # reasons why the device is noisy; empty: it is not


def recheck(
    dataset: CampaignDataset,
    genotypes: Sequence[Genotype],
    folder: Path,
    prepare: Callable[[Program, int | None], TimedProgram],
    *,
    device: dict[str, Any],
    protocol: campaign.Protocol,
    console: rich.console.Console | None = None,
    sizes: Sequence[NetworkSize] | None = None,
) -> RecheckedTimes:
    """Measures genotypes of the campaign's space in interleaved rounds, as a campaign in `folder`.

    The reference and ten networks of the campaign (anchors) are timed with them; all times are
    divided by the median ratio of the anchors' times, new over old. Raises CampaignError on another
    device than the campaign's, and what `campaign.measure_all` raises; a folder is resumed.
    `sizes`: of the genotypes' networks, by default the campaign's. Equal networks are timed once.
    """
    if changes := hardware.differences(dataset.raw.header["device"], device):
        raise CampaignError(
            f"{dataset.path} was measured elsewhere: {'; '.join(changes)}. Measure on this device, "
            "or add --any-device to search by the model alone."
        )
    anchors, campaign_ms = _anchors(dataset)
    new = []
    for genotype, size in zip(genotypes, sizes or [dataset.size] * len(genotypes), strict=True):
        program = programs.of_genotype(genotype, dataset.space, size)
        if size != dataset.size:
            program = program._replace(label=f"{program.label} at {size.features} features")
        new.append(program)
    unique = {program.label: program for program in (*anchors, *new)}
    all_programs = list(unique.values())
    settings = json.loads(json.dumps(dict(dataset.settings))) | {
        "campaign": dataset.digest, "programs": [program.label for program in all_programs],
    }  # fmt: skip
    campaign.measure_all(
        all_programs, folder, prepare, device=device, settings=settings, protocol=protocol,
        console=console,
    )  # fmt: skip
    raw = campaign_file.read(folder / campaign_file.RAW)
    ms = dict(zip(raw.labels, round_statistics.summarise(raw.rounds_ms).latency_ms, strict=True))
    slowdown = float(
        np.median(
            [ms[p.label] / anchor_ms for p, anchor_ms in zip(anchors, campaign_ms, strict=True)]
        )
    )
    noise = round_statistics.noise(raw.rounds_ms, campaign_file.pairs(raw))
    return RecheckedTimes(
        np.array([ms[program.label] for program in new]) / slowdown, slowdown, noise.reasons
    )


def _anchors(dataset: CampaignDataset) -> tuple[list[Program], np.ndarray]:
    """(reference and networks spread evenly over the ranks, their latencies in the campaign)."""
    order, size = np.argsort(dataset.latency_ms, kind="stable"), dataset.size
    ranks = np.unique(np.linspace(0, len(order) - 1, min(ANCHORS, len(order))).round().astype(int))
    networks = [
        programs.of_genotype(dataset.genotypes[order[i]], dataset.space, size) for i in ranks
    ]
    latency_ms = [float(dataset.latency_ms[order[i]]) for i in ranks]
    # Networks compiled again, "(again)", are one program here.
    unique = {
        program.label: (program, ms) for program, ms in zip(networks, latency_ms, strict=True)
    }
    reference = programs.reference()
    if reference.label in dataset.raw.labels:
        all_ms = round_statistics.summarise(dataset.raw.rounds_ms).latency_ms
        ms = float(all_ms[dataset.raw.labels.index(reference.label)])
        unique = {reference.label: (reference, ms)} | unique
    return [program for program, _ in unique.values()], np.array([ms for _, ms in unique.values()])
