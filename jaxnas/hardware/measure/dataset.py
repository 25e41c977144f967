"""A campaign as a dataset to fit a predictor to: networks, their latencies and size."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxnas.hardware import device as hardware
from jaxnas.hardware import programs, timing
from jaxnas.hardware.measure import campaign_file, round_statistics
from jaxnas.hardware.measure.campaign_file import CampaignError, Raw
from jaxnas.hardware.predict import fit, validation
from jaxnas.hardware.predict.predictor import Predictor
from jaxnas.spaces import genotype, registry
from jaxnas.spaces.genotype import Genotype, GenotypeError
from jaxnas.spaces.search_space import NetworkSize, SearchSpace

SIZES = ("features", "cells", "classes", "image", "batch")


MIN_NETWORKS = 2  # that a predictor can be fitted to


class CampaignDataset(NamedTuple):
    """The networks of a campaign with their latencies. Its other programs are in `raw` only.

    Programs without a valid sample are in neither.
    """

    path: Path  # of campaign.npz
    digest: str  # SHA-256 of that file
    raw: Raw
    settings: Mapping[str, Any]
    space: SearchSpace
    size: NetworkSize
    genotypes: tuple[Genotype, ...]
    networks: np.ndarray  # i64[N, positions]
    latency_ms: np.ndarray  # f64[N]
    work: np.ndarray | None  # f64[positions, candidates, quantities] of a chain
    unsampled: tuple[str, ...] = ()  # labels of programs without a valid sample

    @property
    def device(self) -> str:
        """The device in a few words."""
        return hardware.description(self.raw.header["device"])


def load(folder: Path) -> CampaignDataset:
    """The dataset of a campaign's folder. Raises FileError or CampaignError, one line each.

    An unfinished campaign gives the samples so far. Programs other than networks are left out, and
    those without a valid sample.
    """
    path = Path(folder).expanduser() / campaign_file.RAW
    campaign = campaign_file.read(path)
    raw, unsampled = campaign_file.sampled(campaign), tuple(campaign_file.unsampled(campaign))
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
    if programs.NETWORK not in campaign.kinds:
        raise CampaignError(f"{path} has no whole networks: measure with --kinds network.")
    if not len(raw.rounds_ms):
        raise CampaignError(f"{path} has no rounds yet: go on with `jaxnas latency measure`.")
    rows = [i for i, kind in enumerate(raw.kinds) if kind == programs.NETWORK]
    if len(rows) < MIN_NETWORKS and unsampled:
        raise CampaignError(
            f"{path} has times of {len(rows) or 'no'} network, and no valid sample of "
            f"{campaign_file.first_and_count(unsampled)}: go on with `jaxnas latency measure`."
        )
    try:
        genotypes = tuple(genotype.from_json(raw.architectures[i]) for i in rows)
    except GenotypeError as error:
        raise CampaignError(
            f"{path} has a network that is none ({error}): measure again."
        ) from error
    networks = np.array([space.genome.encode(g) for g in genotypes])
    size = NetworkSize(
        **{name: settings[name] for name in SIZES} | {"image": tuple(settings["image"])}
    )
    ms = round_statistics.summarise(raw.rounds_ms).latency_ms[rows]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    work = None if space.workload is None else space.workload(size)
    return CampaignDataset(
        path, digest, raw, settings, space, size, genotypes, networks, ms, work, unsampled
    )  # fmt: skip


def facts(dataset: CampaignDataset, name: str) -> np.ndarray:
    """f64[N]: one of `timing.FACTS`, as the compiler reports it for the networks.

    Raises CampaignError for another name, and where the device's compiler does not report it.
    """
    if name not in timing.FACTS:
        raise CampaignError(
            f"A campaign has no column {name!r}, only {', '.join(timing.FACTS)}: leave it out "
            "for milliseconds."
        )
    rows = [i for i, kind in enumerate(dataset.raw.kinds) if kind == programs.NETWORK]
    values = dataset.raw.facts[rows, timing.FACTS.index(name)]
    if np.isnan(values).all():
        raise CampaignError(f"The compiler of {dataset.device} does not say {name} of a network.")
    return values


def fit_predictor(dataset: CampaignDataset) -> Predictor:
    """The latency predictor fitted to a campaign. Raises FitError as `fit.fit`."""
    return fit.fit(
        dataset.space.genome.space,
        *validation.medians(dataset.networks, dataset.latency_ms),
        device=dataset.device,
        work=dataset.work,
    )
