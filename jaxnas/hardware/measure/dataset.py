"""A campaign's folder as what a model is fitted to: networks, their times, and of what size."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxnas.hardware import device as hardware
from jaxnas.hardware import programs, timing
from jaxnas.hardware.measure import campaign_file, round_statistics
from jaxnas.hardware.measure.campaign_file import CampaignError, Raw
from jaxnas.hardware.predict import fit
from jaxnas.hardware.predict.predictor import Predictor
from jaxnas.spaces import genotype, registry
from jaxnas.spaces.genotype import Genotype, GenotypeError
from jaxnas.spaces.search_space import NetworkSize, SearchSpace

SIZES = ("features", "cells", "classes", "image", "batch")


LEAST = 2  # networks that a model is fitted to


class CampaignDataset(NamedTuple):
    """The networks of a campaign. What it timed beside them is in `raw`.

    Programs that have no valid sample yet are in neither.
    """

    path: Path  # of its samples
    digest: str  # SHA-256 of them
    raw: Raw
    settings: Mapping[str, Any]
    space: SearchSpace
    size: NetworkSize
    genotypes: tuple[Genotype, ...]
    networks: np.ndarray  # i64[N, positions]
    latency_ms: np.ndarray  # f64[N]
    work: np.ndarray | None  # f64[positions, candidates, quantities] of a chain
    unsampled: tuple[str, ...] = ()  # labels of the programs left out for want of a sample

    @property
    def device(self) -> str:
        """The device in a few words."""
        return hardware.description(self.raw.header["device"])


def load(folder: Path) -> CampaignDataset:
    """The campaign in a folder. Raises FileError or CampaignError, one line each.

    A campaign that was stopped counts as far as it went. Programs that are no networks are left
    out, and those without a valid sample.
    """
    path = Path(folder).expanduser() / campaign_file.RAW
    whole = campaign_file.read(path)
    raw, unsampled = campaign_file.sampled(whole), tuple(campaign_file.unsampled(whole))
    settings = raw.header.get("settings")
    if not isinstance(settings, dict) or any(name not in settings for name in ("space", *SIZES)):
        raise CampaignError(
            f"{path} does not say its space and the networks' size: measure with "
            "`jaxnas latency measure`."
        )
    space = registry.get(settings["space"], settings["cells"])
    if space.digest != settings.get("space_sha256"):
        raise CampaignError(
            f"{path} was measured for another {settings['space']}: the file has changed since; "
            "measure again."
        )
    if programs.NETWORK not in whole.kinds:
        raise CampaignError(f"{path} has no whole networks: measure with --kinds network.")
    if not len(raw.rounds_ms):
        raise CampaignError(f"{path} has no rounds yet: go on with `jaxnas latency measure`.")
    rows = [i for i, kind in enumerate(raw.kinds) if kind == programs.NETWORK]
    if len(rows) < LEAST and unsampled:
        raise CampaignError(
            f"{path} has times of {len(rows) or 'no'} network, and no valid sample of "
            f"{campaign_file.some(unsampled)}: go on with `jaxnas latency measure`."
        )
    try:
        found = tuple(genotype.from_json(raw.architectures[i]) for i in rows)
    except GenotypeError as error:
        raise CampaignError(
            f"{path} has a network that is none ({error}): measure again."
        ) from error
    networks = np.array([space.genome.encode(each) for each in found])
    size = NetworkSize(
        **{name: settings[name] for name in SIZES} | {"image": tuple(settings["image"])}
    )
    ms = round_statistics.summarise(raw.rounds_ms).latency_ms[rows]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    work = None if space.workload is None else space.workload(size)
    return CampaignDataset(
        path, digest, raw, settings, space, size, found, networks, ms, work, unsampled
    )  # fmt: skip


def facts(found: CampaignDataset, name: str) -> np.ndarray:
    """f64[N] of what the compiler says of the networks: one of `timing.FACTS`.

    Raises CampaignError for another name, and where the device's compiler does not say it.
    """
    if name not in timing.FACTS:
        raise CampaignError(
            f"A campaign has no column {name!r}, only {', '.join(timing.FACTS)}: leave it out "
            "for milliseconds."
        )
    rows = [i for i, kind in enumerate(found.raw.kinds) if kind == programs.NETWORK]
    values = found.raw.facts[rows, timing.FACTS.index(name)]
    if np.isnan(values).all():
        raise CampaignError(f"The compiler of {found.device} does not say {name} of a network.")
    return values


def fitted(found: CampaignDataset) -> Predictor:
    """The latency model of a campaign. Raises FitError as `fit.fit`."""
    return fit.fit(
        found.space.genome.space,
        found.networks,
        found.latency_ms,
        device=found.device,
        work=found.work,
    )
