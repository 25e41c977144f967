"""Found networks timed as a campaign timed its own, beside some of those, so that scales agree."""

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

ANCHORS = 10  # of the campaign's networks, from the fastest to the slowest


class RecheckedTimes(NamedTuple):
    latency_ms: np.ndarray  # f64[n], on the campaign's scale
    slower: float  # this session over the campaign: the median over what both have timed
    noisy: tuple[str, ...]  # why the device is called noisy; empty: it is not


def recheck(
    old: CampaignDataset,
    found: Sequence[Genotype],
    folder: Path,
    prepare: Callable[[Program, int | None], TimedProgram],
    *,
    device: dict[str, Any],
    protocol: campaign.Protocol,
    console: rich.console.Console | None = None,
    size: NetworkSize | None = None,
) -> RecheckedTimes:
    """Milliseconds of genotypes of the campaign's space, in interleaved rounds in `folder`.

    The reference and ten networks of the campaign are timed with them; all times are divided by
    the median ratio of theirs, now to then. Raises CampaignError on another device than the
    campaign's, and what `campaign.measure_all` raises; a folder is taken up where it was left.
    `size`: that of the genotypes' networks, by default the campaign's.
    """
    if changed := hardware.differences(old.raw.header["device"], device):
        raise CampaignError(
            f"{old.path} was measured elsewhere: {'; '.join(changed)}. Measure on this device, or "
            "add --any-device to search by the model alone."
        )
    anchors, then_ms = _anchors(old)
    known = {program.label for program in anchors}
    new = [programs.of_genotype(each, old.space, size or old.size) for each in found]
    if size is not None:
        new = [p._replace(label=f"{p.label} at {size.features} features") for p in new]
    everything = [*anchors, *(program for program in new if program.label not in known)]
    settings = json.loads(json.dumps(dict(old.settings))) | {
        "campaign": old.digest, "programs": [program.label for program in everything],
    }  # fmt: skip
    campaign.measure_all(
        everything, folder, prepare, device=device, settings=settings, protocol=protocol,
        console=console,
    )  # fmt: skip
    raw = campaign_file.read(folder / campaign_file.RAW)
    ms = dict(zip(raw.labels, round_statistics.summarise(raw.rounds_ms).latency_ms, strict=True))
    slower = float(np.median([ms[p.label] / t for p, t in zip(anchors, then_ms, strict=True)]))
    noise = round_statistics.noise(raw.rounds_ms, campaign_file.pairs(raw))
    return RecheckedTimes(
        np.array([ms[program.label] for program in new]) / slower, slower, noise.reasons
    )


def _anchors(old: CampaignDataset) -> tuple[list[Program], np.ndarray]:
    """The reference and networks spread evenly over the ranks; what the campaign says they take."""
    order, size = np.argsort(old.latency_ms, kind="stable"), old.size
    some = np.unique(np.linspace(0, len(order) - 1, min(ANCHORS, len(order))).round().astype(int))
    made = [programs.of_genotype(old.genotypes[order[i]], old.space, size) for i in some]
    then = [float(old.latency_ms[order[i]]) for i in some]
    # "(again)" twins are one program under two names.
    unique = {program.label: (program, ms) for program, ms in zip(made, then, strict=True)}
    reference = programs.reference()
    if reference.label in old.raw.labels:
        every = round_statistics.summarise(old.raw.rounds_ms).latency_ms
        ms = float(every[old.raw.labels.index(reference.label)])
        unique = {reference.label: (reference, ms)} | unique
    return [program for program, _ in unique.values()], np.array([t for _, t in unique.values()])
